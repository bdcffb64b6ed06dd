//! `mcp-agent check-config`: what is in force, and whether it can be used.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use mcp_model::Stamp;

use super::{ConfigFile, out};

pub(super) fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let config = file.load()?;
    mcp_identity::server_config(&config.server.tls_cert, &config.server.tls_key)?;
    mcp_identity::check_certificate(&config.server.tls_cert, Stamp::new(jiff::Timestamp::now()))
        .context("the server's certificate cannot be used")?;
    crate::node::identity_service(&config)?;
    out::say(&format!(
        "{} can be used; with what the environment overrides, it says:\n",
        file.config.display()
    ));
    out::data(mcp_config::agent::render(&config).trim_end());
    // Not refused: the agent starts without them, says that it cannot see, and they may come later.
    let programs = [
        (
            "[agent] container_runtime",
            Some(&config.agent.container_runtime),
        ),
        (
            "[monitor] alert_command",
            config.monitor.alert_command.first(),
        ),
    ];
    for (key, program) in programs {
        if let Some(program) = program.filter(|program| !is_there(program)) {
            out::say(&format!(
                "warning: {key}: there is no program {}",
                mcp_model::text::escape(program)
            ));
        }
    }
    Ok(())
}

/// Whether a program can be found and executed: a path as it is, a name in `PATH`.
fn is_there(program: &str) -> bool {
    let executable = |path: &Path| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| executable(&dir.join(program)))
}
