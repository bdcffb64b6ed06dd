//! `mcp sync`: says to every node what should be, without touching a container (S8).
//!
//! Everything is read and checked before anything is sent; then all nodes are told at once, those
//! without services too, since a node that hears nothing cannot say what it has too much.

use std::collections::BTreeMap;

use anyhow::Result;
use mcp_config::cli::Node;
use mcp_definition::Definition;
use mcp_model::NodeName;
use mcp_proto::convert::spec::service_to_wire;
use mcp_proto::v1;
use serde::Serialize;

use super::{dry_run, prune};
use crate::args::Sync;
use crate::context::Context;
use crate::fleet::{Answer, ask, report_silent};
use crate::output::{Output, Show};
use crate::problem::{Exit, Problem};
use crate::table::{Look, Table, Value};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    nodes: Vec<NodeReport>,
    /// Services that run on a node that their definition no longer names.
    strays: Vec<Stray>,
    /// What `--prune` removed.
    pruned: Vec<prune::Pruned>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    node: String,
    error: Option<String>,
    services: Vec<ServiceReport>,
    /// Services that the node has and no definition for it mentions; left as they are.
    unmentioned: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServiceReport {
    name: String,
    changed: bool,
    summary: String,
    /// Components that the definition no longer has; left as they are.
    orphaned: Vec<String>,
}

/// A service on a node that its definition no longer names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Stray {
    pub(super) service: String,
    /// Where it is.
    pub(super) node: String,
    /// Where its definition says it should be.
    pub(super) defined_on: String,
}

/// Removing needs somebody to say yes, and that is known before anything is sent.
pub(crate) fn check(args: &Sync) -> Result<()> {
    if args.prune && !args.yes && !args.dry_run && !Output::can_ask() {
        return Err(
            Problem::usage("cannot ask before removing: this is not a terminal")
                .help("look first with mcp sync --prune --dry-run, then add --yes")
                .into(),
        );
    }
    Ok(())
}

pub(crate) async fn run(context: &Context, args: &Sync) -> Result<Exit> {
    let nodes = context.nodes()?;
    let definitions = read(context, args)?;
    let requests = requests(&definitions, args);
    let request_for = |node: &Node| {
        requests
            .get(&node.name)
            .cloned()
            .unwrap_or_else(|| request(args))
    };
    if args.dry_run {
        return dry_run::sync(context, nodes, request_for, &definitions, args.prune).await;
    }
    let answers = ask(context, nodes, async |agent| {
        agent.check_level("sync").await?;
        agent.sync(request_for(&agent.node)).await
    })
    .await;
    let complete = report_silent(context.out, &answers);
    let strays = strays(&definitions, unmentioned(&answers));
    let excess = answers.iter().flat_map(prune::excess).collect();
    let mut report = Report {
        nodes: answers.into_iter().map(NodeReport::of).collect(),
        strays,
        pruned: Vec::new(),
    };
    warn(context.out, &report, args.prune);
    let mut exit = Exit::fine_if(complete);
    if args.prune {
        let (pruned, all) = prune::run(context, excess, args, &report.strays).await?;
        report.pruned = pruned;
        exit = Exit::fine_if(complete && all);
    }
    context.out.show(&report)?;
    Ok(exit)
}

/// All definitions, for configured nodes only where nodes are configured.
fn read(context: &Context, args: &Sync) -> Result<Vec<Definition>> {
    let dir = &context.config.services.dir;
    if !dir.exists() {
        let missing = format!("there is no services directory {}", dir.display());
        if args.prune {
            // Else a mistyped directory would remove everything.
            return Err(Problem::usage(missing)
                .help("create it, or set [services] dir")
                .into());
        }
        context
            .out
            .warn(&format!("{missing}; no definition is sent"));
        return Ok(Vec::new());
    }
    let definitions = mcp_definition::load_all(dir)?;
    if context.is_local() {
        // The others' definitions are there to be left alone.
        return Ok(definitions);
    }
    let lost = definitions
        .iter()
        .find(|d| context.config.node(&d.node).is_none());
    if let Some(definition) = lost {
        return Err(Problem::new(format!(
            "{} is for node {}, which is not configured; nothing was sent",
            definition.path.display(),
            definition.node
        ))
        .help(format!(
            "correct its node, or add it: mcp node add {} HOST:PORT",
            definition.node
        ))
        .into());
    }
    Ok(definitions)
}

