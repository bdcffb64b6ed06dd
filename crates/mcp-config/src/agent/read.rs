//! TOML and environment to [`AgentConfig`](super::AgentConfig).
