//! The commands, one file each.

mod completion;
mod deploy;
mod dry_run;
mod lifecycle;
pub(crate) mod list;
mod login;
mod login_files;
mod node;
mod node_files;
mod prune;
pub(crate) mod ps;
pub(crate) mod status;
mod status_text;
mod status_watch;
mod sync;
mod wait;
mod why;
mod why_text;

use anyhow::Result;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::output::Output;
use crate::problem::{Exit, Problem};

/// Does what was asked.
pub(crate) fn run(out: Output, cli: Cli) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Completion(args) => completion::run(out, &args),
        Command::Login(args) => {
            let context = Context::configured(out, global)?;
            let login = login::prepare(&context, args)?;
            remote(async { login::run(&context, login).await })
        }
        Command::Node(command) => node::run(out, global, command),
        Command::Sync(args) => {
            sync::check(&args)?;
            remote(async { sync::run(&Context::load(out, global).await?, &args).await })
        }
        Command::Deploy(args) => {
            remote(async { deploy::run(&Context::load(out, global).await?, args).await })
        }
        Command::Start(args) => {
            remote(async { lifecycle::start(&Context::load(out, global).await?, args).await })
        }
        Command::Stop(args) => {
            remote(async { lifecycle::stop(&Context::load(out, global).await?, args).await })
        }
        Command::Restart(args) => {
            remote(async { lifecycle::restart(&Context::load(out, global).await?, args).await })
        }
        Command::Wait { subject } => {
            remote(async { wait::run(&Context::load(out, global).await?, &subject).await })
        }
        Command::List => remote(async { list::run(&Context::load(out, global).await?).await }),
        Command::Ps => remote(async { ps::run(&Context::load(out, global).await?).await }),
        Command::Why { target } => {
            remote(async { why::run(&Context::load(out, global).await?, &target).await })
        }
        Command::Status(args) => {
            remote(async { status::run(&Context::load(out, global).await?, args).await })
        }
    }
}

/// One thread does for a few connections, and starts at once.
fn remote(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start the network runtime").because(error))?;
    runtime.block_on(work)
}
