//! The command line: what can be asked, and its help.
//!
//! Parsing touches neither the configuration nor the network, so `--help`, `--version` and
//! completion work anywhere and at once.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use mcp_model::{ComponentKey, ComponentName, NameError, NodeName, OperationId, ServiceName};

use crate::help;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mcp",
    version,
    about = "Runs the containers of a small fleet from service definitions",
    disable_help_subcommand = true,
    max_term_width = 100,
    styles = STYLES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default());

impl Cli {
    /// Parses the process's arguments; ends the process for `--help`, `--version` and mistakes.
    pub(crate) fn from_env() -> Self {
        let matches = Self::grouped().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if cli.global.socket.is_some() && !cli.command.speaks_to_an_agent() {
            let words = "--socket does not apply: this command speaks to no agent";
            Self::grouped()
                .error(ErrorKind::ArgumentConflict, words)
                .exit();
        }
        cli
    }

    /// The command with its help grouped by task, which clap does for options only.
    pub(crate) fn grouped() -> clap::Command {
        let command = Self::command();
        let tasks = help::tasks(&command);
        command
            .help_template("{about}\n\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}")
            .before_help(tasks)
            .after_help(help::EXIT_CODES)
    }
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: ~/.config/mcp/mcp.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Speak to this node only
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) node: Option<NodeName>,

    /// Speak to the agent of this machine through its Unix socket, without token and network.
    ///
    /// For the agent's own user and root, and for when tokens cannot be checked. Other nodes are
    /// not spoken to. The node is called what its agent calls it; where the definitions call it
    /// something else, say so with --node.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// How results are written to standard output
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,

    /// How long to wait for one answer [default: 15s; for an operation 30m]
    #[arg(long, global = true, value_name = "DURATION", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,

    /// Never use colours (as with `NO_COLOR`)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,

    /// Say on standard error what is being done
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document, for programs
    Json,
}

/// Everything `mcp` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send all definitions to their nodes, without touching a container
    #[command(after_long_help = help::SYNC_EXAMPLE)]
    Sync(Sync),
    /// Replace a service's containers by what its definition says
    #[command(after_long_help = help::DEPLOY_EXAMPLE)]
    Deploy(Deploy),
    /// Start a stopped service and mark its definition active
    #[command(after_long_help = help::START_EXAMPLE)]
    Start(Lifecycle),
    /// Stop a service and mark its definition inactive
    #[command(after_long_help = help::STOP_EXAMPLE)]
    Stop(Lifecycle),
    /// Restart what is meant to run of a service
    #[command(after_long_help = help::RESTART_EXAMPLE)]
    Restart(Lifecycle),
    /// Wait for the end of what is being done to a service
    #[command(after_long_help = help::WAIT_EXAMPLE)]
    Wait {
        /// An operation's id, or a service
        #[arg(value_name = "OPERATION|SERVICE", value_parser = subject)]
        subject: String,
    },
    /// List the services that the nodes know, without asking the runtime
    #[command(after_long_help = help::LIST_EXAMPLE)]
    List,
    /// Ask the runtime of every node what runs right now
    #[command(after_long_help = help::PS_EXAMPLE)]
    Ps,
    /// Explain what is planned for a component, and why
    #[command(after_long_help = help::WHY_EXAMPLE)]
    Why {
        /// The component; a service is enough where it has only one
        #[arg(value_name = "SERVICE[/COMPONENT]")]
        target: Target,
    },
    /// Show drift, recent events and states
    #[command(after_long_help = help::STATUS_EXAMPLE)]
    Status(Status),
    /// Log in at the identity service and keep the token
    #[command(after_long_help = help::LOGIN_EXAMPLE)]
    Login(Login),
    /// List, add and remove nodes
    #[command(subcommand, after_long_help = help::NODE_EXAMPLE)]
    Node(Node),
    /// Print a completion script for a shell
    #[command(after_long_help = help::COMPLETION_EXAMPLE)]
    Completion(Completion),
}

impl Command {
    const fn speaks_to_an_agent(&self) -> bool {
        match self {
            Self::Sync(_)
            | Self::Deploy(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Wait { .. }
            | Self::List
            | Self::Ps
            | Self::Why { .. }
            | Self::Status(_) => true,
            Self::Login(_) | Self::Node(_) | Self::Completion(_) => false,
        }
    }
}

/// `mcp sync`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Sync {
    /// Show what would change; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also remove services and components that no definition names any more
    #[arg(long)]
    pub(crate) prune: bool,
    /// Do not ask before removing
    #[arg(long, requires = "prune")]
    pub(crate) yes: bool,
    /// Overwrite what somebody else, or another workstation, said since
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, kept with the change
    #[arg(
        short,
        long,
        value_name = "WHY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) message: String,
}

