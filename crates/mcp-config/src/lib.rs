//! Settings of the agent and of the CLI: TOML files with environment overrides.
