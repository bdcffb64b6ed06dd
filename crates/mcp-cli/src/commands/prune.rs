//! `mcp sync --prune`: removes what no definition names any more, after showing it and asking.

use anyhow::Result;
use futures::future::join_all;
use mcp_config::cli::Node;
use mcp_proto::v1;
use serde::Serialize;

use super::sync::Stray;
use crate::agent::{Agent, Client};
use crate::args::Sync;
use crate::context::Context;
use crate::fleet::Answer;
use crate::operation::{self, Asked, Ended, Goal, new_id, outcomes, wait};
use crate::problem;
use crate::table::{Look, Table, Value};
use crate::view::Outcome;

/// A service, or one component of it, that a node has too much.
#[derive(Debug, Clone)]
pub(super) struct Excess {
    node: Node,
    service: String,
    /// Empty for the whole service.
    component: String,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub(super) struct Pruned {
    node: String,
    service: String,
    /// Empty for the whole service.
    component: String,
    operation_id: String,
    success: bool,
    error: String,
    results: Vec<Outcome>,
}

/// What a node said that it has too much.
pub(super) fn excess(answer: &Answer<'_, v1::SyncDesiredStateResponse>) -> Vec<Excess> {
    let Ok(response) = &answer.result else {
        return Vec::new();
    };
    let item = |service: &str, component: &str| Excess {
        node: answer.node.clone(),
        service: service.to_owned(),
        component: component.to_owned(),
    };
    let orphans = response
        .results
        .iter()
        .flat_map(|result| result.orphaned.iter().map(move |orphan| (result, orphan)))
        .map(|(result, orphan)| item(&result.name, orphan));
    let services = response.unmentioned.iter().map(|service| item(service, ""));
    orphans.chain(services).collect()
}

/// Shows, asks, removes. Returns what was removed and whether all of it was.
pub(super) async fn run(
    context: &Context,
    excess: Vec<Excess>,
    args: &Sync,
    strays: &[Stray],
) -> Result<(Vec<Pruned>, bool)> {
    if excess.is_empty() {
        context.out.note("nothing to prune");
        return Ok((Vec::new(), true));
    }
    let list: Vec<String> = excess.iter().map(|item| describe(item, strays)).collect();
    let list = format!("to be removed, with their containers:\n{}", list.join("\n"));
    context.out.note(&list);
    if !args.yes && !context.out.confirm("Remove them?")? {
        context.out.note("nothing was removed");
        return Ok((Vec::new(), true));
    }
    let removals = excess
        .into_iter()
        .map(|item| remove(context, item, &args.message));
    let pruned = join_all(removals).await;
    for failed in pruned.iter().filter(|pruned| !pruned.success) {
        context.out.error(&anyhow::anyhow!(
            "{}: {}",
            name(&failed.service, &failed.component),
            failed.error
        ));
    }
    let all = pruned.iter().all(|pruned| pruned.success);
    Ok((pruned, all))
}

fn describe(item: &Excess, strays: &[Stray]) -> String {
    let what = name(&item.service, &item.component);
    let node = item.node.name.as_str();
    let stray = strays
        .iter()
        .find(|stray| stray.node == node && stray.service == item.service);
    match stray {
        Some(stray) if item.component.is_empty() => {
            format!(
                "{what} on {node} (its definition names {})",
                stray.defined_on
            )
        }
        _ => format!("{what} on {node}"),
    }
}

fn name(service: &str, component: &str) -> String {
    if component.is_empty() {
        service.to_owned()
    } else {
        format!("{service}/{component}")
    }
}

async fn remove(context: &Context, item: Excess, message: &str) -> Pruned {
    let id = new_id();
    let (results, error) = match undeploy(context, &item, &id, message).await {
        Ok(results) => (results, String::new()),
        Err(error) => (Vec::new(), problem::chain(&error)),
    };
    let failed = results.iter().find(|outcome| !outcome.success);
    let error = failed.map_or(error, |outcome| {
        format!("{}: {}", outcome.component, outcome.error)
    });
    Pruned {
        node: item.node.name.to_string(),
        service: item.service,
        component: item.component,
        operation_id: id.to_string(),
        success: error.is_empty(),
        error,
        results,
    }
}

async fn undeploy(
    context: &Context,
    item: &Excess,
    id: &mcp_model::OperationId,
    message: &str,
) -> Result<Vec<Outcome>> {
    let agent = Agent::connect(context, &item.node).await?;
    let request = v1::UndeployRequest {
        service: item.service.clone(),
        component: item.component.clone(),
        operation_id: id.to_string(),
        message: message.to_owned(),
    };
    let tried = format!("remove {}", name(&item.service, &item.component));
    let asked = Asked {
        agent: &agent,
        id,
        service: &item.service,
        tried: &tried,
    };
    let call = async |mut client: Client| {
        client
            .undeploy(operation::request(context, request.clone()))
            .await
    };
    match wait(context, asked, call).await? {
        Ended::Answered(response) => Ok(outcomes(response.results, Goal::Gone)),
        Ended::Left { problem, .. } => Err(problem.into()),
    }
}

/// The section of what was removed; nothing where nothing was asked for.
pub(super) fn text(pruned: &[Pruned]) -> String {
    if pruned.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["NODE", "REMOVED", "RESULT"]);
    for item in pruned {
        let (word, look) = if item.success {
            ("done", Look::Good)
        } else {
            ("failed", Look::Bad)
        };
        let result = Value::new(word, look);
        table.row([
            item.node.as_str().into(),
            name(&item.service, &item.component).into(),
            result,
        ]);
    }
    format!("\n{}", table.render())
}
