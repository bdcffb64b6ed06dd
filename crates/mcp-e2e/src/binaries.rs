//! Where the binaries under test are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/mcp-e2e has a root")
}

/// The CLI: `$MCP_E2E_MCP`, else the one of the same build as this program.
pub fn mcp() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("mcp", "MCP_E2E_MCP"))
}

/// The agent: `$MCP_E2E_MCP_AGENT`, else the one of the same build as this program.
pub fn mcp_agent() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("mcp-agent", "MCP_E2E_MCP_AGENT"))
}

/// The podman that lies on command: the one of the same build as this program.
pub fn lying_podman() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("lying-podman", "MCP_E2E_LYING_PODMAN"))
}

fn find(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // A test runs as <target>/<profile>/deps/<name>; binaries are two folders up.
    let test = std::env::current_exe().expect("a process knows its program");
    let path = test
        .ancestors()
        .nth(2)
        .expect("a test has a target folder")
        .join(name);
    if !path.exists() {
        build();
    }
    assert!(
        path.exists(),
        "{} is not there: run `make build`",
        path.display()
    );
    path
}

/// `cargo test` alone does not build other crates' binaries; `make test` has done it before.
fn build() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(repository())
        .args(["build", "--workspace", "--all-targets"]);
    cargo.args(["--features", "mcp-e2e/podman,mcp-agent/failpoints"]);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "{cargo:?} failed");
}
