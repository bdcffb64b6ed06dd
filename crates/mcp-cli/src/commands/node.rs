//! `mcp node`: the list of nodes, which is the configuration file itself. Nothing here speaks to
//! a node.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Result;
use mcp_config::cli::{self, edit};
use mcp_identity::Bundle;
use serde::Serialize;

use super::node_files;
use crate::args::{Global, Node, NodeAdd};
use crate::context::Context;
use crate::output::{Output, Show};
use crate::problem::{Exit, Problem};
use crate::table::Table;

#[derive(Debug, Serialize)]
struct List {
    nodes: Vec<Listed>,
}

/// A node as it is configured, the common settings included.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    address: String,
    ca_cert: Option<String>,
    token_path: String,
    server_name: Option<String>,
}

pub(crate) fn run(out: Output, global: Global, command: Node) -> Result<Exit> {
    match command {
        Node::List => list(&Context::configured(out, global)?),
        Node::Add(args) => add(&Context::load_or_new(out, global)?, args),
        Node::Remove { name } => remove(&Context::configured(out, global)?, &name),
    }
}

fn list(context: &Context) -> Result<Exit> {
    let config = &context.config;
    let text = |path: &Path| path.display().to_string();
    let nodes = config.nodes.iter().map(|node| Listed {
        name: node.name.to_string(),
        address: node.address.to_string(),
        ca_cert: config.ca_cert(node).map(text),
        token_path: text(config.token_path(node)),
        server_name: node.server_name.clone(),
    });
    context.out.show(&List {
        nodes: nodes.collect(),
    })?;
    Ok(Exit::Fine)
}

impl Show for List {
    fn text(&self) -> String {
        let mut table = Table::new(&["NAME", "ADDRESS", "CA", "TOKEN", "[SERVER NAME]"]);
        for node in &self.nodes {
            table.row([
                node.name.as_str().into(),
                node.address.as_str().into(),
                node.ca_cert.as_deref().unwrap_or_default().into(),
                node.token_path.as_str().into(),
                node.server_name.as_deref().unwrap_or_default().into(),
            ]);
        }
        if table.is_empty() {
            return "no nodes; add one with mcp node add\n".to_owned();
        }
        table.render()
    }
}

fn add(context: &Context, args: NodeAdd) -> Result<Exit> {
    let replace = args.replace;
    let (node, bundle) = match &args.bundle {
        Some(path) => {
            let bundle = read_bundle(path)?;
            (from_bundle(context, &args, &bundle)?, Some(bundle))
        }
        None => (from_args(args)?, None),
    };
    let path = &context.config.path;
    let text = edit::add_node(&edit::read(path)?, &node, replace).map_err(|error| {
        Problem::usage(format!("cannot add node {}", node.name))
            .because(error)
            .help("--replace gives a node that is there already the new values")
    })?;
    if let Some(bundle) = &bundle {
        node_files::store(path, &node.name, bundle)?;
    }
    edit::write(path, &text)?;
    context.out.note(&format!(
        "node {} at {} is in {}",
        node.name,
        node.address,
        path.display()
    ));
    context
        .out
        .note(&next_step(context, &node, bundle.as_ref()));
    Ok(Exit::Fine)
}

fn next_step(context: &Context, node: &cli::Node, bundle: Option<&Bundle>) -> String {
    let next = format!("mcp status --node {}", node.name);
    if let Some(bundle) = bundle {
        return format!("its token expires at {} UTC; next: {next}", bundle.expires);
    }
    let token = context.config.token_path(node);
    format!(
        "next: put its token into {} (mode 0600), then {next}",
        token.display()
    )
}

fn read_bundle(path: &Path) -> Result<Bundle> {
    let failed = || Problem::new(format!("cannot take the bundle from {}", path.display()));
    let bundle = if path == Path::new("-") {
        Bundle::read(io::stdin().lock())
    } else {
        Bundle::read(File::open(path).map_err(|error| failed().because(error))?)
    };
    Ok(bundle.map_err(|error| {
        Problem::new("cannot use the bundle")
            .because(error)
            .help("make one on the node: mcp-agent token issue --subject YOUR-NAME --bundle -")
    })?)
}

/// The node of a bundle; what the command line says besides wins.
fn from_bundle(context: &Context, args: &NodeAdd, bundle: &Bundle) -> Result<cli::Node> {
    let name = args.name.clone().unwrap_or_else(|| bundle.node.clone());
    let address = args.address.as_ref().unwrap_or(&bundle.address);
    let files = node_files::Files::of(&context.config.path, &name);
    Ok(cli::Node {
        address: parse_address(address)?,
        token_path: Some(files.token),
        ca_cert: Some(files.ca_cert),
        server_name: args
            .server_name
            .clone()
            .or_else(|| bundle.server_name.clone()),
        name,
    })
}

fn from_args(args: NodeAdd) -> Result<cli::Node> {
    let (Some(name), Some(address)) = (args.name, args.address) else {
        return Err(Problem::usage("a node needs a name and an address, or a bundle").into());
    };
    let absolute = |path: Option<std::path::PathBuf>| path.map(std::path::absolute).transpose();
    Ok(cli::Node {
        address: parse_address(&address)?,
        token_path: absolute(args.token_path)?,
        ca_cert: absolute(args.ca_cert)?,
        server_name: args.server_name,
        name,
    })
}

fn parse_address(text: &str) -> Result<cli::NodeAddress, Problem> {
    let address = text.parse();
    address.map_err(|error: cli::AddressError| Problem::usage("cannot add the node").because(error))
}

fn remove(context: &Context, name: &mcp_model::NodeName) -> Result<Exit> {
    let path = &context.config.path;
    let node = crate::select::configured(name, &context.config.nodes)?;
    edit::write(path, &edit::remove_node(&edit::read(path)?, name)?)?;
    context
        .out
        .note(&format!("node {name} is no longer in {}", path.display()));
    if node_files::forget(path, node)? {
        context
            .out
            .note("its token and CA certificate were deleted here; revoke the token on the node");
    }
    Ok(Exit::Fine)
}
