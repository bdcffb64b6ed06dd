//! The fuzzer: libFuzzer around the target that `MCP_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use mcp_fuzz::Target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("MCP_FUZZ_TARGET").unwrap_or_default();
    mcp_fuzz::target(&name).unwrap_or_else(|| {
        let names: Vec<_> = mcp_fuzz::TARGETS.iter().map(|target| target.name).collect();
        panic!("set MCP_FUZZ_TARGET to one of: {}", names.join(" "))
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.check)(data));
