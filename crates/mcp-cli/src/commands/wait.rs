//! `mcp wait`: takes up the waiting that a deadline or an interrupt ended (S18).

use std::pin::pin;

use anyhow::Result;
use futures::StreamExt as _;
use mcp_model::ServiceName;
use mcp_proto::v1::watch_response::Change;
use mcp_proto::v1::{ListOperationsRequest, OperationInfo};
use serde::Serialize;
use tonic::Status;

use crate::agent::Agent;
use crate::context::Context;
use crate::fleet::{ask, report_silent};
use crate::follow::{News, follow};
use crate::operation::{LONG, Pace};
use crate::output::Show;
use crate::problem::{self, Exit, Problem};
use crate::progress::Progress;
use crate::status::{explain, is_lost};
use crate::table::{Look, Table, Value};

/// More than can be open at once on one service.
const MOST: u32 = 100;

#[derive(Debug, Serialize)]
struct Report {
    operations: Vec<Ended>,
    /// Whether all nodes told all that they are doing.
    complete: bool,
}

#[derive(Debug, Serialize)]
struct Ended {
    node: String,
    id: String,
    kind: String,
    service: String,
    /// `succeeded`, `failed`, `expired` or `superseded`.
    state: String,
    /// What its caller wrote with `-m`.
    message: String,
    error: String,
}

pub(crate) async fn run(context: &Context, subject: &str) -> Result<Exit> {
    tokio::select! {
        ended = Box::pin(until_settled(context, subject)) => ended,
        _ = tokio::signal::ctrl_c() => Err(interrupted(context, subject)),
    }
}

/// The waiting ends; what was waited for does not.
fn interrupted(context: &Context, subject: &str) -> anyhow::Error {
    let node = context.wanted.as_ref().filter(|_| !context.is_local());
    let node = node.map(|node| format!(" --node {node}"));
    let again = format!("mcp wait {subject}{}", node.unwrap_or_default());
    Problem::new(format!(
        "stopped waiting for {subject}: interrupted; what is under way goes on"
    ))
    .help(format!("wait for it: {again}"))
    .into()
}

async fn until_settled(context: &Context, subject: &str) -> Result<Exit> {
    let answers = ask(context, context.nodes()?, async |agent| {
        let known = agent.services().await?;
        let known = known.iter().any(|service| service.name == subject);
        let limit = context.operation_timeout();
        let waiting = tokio::time::timeout(limit, wait(context, &agent, subject)).await;
        let late = |_| Status::deadline_exceeded("it goes on");
        let ended = waiting.map_err(late).flatten();
        let tried = format!("wait for {subject}");
        let ended = ended.map_err(|status| explain(&agent.node, &tried, &status))?;
        Ok((known, ended))
    })
    .await;
    let complete = report_silent(context.out, &answers);
    let known = answers
        .iter()
        .any(|answer| matches!(answer.result, Ok((true, _))));
    let operations: Vec<Ended> = answers
        .into_iter()
        .flat_map(|answer| {
            let node = &answer.node.name;
            let found = answer.result.unwrap_or_default().1.into_iter();
            found
                .map(|operation| Ended::of(node.as_str(), operation))
                .collect::<Vec<_>>()
        })
        .collect();
    if operations.is_empty() && complete && !known {
        // Nothing to wait for and nothing known of it are two things: one of them is a typing error.
        return Err(
            Problem::new(format!("no node knows an operation or a service {subject}"))
                .help("mcp list shows the services; --node asks one node only")
                .into(),
        );
    }
    let all = operations
        .iter()
        .all(|operation| operation.state == "succeeded");
    context.out.show(&Report {
        operations,
        complete,
    })?;
    Ok(Exit::fine_if(complete && all))
}

/// What became of the operation `subject`, and of those that are open on the service `subject`.
async fn wait(
    context: &Context,
    agent: &Agent,
    subject: &str,
) -> Result<Vec<OperationInfo>, Status> {
    let mut ended = Vec::new();
    for operation in find(agent, subject).await? {
        ended.push(finish(context, agent, operation).await?);
    }
    Ok(ended)
}

async fn find(agent: &Agent, subject: &str) -> Result<Vec<OperationInfo>, Status> {
    if let Ok(Some(operation)) = agent.operation(subject).await {
        return Ok(vec![operation]);
    }
    if subject.parse::<ServiceName>().is_err() {
        return Ok(Vec::new());
    }
    let request = ListOperationsRequest {
        service: subject.to_owned(),
        limit: MOST,
        ..Default::default()
    };
    let mut operations = agent.operations(request).await?;
    operations.retain(is_open);
    Ok(operations)
}

