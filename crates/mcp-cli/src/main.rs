//! The command line; all of it is in the library.

fn main() -> std::process::ExitCode {
    mcp_cli::run()
}
