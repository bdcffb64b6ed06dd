//! What an RPC is like, as far as time goes.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Deadline;
use crate::serve::limits::Limits;

/// RPCs that answer when their operation has ended (S12).
const OPERATIONS: [&str; 6] = [
    "Deploy",
    "StopService",
    "StartService",
    "RestartService",
    "Undeploy",
    "AdoptContainers",
];

/// Infrastructure that streams and is not in the protocol's own descriptors.
const STREAMS: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What an RPC is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One question, one answer, soon.
    Call,
    /// One question, one answer when an operation has ended.
    Operation,
    /// As long as both sides like. It counts among its connection's requests all the while.
    Stream,
}

/// Tells kinds by paths.
#[derive(Debug)]
pub(super) struct Kinds {
    operations: HashSet<String>,
    streams: HashSet<String>,
}

impl Kinds {
    pub(super) fn new() -> Self {
        let (mut operations, mut streams) = (HashSet::new(), HashSet::new());
        for method in mcp_proto::descriptor::methods() {
            if method.client_streaming || method.server_streaming {
                streams.insert(method.path());
            } else if OPERATIONS.contains(&method.name.as_str()) {
                operations.insert(method.path());
            }
        }
        streams.extend(STREAMS.map(str::to_owned));
        Self {
            operations,
            streams,
        }
    }

    /// What is not known is a call.
    pub(super) fn of(&self, path: &str) -> Kind {
        if self.operations.contains(path) {
            Kind::Operation
        } else if self.streams.contains(path) {
            Kind::Stream
        } else {
            Kind::Call
        }
    }
}

/// Until when its caller is waited with: the caller's own deadline, where it is not later than
/// ours.
pub(super) fn deadline(kind: Kind, theirs: Option<Deadline>, limits: &Limits) -> Option<Deadline> {
    let ours = match kind {
        Kind::Stream => return theirs,
        Kind::Call => limits.call,
        Kind::Operation => limits.operation,
    };
    let ours = Instant::now() + ours;
    Some(Deadline(theirs.map_or(ours, |Deadline(at)| at.min(ours))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_protocol_and_every_stream_is_told_from_calls() {
        let kinds = Kinds::new();
        assert_eq!(kinds.operations.len(), OPERATIONS.len(), "all were found");
        for (path, kind) in [
            ("/mcp.v1.McpAgentService/Deploy", Kind::Operation),
            ("/mcp.v1.McpAgentService/Watch", Kind::Stream),
            ("/mcp.v1.McpAgentService/ListServices", Kind::Call),
            ("/mcp.v1.McpAgentService/SyncDesiredState", Kind::Call),
            ("/grpc.health.v1.Health/Check", Kind::Call),
            ("/grpc.health.v1.Health/Watch", Kind::Stream),
            ("/no.such.Service/Deploy", Kind::Call),
        ] {
            assert_eq!(kinds.of(path), kind, "{path}");
        }
    }
}