/// The operation once it is settled.
async fn finish(
    context: &Context,
    agent: &Agent,
    operation: OperationInfo,
) -> Result<OperationInfo, Status> {
    if !is_open(&operation) {
        return Ok(operation);
    }
    let mut progress = Progress::new(context.out);
    progress.update(&operation);
    let ended = followed(context, agent, &operation, &mut progress).await?;
    let ended = match ended {
        Some(ended) => ended,
        None => polled(agent, operation, &mut progress).await?,
    };
    progress.finish();
    Ok(ended)
}

/// Follows the operation to its end; `None` where the agent does not tell what happens.
async fn followed(
    context: &Context,
    agent: &Agent,
    operation: &OperationInfo,
    progress: &mut Progress,
) -> Result<Option<OperationInfo>, Status> {
    let node = &agent.node;
    let first = Some(agent.clone());
    let mut news = follow(context, node, &operation.service, first);
    let mut long = pin!(tokio::time::sleep(LONG));
    let (mut among_the_open, mut connected) = (false, true);
    loop {
        let told = tokio::select! {
            told = news.next() => told,
            () = &mut long, if !long.is_elapsed() => {
                progress.takes_long();
                continue;
            }
        };
        let change = match told {
            None | Some(News::Refused(_)) => return Ok(None),
            Some(News::Lost(why)) => {
                if connected {
                    context
                        .out
                        .note(&format!("{why}; going on when it is back"));
                }
                connected = false;
                continue;
            }
            Some(News::Change(change)) => *change,
        };
        connected = true;
        let over = match change {
            Change::Resync(_) => {
                among_the_open = false;
                false
            }
            // What is not among the open ones has ended unseen.
            Change::Complete(_) => !among_the_open,
            Change::Operation(told) if told.id == operation.id => {
                progress.update(&told);
                among_the_open = true;
                !is_open(&told)
            }
            Change::State(state) => {
                progress.state(&state);
                false
            }
            _ => false,
        };
        if !over {
            continue;
        }
        // The stream tells what changed; this is all of it.
        let now = whole(context, agent, &operation.id).await?;
        progress.update(&now);
        if !is_open(&now) {
            return Ok(Some(now));
        }
    }
}

/// The operation as it is now, over a connection that may have to be made anew.
async fn whole(context: &Context, agent: &Agent, id: &str) -> Result<OperationInfo, Status> {
    let found = match agent.operation(id).await {
        Err(status) if is_lost(&status) => {
            let again = Agent::connect(context, &agent.node).await;
            let again = again.map_err(|error| Status::unavailable(problem::chain(&error)))?;
            again.operation(id).await?
        }
        found => found?,
    };
    found.ok_or_else(|| Status::not_found(format!("operation {id} is no longer known")))
}

/// Looks at the operation again and again until it is settled.
async fn polled(
    agent: &Agent,
    mut operation: OperationInfo,
    progress: &mut Progress,
) -> Result<OperationInfo, Status> {
    let mut pace = Pace::new();
    while is_open(&operation) {
        progress.follow(agent, &operation).await;
        tokio::time::sleep(pace.next()).await;
        operation = agent.operation(&operation.id).await?.ok_or_else(|| {
            Status::not_found(format!("operation {} is no longer known", operation.id))
        })?;
    }
    Ok(operation)
}

fn is_open(operation: &OperationInfo) -> bool {
    matches!(operation.state.as_str(), "accepted" | "running")
}

impl Ended {
    fn of(node: &str, operation: OperationInfo) -> Self {
        let failed = operation.steps.iter().filter(|step| !step.error.is_empty());
        let errors = failed.map(|step| format!("{}: {}", step.component, step.error));
        let own = Some(operation.error).filter(|error| !error.is_empty());
        Self {
            node: node.to_owned(),
            error: own.into_iter().chain(errors).collect::<Vec<_>>().join("; "),
            id: operation.id,
            kind: operation.kind,
            service: operation.service,
            state: operation.state,
            message: operation.message,
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            "NODE",
            "OPERATION",
            "KIND",
            "SERVICE",
            "STATE",
            "[REASON]",
            "[ERROR]",
        ]);
        for operation in &self.operations {
            let look = if operation.state == "succeeded" {
                Look::Good
            } else {
                Look::Bad
            };
            table.row([
                operation.node.as_str().into(),
                operation.id.as_str().into(),
                operation.kind.as_str().into(),
                operation.service.as_str().into(),
                Value::new(operation.state.as_str(), look),
                operation.message.as_str().into(),
                operation.error.as_str().into(),
            ]);
        }
        match (table.is_empty(), self.complete) {
            (false, _) => table.render(),
            (true, true) => "nothing is being done\n".to_owned(),
            // The errors have said what is known.
            (true, false) => String::new(),
        }
    }
}
