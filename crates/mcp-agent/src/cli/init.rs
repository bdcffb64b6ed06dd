//! `mcp-agent init`: makes a working node out of nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use mcp_config::agent::AgentConfig;
use mcp_identity::issue::{CertPaths, SanName, Validity, issue_ca_and_cert};
use mcp_identity::{Bundle, Role, Token, private_file};
use mcp_model::{NodeName, Stamp};
use mcp_registry::TokenRecord;

use super::out;
use crate::tokens::Offline;

mod made;
mod next;

use made::Made;

/// What a node is made of.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The node's directory: configuration, certificates, registry
    #[arg(long, value_name = "DIR", default_value = "/srv/mcp")]
    dir: PathBuf,
    /// What this node is called [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<NodeName>,
    /// Where the agent listens
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// What workstations connect to [default: the address]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// A further host name or address for the certificate; repeat for more
    #[arg(long, value_name = "NAME")]
    name: Vec<SanName>,
    /// Listen on all interfaces, where the address says so
    #[arg(long)]
    allow_all_interfaces: bool,
    /// Where each service gets its directory
    #[arg(long, value_name = "DIR", default_value = "/srv")]
    service_root: PathBuf,
    /// Where the agent's socket is
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The container runtime's program
    #[arg(long, value_name = "PROGRAM", default_value = "podman")]
    container_runtime: String,
    /// An argument before the subcommand of every call of the runtime; repeat for more
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    runtime_arg: Vec<String>,
    /// A variable for every call of the runtime; repeat for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    runtime_env: Vec<(String, String)>,
    /// The command that is told about incidents: its program, then, repeated, its arguments
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    alert_command: Vec<String>,
    /// An existing certificate chain instead of one of the node's own authority
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// The existing certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The existing certificate's authority, for the bundle
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// How long the first admin token is valid
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
    token_valid: Duration,
    /// Where the bundle for the workstation goes, '-' for standard output [default: DIR/NODE.bundle]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Where everything goes.
struct Layout {
    config: PathBuf,
    database: PathBuf,
    certs: CertPaths,
    /// Absent where it goes to standard output.
    bundle: Option<PathBuf>,
}

impl Layout {
    fn of(arguments: &Arguments, dir: &Path, node: &NodeName) -> Self {
        let bundle = match &arguments.bundle {
            Some(path) if path.as_os_str() == "-" => None,
            Some(path) => Some(path.clone()),
            None => Some(dir.join(format!("{node}.bundle"))),
        };
        Self {
            config: dir.join("mcp-agent.toml"),
            database: dir.join("mcp.db"),
            certs: CertPaths::within(&dir.join("certs")),
            bundle,
        }
    }