fn request(args: &Sync) -> v1::SyncDesiredStateRequest {
    v1::SyncDesiredStateRequest {
        services: Vec::new(),
        message: args.message.clone(),
        force: args.force,
    }
}

/// What each node that has services is told.
fn requests(
    definitions: &[Definition],
    args: &Sync,
) -> BTreeMap<NodeName, v1::SyncDesiredStateRequest> {
    let mut requests = BTreeMap::new();
    for definition in definitions {
        let entry: &mut v1::SyncDesiredStateRequest = requests
            .entry(definition.node.clone())
            .or_insert_with(|| request(args));
        entry.services.push(service_to_wire(&definition.service));
    }
    requests
}

/// The node and name of every service that its node's request did not mention.
fn unmentioned<'a>(
    answers: &'a [Answer<'_, v1::SyncDesiredStateResponse>],
) -> impl Iterator<Item = (&'a NodeName, &'a str)> {
    answers.iter().flat_map(|answer| {
        let services = answer
            .result
            .iter()
            .flat_map(|response| &response.unmentioned);
        services.map(|service| (&answer.node.name, service.as_str()))
    })
}

/// Those that are defined, but for another node.
pub(super) fn strays<'a>(
    definitions: &[Definition],
    unmentioned: impl Iterator<Item = (&'a NodeName, &'a str)>,
) -> Vec<Stray> {
    unmentioned
        .filter_map(|(node, service)| {
            let definition = definitions
                .iter()
                .find(|d| d.service.name.as_str() == service)?;
            Some(Stray {
                service: service.to_owned(),
                node: node.to_string(),
                defined_on: definition.node.to_string(),
            })
        })
        .collect()
}

/// A stray in words.
pub(super) fn stray_text(stray: &Stray) -> String {
    format!(
        "stray: {} is on {}, but its definition names {}",
        stray.service, stray.node, stray.defined_on
    )
}

fn warn(out: Output, report: &Report, prune: bool) {
    for stray in &report.strays {
        out.warn(&stray_text(stray));
    }
    let left = report.nodes.iter().any(NodeReport::has_excess);
    if left && !prune {
        out.note("what no definition names is left as it is; mcp sync --prune removes it");
    }
}

impl NodeReport {
    fn of(answer: Answer<'_, v1::SyncDesiredStateResponse>) -> Self {
        let error = answer.error();
        let wire = answer.result.unwrap_or_default();
        let service = |result: v1::ServiceSyncResult| ServiceReport {
            name: result.name,
            changed: result.changed,
            summary: result.summary,
            orphaned: result.orphaned,
        };
        Self {
            node: answer.node.name.to_string(),
            error,
            services: wire.results.into_iter().map(service).collect(),
            unmentioned: wire.unmentioned,
        }
    }

    fn has_excess(&self) -> bool {
        !self.unmentioned.is_empty() || self.services.iter().any(|s| !s.orphaned.is_empty())
    }

    fn rows(&self, table: &mut Table) {
        let mut row = |service: &str, result: Value, summary: String| {
            table.row([
                self.node.as_str().into(),
                service.into(),
                result,
                summary.into(),
            ]);
        };
        if self.error.is_some() {
            row(
                "",
                Value::new("failed", Look::Bad),
                "see the error".to_owned(),
            );
        } else if self.services.is_empty() && self.unmentioned.is_empty() {
            row(
                "",
                Value::new("in sync", Look::Good),
                "no definitions for this node".to_owned(),
            );
        }
        for service in &self.services {
            let result = if service.changed {
                Value::new("changed", Look::Doubtful)
            } else {
                Value::new("unchanged", Look::Faint)
            };
            row(&service.name, result, service.summary.clone());
            for orphan in &service.orphaned {
                let name = format!("{}/{orphan}", service.name);
                row(
                    &name,
                    Value::new("orphaned", Look::Doubtful),
                    "not in its definition".to_owned(),
                );
            }
        }
        for service in &self.unmentioned {
            row(
                service,
                Value::new("unmentioned", Look::Doubtful),
                "in no definition for this node".to_owned(),
            );
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut table = Table::new(&["NODE", "SERVICE", "RESULT", "[SUMMARY]"]);
        for node in &self.nodes {
            node.rows(&mut table);
        }
        table.render() + &prune::text(&self.pruned)
    }
}
