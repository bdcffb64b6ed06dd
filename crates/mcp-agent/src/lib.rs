//! The agent: one node's registry, controller and gRPC api, wired together.
