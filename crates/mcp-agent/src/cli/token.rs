//! `mcp-agent token`: the node's own tokens, whether the agent runs or not (S40).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mcp_config::agent::AgentConfig;
use mcp_identity::{Bundle, Role, Subject, Token, private_file};
use mcp_model::Stamp;
use mcp_proto::v1;

use super::{ConfigFile, block_on, out};

mod desk;
mod list;

use desk::Desk;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Issue a token; without --bundle, print it to standard output
    Issue(Issue),
    /// List tokens; never their text
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// How to print them
        #[arg(long, value_enum, default_value_t = list::Output::Table)]
        output: list::Output,
    },
    /// Revoke a token by its id, or all of a subject
    Revoke {
        #[command(flatten)]
        config: ConfigFile,
        /// A token's id, or a subject
        #[arg(value_name = "ID|SUBJECT", required_unless_present = "subject")]
        which: Option<String>,
        /// A subject whose tokens are all meant
        #[arg(long, value_name = "NAME", conflicts_with = "which")]
        subject: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Issue {
    #[command(flatten)]
    config: ConfigFile,
    /// Whom it is for: a person or a system account
    #[arg(long, value_name = "NAME")]
    subject: Subject,
    /// What its bearer may be; repeat for more. MCP asks for admin
    #[arg(long, value_name = "ROLE", default_value = "admin")]
    role: Vec<Role>,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    valid: Duration,
    /// Write a bundle for `mcp node add` to this file, '-' for standard output
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// What workstations connect to, for the bundle [default: the agent's address]
    #[arg(long, value_name = "HOST:PORT", requires = "bundle")]
    advertise: Option<String>,
    /// The authority's certificate, for the bundle [default: ca.pem beside the agent's]
    #[arg(long, value_name = "FILE", requires = "bundle")]
    tls_ca: Option<PathBuf>,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Issue(arguments) => issue(arguments),
        Command::List { config, output } => {
            let config = config.load()?;
            let tokens = block_on(async { Desk::open(&config).await?.list().await })?;
            list::print(&tokens, *output, Stamp::new(jiff::Timestamp::now()))
        }
        Command::Revoke {
            config,
            which,
            subject,
        } => {
            let config = config.load()?;
            let which = which
                .as_ref()
                .or(subject.as_ref())
                .context("say which token")?;
            match block_on(async { Desk::open(&config).await?.revoke(which).await })? {
                0 => bail!("no token that still counts has the id or the subject {which:?}"),
                count => out::say(&format!(
                    "Revoked {count} token(s); it counts from the next call."
                )),
            }
            Ok(())
        }
    }
}

fn issue(arguments: &Issue) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    // Whatever can fail comes before there is a token that nobody has.
    let destination = arguments
        .bundle
        .as_ref()
        .map(|path| Destination::of(arguments, &config, path))
        .transpose()?;
    let order = v1::IssueTokenRequest {
        subject: arguments.subject.to_string(),
        roles: arguments.role.iter().map(ToString::to_string).collect(),
        valid: Some(mcp_proto::convert::time::duration_to_wire(arguments.valid)),
    };
    let (token, info) = block_on(async { Desk::open(&config).await?.issue(order).await })?;
    let expires =
        list::stamp(info.expires).context("the agent did not say when the token expires")?;
    out::say(&format!(
        "Token {} of {}, valid until {expires} UTC.",
        info.id, info.subject
    ));
    match destination {
        None => out::data(token.secret()),
        Some(destination) => destination.deliver(&config, token, expires)?,
    }
    Ok(())
}

/// Where a bundle goes, and what is in it besides the token.
struct Destination {
    file: Option<PathBuf>,
    address: String,
    authority: String,
}

impl Destination {
    fn of(arguments: &Issue, config: &AgentConfig, path: &Path) -> anyhow::Result<Self> {
        let file = (path.as_os_str() != "-").then(|| path.to_owned());
        if let Some(file) = file.as_ref().filter(|file| file.symlink_metadata().is_ok()) {
            bail!("{} is there already", file.display());
        }
        let authority = match &arguments.tls_ca {
            Some(path) => path.clone(),
            None => config.server.tls_cert.with_file_name("ca.pem"),
        };
        let address = match &arguments.advertise {
            Some(address) => address.clone(),
            None if config.server.grpc_addr.ip().is_unspecified() => {
                bail!("the agent listens on all interfaces: say --advertise HOST:PORT")
            }
            None => config.server.grpc_addr.to_string(),
        };
        let authority = std::fs::read_to_string(&authority)
            .with_context(|| format!("cannot read {}: say --tls-ca", authority.display()))?;
        Ok(Self {
            file,
            address,
            authority,
        })
    }

    fn deliver(self, config: &AgentConfig, token: Token, expires: Stamp) -> anyhow::Result<()> {
        let bundle = Bundle {
            node: config.agent.node_name.clone(),
            address: self.address,
            server_name: None,
            ca_cert_pem: self.authority,
            token,
            expires,
        };
        match &self.file {
            None => out::data(bundle.to_text().trim_end()),
            Some(path) => {
                private_file::create(path, bundle.to_text().as_bytes())?;
                out::say(&format!(
                    "Wrote {}: mcp node add --bundle takes it.",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}