/// `mcp deploy`
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The service, or one component of it
    #[arg(value_name = "SERVICE[/COMPONENT]")]
    pub(crate) target: Target,
    /// Take the definition from this file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print the commands that would run; run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Overwrite what somebody else, or another workstation, said since
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, kept with the operation
    #[arg(
        short,
        long,
        value_name = "WHY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) message: String,
}

/// `mcp start`, `mcp stop`, `mcp restart`
#[derive(Debug, Args)]
pub(crate) struct Lifecycle {
    /// The service
    pub(crate) service: ServiceName,
    /// Why, kept with the operation
    #[arg(
        short,
        long,
        value_name = "WHY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) message: String,
}

/// `mcp status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this service
    pub(crate) service: Option<ServiceName>,
    /// Let the agents look at the runtime first
    #[arg(long)]
    pub(crate) live: bool,
    /// Go on showing what changes, until it is interrupted
    #[arg(short, long, conflicts_with_all = ["exit_code", "live"])]
    pub(crate) watch: bool,
    /// End with 3 when there is drift, and with 1 when something is unknown
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// `mcp login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The account [default: `username` of the configuration, else it is asked for]
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// File that holds the password, `-` for standard input [default: `password_file` of the
    /// configuration, else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Keep the token that standard input holds, without logging in
    #[arg(long, conflicts_with_all = ["username", "password_file"])]
    pub(crate) token_stdin: bool,
}

/// `mcp node`
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List the configured nodes
    List,
    /// Add a node to the configuration
    #[command(after_long_help = help::NODE_EXAMPLE)]
    Add(NodeAdd),
    /// Remove a node from the configuration
    Remove {
        /// The node
        name: NodeName,
    },
}

/// `mcp node add`
#[derive(Debug, Args)]
pub(crate) struct NodeAdd {
    /// What to call the node
    #[arg(required_unless_present = "bundle")]
    pub(crate) name: Option<NodeName>,
    /// Where its agent listens
    #[arg(value_name = "HOST:PORT", required_unless_present = "bundle")]
    pub(crate) address: Option<String>,
    /// A bundle that `mcp-agent init` or `mcp-agent token issue --bundle` wrote; `-` reads it from
    /// standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca_cert", "token_path"])]
    pub(crate) bundle: Option<PathBuf>,
    /// Certificate of the authority that signed the agent's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// File that holds the token for this node
    #[arg(long, value_name = "FILE")]
    pub(crate) token_path: Option<PathBuf>,
    /// Name that the agent's certificate carries, where it is not the host of the address
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Give a node that is there already the new values
    #[arg(long)]
    pub(crate) replace: bool,
}

/// `mcp completion`
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// For which shell
    pub(crate) shell: Shell,
}

/// Shells that completion is offered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// A service, or one component of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    pub(crate) component: Option<ComponentName>,
}

impl std::str::FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('/') {
            let ComponentKey { service, component } = text.parse()?;
            return Ok(Self {
                service,
                component: Some(component),
            });
        }
        Ok(Self {
            service: text.parse()?,
            component: None,
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.component {
            Some(component) => write!(f, "{}/{component}", self.service),
            None => write!(f, "{}", self.service),
        }
    }
}

/// Ids and names differ in nothing that could be seen; both are plain words.
fn subject(text: &str) -> Result<String, String> {
    let operation = text.parse::<OperationId>().is_ok();
    match text.parse::<ServiceName>() {
        Err(error) if !operation => Err(error.to_string()),
        _ => Ok(text.to_owned()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write for instance 30s or 5m"))?;
    if duration.is_zero() {
        return Err("it must be longer than nothing".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grouped().debug_assert();
    }

    #[test]
    fn every_command_is_in_the_help_once() {
        let command = Cli::command();
        let mut known: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let mut shown: Vec<&str> = help::TASKS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        known.sort_unstable();
        shown.sort_unstable();
        assert_eq!(known, shown);
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command
                .get_after_long_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains(&format!("mcp {}", command.get_name())),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn a_target_is_a_service_or_a_component() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(target("a").unwrap().component, None);
        assert_eq!(target("a/b").unwrap().component.unwrap().as_str(), "b");
        for bad in ["", "a/", "/b", "a/b/c", "-a", "A", "a/-b"] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_and_is_not_zero() {
        assert_eq!(timeout("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "0s", "soon"] {
            assert!(timeout(bad).is_err(), "{bad:?}");
        }
    }
}
