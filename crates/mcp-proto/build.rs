//! Compiles `proto/` without a `protoc` binary.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked when it runs: a target folder may be shared by two trees of sources.
    let root = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());

    // Reflection and the authentication matrix read the same descriptors that the code came from.
    // What only the node's own socket serves is not among them.
    let public = protox::compile(["mcp/v1/agent.proto"], [&root])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("mcp_descriptor.bin");
    std::fs::write(&out, public.encode_to_vec())?;

    let all = protox::compile(["mcp/v1/agent.proto", "mcp/v1/local.proto"], [&root])?;
    tonic_prost_build::configure()
        // Holds a secret; its `Debug` is written by hand.
        .skip_debug(["mcp.v1.IssueTokenResponse"])
        .compile_fds(all)?;
    Ok(())
}
