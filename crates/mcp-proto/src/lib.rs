//! The wire: generated gRPC code and its conversion to and from the model.
//!
//! What comes in is parsed once, here: [`convert::spec`] and [`convert::request`] turn messages into
//! the model's types or say which field is wrong ([`InvalidField`], S45). What goes out is made from
//! the model by [`convert::info`]. [`descriptor`] knows the protocol itself: the agent's
//! authentication is tested against every method that it lists.

pub mod convert;
pub mod descriptor;

pub use convert::{InvalidField, field};

#[expect(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the .proto files carry the documentation"
)]
pub mod v1 {
    tonic::include_proto!("mcp.v1");
}

impl std::fmt::Debug for v1::IssueTokenResponse {
    /// Without the token: what is logged or printed by accident must not be one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssueTokenResponse")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The encoded `FileDescriptorSet` of `mcp.v1`, for reflection and for tests that enumerate
/// RPCs. What only the node's own socket serves is not in it.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/mcp_descriptor.bin"));

/// What this release knows to say on the wire (S44). Counts up when a field or RPC is added that a
/// peer without it could not honour.
pub const API_LEVEL: u32 = 1;

/// The metadata key under which both sides send their [`API_LEVEL`], as a decimal number (S44).
pub const API_LEVEL_KEY: &str = "mcp-api-level";

/// The metadata key under which an agent says what its node is called, to callers it admits.
pub const NODE_KEY: &str = "mcp-node";

/// The metadata key under which a client says which host it works on: intent is stated by a caller
/// on a host (S10).
pub const CLIENT_HOST_KEY: &str = "mcp-client-host";

/// Most content of one pushed or pulled file, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Largest message that either side accepts, in bytes: a file of [`MAX_FILE_BYTES`] and what
/// surrounds it (S45).
pub const MAX_MESSAGE_BYTES: usize = MAX_FILE_BYTES + 64 * 1024;
