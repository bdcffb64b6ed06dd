//! What `--dry-run` shows: the agents' own plans, field by field, and the commands that would run.

use anyhow::Result;
use jiff::Timestamp;
use mcp_config::cli::Node;
use mcp_definition::Definition;
use mcp_model::text::escape;
use mcp_proto::v1::{self, plan_request::Intent};
use serde::Serialize;

use super::sync::{Stray, stray_text, strays};
use crate::context::Context;
use crate::fleet::{Answer, ask, report_silent};
use crate::human::{ago, shell_word, timestamp};
use crate::output::Show;
use crate::problem::Exit;

#[derive(Debug, Serialize)]
struct Report {
    nodes: Vec<NodePlan>,
    strays: Vec<Stray>,
    /// Whether what no definition names would be removed.
    prune: bool,
}

#[derive(Debug, Serialize)]
struct NodePlan {
    node: String,
    error: Option<String>,
    services: Vec<ServicePlan>,
    unmentioned: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServicePlan {
    name: String,
    changed: bool,
    components: Vec<ComponentPlan>,
}

#[derive(Debug, Serialize)]
struct ComponentPlan {
    name: String,
    /// `added`, `changed`, `unchanged` or `orphaned`.
    change: String,
    fields: Vec<Field>,
    commands: Vec<Command>,
    /// Whose intent it would overwrite, and since when that stands.
    overwrites: Option<String>,
    overwrites_from: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Field {
    #[serde(rename = "field")]
    name: String,
    before: String,
    after: String,
}

#[derive(Debug, Serialize)]
struct Command {
    argv: Vec<String>,
    env: Vec<String>,
}

/// What a sync would change on all `nodes`.
pub(super) async fn sync(
    context: &Context,
    nodes: Vec<&Node>,
    request_for: impl Fn(&Node) -> v1::SyncDesiredStateRequest,
    definitions: &[Definition],
    prune: bool,
) -> Result<Exit> {
    let answers = ask(context, nodes, async |agent| {
        agent.plan(Intent::Sync(request_for(&agent.node))).await
    })
    .await;
    let unmentioned = answers.iter().flat_map(|answer| {
        let services = answer.result.iter().flat_map(|plan| &plan.unmentioned);
        services.map(|service| (&answer.node.name, service.as_str()))
    });
    let strays = strays(definitions, unmentioned);
    show(context, answers, strays, prune)
}

/// What a deploy would run on `node`.
pub(super) async fn deploy(
    context: &Context,
    node: &Node,
    request: v1::DeployRequest,
) -> Result<Exit> {
    let answers = ask(context, [node], async |agent| {
        agent.plan(Intent::Deploy(request.clone())).await
    })
    .await;
    show(context, answers, Vec::new(), false)
}

fn show(
    context: &Context,
    answers: Vec<Answer<'_, v1::PlanResponse>>,
    strays: Vec<Stray>,
    prune: bool,
) -> Result<Exit> {
    let complete = report_silent(context.out, &answers);
    let nodes = answers.into_iter().map(NodePlan::of).collect();
    context.out.show(&Report {
        nodes,
        strays,
        prune,
    })?;
    context.out.note("nothing was changed (--dry-run)");
    Ok(Exit::fine_if(complete))
}

impl NodePlan {
    fn of(answer: Answer<'_, v1::PlanResponse>) -> Self {
        let error = answer.error();
        let wire = answer.result.unwrap_or_default();
        Self {
            node: answer.node.name.to_string(),
            error,
            services: wire.services.into_iter().map(ServicePlan::of).collect(),
            unmentioned: wire.unmentioned,
        }
    }
}

impl ServicePlan {
    fn of(wire: v1::ServicePlan) -> Self {
        Self {
            name: wire.name,
            changed: wire.changed,
            components: wire.components.into_iter().map(ComponentPlan::of).collect(),
        }
    }
}

impl ComponentPlan {
    fn of(wire: v1::ComponentPlan) -> Self {
        let field = |f: v1::FieldChange| Field {
            name: f.field,
            before: f.before,
            after: f.after,
        };
        let command = |c: v1::RuntimeCommand| Command {
            argv: c.argv,
            env: c.env,
        };
        Self {
            name: wire.name,
            change: wire.change,
            fields: wire.fields.into_iter().map(field).collect(),
            commands: wire.commands.into_iter().map(command).collect(),
            overwrites: (!wire.overwrites.is_empty()).then_some(wire.overwrites),
            overwrites_from: timestamp(wire.overwrites_from.as_ref()),
        }
    }

    fn lines(&self, service: &str, prune: bool) -> Vec<String> {
        let mark = match self.change.as_str() {
            "added" => '+',
            "changed" => '~',
            "orphaned" => '!',
            _ => ' ',
        };
        let fate = match self.change.as_str() {
            "orphaned" => format!("orphaned: {}", fate(prune)),
            other => other.to_owned(),
        };
        let title = format!("  {mark} {service}/{} ({fate})", self.name);
        let overwrites = self.overwrites.iter().map(|by| {
            let when = ago(Timestamp::now(), self.overwrites_from);
            format!("      changed by {by} {when}: overwriting it takes --force")
        });
        let fields = self.fields.iter().map(Field::line);
        let commands = self
            .commands
            .iter()
            .map(|command| format!("      $ {}", command.line()));
        std::iter::once(title)
            .chain(overwrites)
            .chain(fields)
            .chain(commands)
            .collect()
    }
}

impl Field {
    fn line(&self) -> String {
        let shown = |value: &'_ str| {
            if value.is_empty() {
                "(none)".to_owned()
            } else {
                value.to_owned()
            }
        };
        format!(
            "      {}: {} → {}",
            self.name,
            shown(&self.before),
            shown(&self.after)
        )
    }
}

impl Command {
    /// As it could be typed.
    fn line(&self) -> String {
        let env = self.env.iter().map(|entry| match entry.split_once('=') {
            Some((name, value)) => format!("{name}={}", shell_word(value)),
            None => shell_word(entry),
        });
        let words: Vec<String> = env
            .chain(self.argv.iter().map(|word| shell_word(word)))
            .collect();
        words.join(" ")
    }
}

/// What becomes of what no definition names.
fn fate(prune: bool) -> &'static str {
    if prune {
        "to be removed with its containers"
    } else {
        "left as it is"
    }
}

impl NodePlan {
    fn lines(&self, prune: bool) -> Vec<String> {
        let mut lines = vec![self.node.clone()];
        for service in &self.services {
            lines.extend(
                service
                    .components
                    .iter()
                    .flat_map(|c| c.lines(&service.name, prune)),
            );
        }
        let unmentioned = |name: &String| format!("  ? {name} (unmentioned: {})", fate(prune));
        lines.extend(self.unmentioned.iter().map(unmentioned));
        if lines.len() == 1 {
            lines.push("  nothing to change".to_owned());
        }
        lines
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let answered = self.nodes.iter().filter(|node| node.error.is_none());
        let lines = answered
            .flat_map(|node| node.lines(self.prune))
            .chain(self.strays.iter().map(stray_text));
        // Escaped at the very end, so that no part of a line can be forgotten.
        lines
            .flat_map(|line| [escape(&line).into_owned(), "\n".to_owned()])
            .collect()
    }
}
