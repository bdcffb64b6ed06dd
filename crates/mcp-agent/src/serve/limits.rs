//! What one peer may take of the agent.

use std::time::Duration;

/// Largest message: 4 MiB of content and its envelope (S45).
pub const MESSAGE: usize = 4 * 1024 * 1024 + 64 * 1024;
/// Largest list of headers of one request, in bytes.
pub const HEADER_LIST: u32 = 16 * 1024;
/// Streams at a time on one connection.
pub const STREAMS: u32 = 64;
/// Requests at a time on one connection; more are turned away, not queued.
pub const REQUESTS_PER_CONNECTION: usize = 32;
/// Streams that were reset before they were accepted, on one connection.
pub const PENDING_RESETS: usize = 20;
/// Connections at a time, finished handshakes only.
pub const CONNECTIONS: usize = 256;
/// Handshakes at a time.
pub const HANDSHAKES: usize = 64;
/// How long a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may be silent before it is asked whether it lives.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