    /// Refuses to touch a node that is there.
    fn check_free(&self) -> anyhow::Result<()> {
        let certs = [&self.certs.ca_key, &self.certs.cert, &self.certs.key];
        for path in [&self.config, &self.database]
            .into_iter()
            .chain(certs)
            .chain(&self.bundle)
        {
            if path.symlink_metadata().is_ok() {
                bail!(
                    "{} is there already: nothing was changed; a node is made once",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let node = match &arguments.node_name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let dir = std::path::absolute(&arguments.dir)?;
    let layout = Layout::of(arguments, &dir, &node);
    layout.check_free()?;
    let config = configuration(arguments, &node, &layout)?;
    let advertised = arguments
        .advertise
        .clone()
        .unwrap_or_else(|| arguments.address.to_string());
    let host = host_of(&advertised)?;
    ensure!(
        arguments.advertise.is_some() || !arguments.address.ip().is_unspecified(),
        "{} is not an address to connect to: say --advertise HOST:PORT",
        arguments.address
    );

    let mut made = Made::default();
    made.dir(&dir)?;
    made.shared_dir(&config.agent.service_root)?;
    let now = Stamp::new(jiff::Timestamp::now());
    let authority = match &arguments.tls_ca {
        Some(path) => read(path)?,
        None => own_authority(arguments, &node, &host, &layout.certs, now, &mut made)?,
    };
    mcp_identity::server_config(&config.server.tls_cert, &config.server.tls_key)?;
    let (token, record) = super::block_on(first_token(&config, arguments.token_valid, &mut made))?;
    let bundle = Bundle {
        node: node.clone(),
        address: advertised,
        server_name: None,
        ca_cert_pem: authority,
        token,
        expires: record.expires,
    };
    if let Some(path) = &layout.bundle {
        private_file::create(path, bundle.to_text().as_bytes())?;
        made.file(path);
    }
    // Last: with it the node is complete.
    private_file::create(
        &layout.config,
        mcp_config::agent::render(&config).as_bytes(),
    )?;
    let made = made.keep();
    if layout.bundle.is_none() {
        out::data(bundle.to_text().trim_end());
    }
    next::tell(
        &node,
        &made,
        &layout.config,
        layout.bundle.as_deref(),
        record.expires,
    );
    Ok(())
}

fn configuration(
    arguments: &Arguments,
    node: &NodeName,
    layout: &Layout,
) -> anyhow::Result<AgentConfig> {
    let absolute = |path: &PathBuf| std::path::absolute(path).context("cannot tell where I am");
    let (cert, key) = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => (absolute(cert)?, absolute(key)?),
        _ => (layout.certs.cert.clone(), layout.certs.key.clone()),
    };
    let mut config = AgentConfig::new(
        node.clone(),
        arguments.address,
        cert,
        key,
        layout.database.clone(),
    );
    config.server.allow_all_interfaces = arguments.allow_all_interfaces;
    config.agent.service_root = absolute(&arguments.service_root)?;
    config.agent.volume_prefixes = vec![config.agent.service_root.clone()];
    config.agent.run_dir = match &arguments.run_dir {
        Some(run_dir) => absolute(run_dir)?,
        None => own_run_dir().unwrap_or(config.agent.run_dir),
    };
    config
        .agent
        .container_runtime
        .clone_from(&arguments.container_runtime);
    config.runtime.args.clone_from(&arguments.runtime_arg);
    config.runtime.env = arguments
        .runtime_env
        .iter()
        .cloned()
        .collect::<BTreeMap<_, _>>();
    config
        .monitor
        .alert_command
        .clone_from(&arguments.alert_command);
    // What is written must be what can be read: every check of the file applies here already.
    let text = mcp_config::agent::render(&config);
    Ok(AgentConfig::parse(&text, &layout.config, [])?)
}

/// Where a user other than root can have a socket that does not outlive the boot.
fn own_run_dir() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?;
    (!rustix::process::geteuid().is_root()).then(|| runtime.join("mcp-agent"))
}

fn own_authority(
    arguments: &Arguments,
    node: &NodeName,
    host: &SanName,
    paths: &CertPaths,
    now: Stamp,
    made: &mut Made,
) -> anyhow::Result<String> {
    let mut names = vec![host.clone()];
    if !arguments.address.ip().is_unspecified() {
        names.push(SanName::Ip(arguments.address.ip()));
    }
    names.push(node.as_str().parse()?);
    names.extend(arguments.name.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));

    let pems = issue_ca_and_cert(node, &names, Validity::default(), now)?;
    if let Some(folder) = paths.cert.parent() {
        made.dir(folder)?;
    }
    for path in [&paths.ca_cert, &paths.ca_key, &paths.cert, &paths.key] {
        made.file(path);
    }
    pems.write(paths)?;
    Ok(pems.ca_cert)
}

async fn first_token(
    config: &AgentConfig,
    valid: Duration,
    made: &mut Made,
) -> anyhow::Result<(Token, TokenRecord)> {
    made.database(&config.database.path);
    let offline = Offline::open(&config.database.path)?;
    let (subject, roles) = ("admin".parse()?, [Role::admin()].into());
    let issued = offline
        .tokens()
        .issue(&subject, &roles, valid, Offline::origin("init"))
        .await;
    offline.close().await?;
    issued
}

/// The host of `host:port` or `[v6]:port`, as a certificate names it.
fn host_of(advertised: &str) -> anyhow::Result<SanName> {
    let (host, port) = advertised
        .rsplit_once(':')
        .with_context(|| format!("{advertised:?} is not of the form HOST:PORT"))?;
    ensure!(
        port.parse::<u16>().is_ok_and(|p| p > 0),
        "{advertised:?} has no port from 1 to 65535"
    );
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    Ok(host.parse()?)
}

fn host_name() -> anyhow::Result<NodeName> {
    let uname = rustix::system::uname();
    let full = uname.nodename().to_string_lossy().to_ascii_lowercase();
    let first = full.split('.').next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("the host name {full:?} does not do: say --node-name"))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_names_a_host_and_a_port() {
        assert_eq!(host_of("[::1]:9444").unwrap().to_string(), "::1");
        assert_eq!(
            host_of("node.example:9444").unwrap().to_string(),
            "node.example"
        );
        for bad in ["node", "node:", "node:0", "node:70000", ":9444", "a b:1"] {
            assert!(host_of(bad).is_err(), "{bad:?}");
        }
    }
}
