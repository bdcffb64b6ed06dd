//! Compiles `proto/` without a `protoc` binary.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());

    let descriptors = protox::compile(["mcp/v1/agent.proto"], [&root])?;

    // Reflection and the authentication matrix read the same descriptors that the code came from.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("mcp_descriptor.bin");
    std::fs::write(&out, descriptors.encode_to_vec())?;

    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
