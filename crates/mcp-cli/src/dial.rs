//! The secured connection to an agent, and who is let in at the other end.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mcp_config::cli::{CliConfig, Node};
use mcp_identity::{CaSource, Token, client_config, connect, read_token_file};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};

use crate::problem::Problem;

/// For scripts: wins over every file.
const TOKEN_VARIABLE: &str = "MCP_TOKEN";

/// Connects to `node`, verified against its own CA, else the common one (S38).
pub(crate) async fn dial(
    config: &CliConfig,
    node: &Node,
    limit: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    let failed = |node: &Node| Problem::new(format!("cannot connect to node {}", node.name));
    let ca = config
        .ca_cert(node)
        .map(|path| CaSource::File(path.to_owned()));
    let tls = client_config(ca.as_ref()).map_err(|error| failed(node).because(error))?;
    let address = node.address.to_string();
    let stream = connect(&address, node.server_name.as_deref(), tls, limit).await;
    Ok(stream.map_err(|error| failed(node).because(error))?)
}

/// Connects to the agent of this machine (S41).
pub(crate) async fn local(path: &Path) -> Result<UnixStream, Problem> {
    UnixStream::connect(path)
        .await
        .map_err(|error| unreachable_socket(path, error))
}

fn unreachable_socket(path: &Path, error: io::Error) -> Problem {
    let kind = std::fs::metadata(path).map(|meta| meta.file_type());
    let help = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is none: is an agent running here, and is this agent.sock in its [agent] run_dir?"
        }
        io::ErrorKind::PermissionDenied => "only the agent's own user and root may: try with sudo",
        _ if kind.is_ok_and(|kind| !kind.is_socket()) => {
            "that is not a socket: the agent's is agent.sock in its [agent] run_dir"
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens on it, its agent has died: systemctl status mcp-agent"
        }
        _ => "is an agent running here, and is this agent.sock in its [agent] run_dir?",
    };
    Problem::new(format!("cannot connect to the socket {}", path.display()))
        .because(error)
        .help(help)
}

/// The `authorization` header for `node`. Looked up for each node by itself, so that a node's own
/// token never goes to another one (S38).
pub(crate) fn authorization(config: &CliConfig, node: &Node) -> Result<MetadataValue<Ascii>> {
    let token = token(config, node)?;
    let mut header: MetadataValue<Ascii> = format!("Bearer {}", token.secret()).parse()?;
    header.set_sensitive(true);
    Ok(header)
}

/// What to do about a token that `node` refused.
pub(crate) fn renew(node: &Node) -> String {
    if from_environment().is_some() {
        // One that is brought here would not be used.
        return format!("it is the one in {TOKEN_VARIABLE}: unset that, or give it another value");
    }
    format!(
        "it may have expired or been revoked; {}",
        another(node, "a new one")
    )
}

/// Whether the variable that wins over every file is set.
pub(crate) fn environment_wins() -> bool {
    from_environment().is_some()
}

/// Where `one` comes from that `node` accepts.
fn another(node: &Node, one: &str) -> String {
    let bring = format!("get {one} on the node and bring it here:\n{}", fetch(node));
    if node.token_path.is_some() {
        return bring;
    }
    format!("log in again: mcp login\nor, where the node issues tokens itself, {bring}")
}

/// The command that brings a token of one's own from `node`.
fn fetch(node: &Node) -> String {
    format!(
        "ssh {} mcp-agent token issue --subject YOUR-NAME --bundle - | mcp node add --replace --bundle -",
        node.address.host()
    )
}

fn from_environment() -> Option<OsString> {
    std::env::var_os(TOKEN_VARIABLE).filter(|text| !text.is_empty())
}

fn token(config: &CliConfig, node: &Node) -> Result<Token> {
    if let Some(text) = from_environment() {
        let token = text.to_string_lossy().parse();
        return Ok(token.map_err(|error: mcp_identity::TokenError| {
            Problem::usage(format!("cannot use the token in {TOKEN_VARIABLE}")).because(error)
        })?);
    }
    let path = config.token_path(node);
    let token = read_token_file(path).map_err(|error| {
        Problem::new(format!("no token for node {}", node.name))
            .because(error)
            .help(format!("{}\nor set {TOKEN_VARIABLE}", another(node, "one")))
    })?;
    Ok(token)
}
