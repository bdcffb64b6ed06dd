//! `mcp`, the operator's command line.
//!
//! Data flows one way: `args` parses, `commands` decides what to ask whom, `fleet` and
//! `agent` ask, `view` gives the answers their shape, and `output` alone prints. The command
//! line is parsed before anything of the network is touched, and the runtime is made only for
//! commands that need one, so that help and completion are instant.

mod agent;
mod args;
mod commands;
mod context;
mod definitions;
mod dial;
mod fleet;
mod follow;
mod help;
mod human;
mod operation;
mod output;
mod problem;
mod progress;
mod select;
pub mod shown;
mod status;
mod table;
mod view;

use std::process::ExitCode;

/// Runs the command line of this process to its end.
pub fn run() -> ExitCode {
    let cli = args::Cli::from_env();
    let out = output::Output::new(cli.global.output, cli.global.no_color, cli.global.verbose);
    commands::run(out, cli)
        .unwrap_or_else(|error| {
            out.error(&error);
            problem::exit_of(&error)
        })
        .into()
}
