//! What one peer may take of the agent, and all of them together.
//!
//! A connection of somebody who has not shown a token yet is a *stranger's*. Strangers may be slow
//! for a short while only, and are the ones who give way when there is no room. What they can make
//! the agent hold is bounded by the number of connections times the window of one:
//! 256 × 256 KiB, which is more than they get, since a call without a token is answered before its
//! body is read.

use std::time::Duration;

/// Largest message: 4 MiB of content and its envelope (S45).
pub const MESSAGE: usize = 4 * 1024 * 1024 + 64 * 1024;
/// Largest list of headers of one request, in bytes.
pub const HEADER_LIST: u32 = 16 * 1024;
/// Streams at a time on one connection.
pub const STREAMS: u32 = 64;
/// Requests at a time on one connection, streaming ones included; more are turned away, not
/// queued. A request counts until the last byte of its answer was taken.
pub const REQUESTS: usize = 32;
/// Streams that were reset before they were accepted, on one connection.
pub const PENDING_RESETS: usize = 20;
/// Streams that the agent itself had to reset because of a peer's mistakes, on one connection.
/// tonic sets no limit where it is told none.
pub const LOCAL_RESETS: usize = 64;
/// Bytes of one request that are held before they are read. 4 MiB over 50 ms of way take a
/// second with it.
pub const STREAM_WINDOW: u32 = 128 * 1024;
/// Bytes of all requests of one connection that are held before they are read.
pub const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Numbers and times that a test may want smaller.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time at one front door, from their first packet on.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may be there before a call on it is admitted.
    pub first_call: Duration,
    /// How long a connection may be there after its last admitted call has ended. Long enough to
    /// answer a question of `mcp sync --prune`.
    pub idle: Duration,
    /// How long a connection may be silent before it is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
    /// How long a call that is no operation may take, and how long a caller may take to fetch the
    /// answer. Above what a listing of a slow runtime takes with its retries.
    pub call: Duration,
    /// How long a caller may take to fetch the end of a stream when the agent stops.
    pub last_message: Duration,
    /// How long a call may wait for its operation (S18). Operations have deadlines of their own
    /// that are shorter; this one is for callers who name none.
    pub operation: Duration,
    /// Refusals of one peer that the log tells within a minute; then only the count as it doubles.
    pub told_of_peer: u64,
    /// The same of all peers together.
    pub told: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshake: Duration::from_secs(5),
            first_call: Duration::from_secs(10),
            idle: Duration::from_mins(15),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            call: Duration::from_mins(2),
            last_message: Duration::from_secs(5),
            operation: Duration::from_hours(1),
            told_of_peer: 20,
            told: 200,
        }
    }
}
