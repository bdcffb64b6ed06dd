//! The agent's binary.

fn main() -> std::process::ExitCode {
    mcp_agent::cli::main()
}
