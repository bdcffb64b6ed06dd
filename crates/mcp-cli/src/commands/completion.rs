//! `mcp completion`: needs no configuration, no home, no network.

use anyhow::Result;
use clap_complete::aot::{Bash, Fish, Zsh, generate};

use crate::args::{Cli, Completion, Shell};
use crate::output::Output;
use crate::problem::Exit;

pub(crate) fn run(out: Output, args: &Completion) -> Result<Exit> {
    let mut command = Cli::grouped();
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => generate(Bash, &mut command, "mcp", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "mcp", &mut script),
        Shell::Fish => generate(Fish, &mut command, "mcp", &mut script),
    }
    out.data(&String::from_utf8(script)?)?;
    Ok(Exit::Fine)
}
