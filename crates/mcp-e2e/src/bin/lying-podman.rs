//! podman, as far as nobody told it to lie. See [`mcp_e2e::lying`].

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_e2e::lying::main()
}
