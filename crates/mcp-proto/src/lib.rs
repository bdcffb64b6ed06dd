//! The wire: generated gRPC code and its conversion to and from the model.

#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::all,
    unreachable_pub,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("mcp.v1");
}

/// The encoded `FileDescriptorSet` of `mcp.v1`, for reflection and for tests that enumerate RPCs.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/mcp_descriptor.bin"));
