//! `mcp wait`: takes up the waiting that a deadline or an interrupt ended (S18).

use anyhow::Result;
use mcp_model::ServiceName;
use mcp_proto::v1::{ListOperationsRequest, OperationInfo};
use serde::Serialize;
use tonic::Status;

use crate::agent::Agent;
use crate::context::Context;
use crate::fleet::{ask, report_silent};
use crate::operation::Pace;
use crate::output::Show;
use crate::problem::{Exit, Problem};
use crate::progress::Progress;
use crate::status::explain;
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
    error: String,
}

pub(crate) async fn run(context: &Context, subject: &str) -> Result<Exit> {
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

async fn finish(
    context: &Context,
    agent: &Agent,
    mut operation: OperationInfo,
) -> Result<OperationInfo, Status> {
    let (mut progress, mut pace) = (Progress::new(context.out), Pace::new());
    while is_open(&operation) {
        progress.follow(agent, &operation).await;
        tokio::time::sleep(pace.next()).await;
        operation = agent.operation(&operation.id).await?.ok_or_else(|| {
            Status::not_found(format!("operation {} is no longer known", operation.id))
        })?;
    }
    progress.finish();
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
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut table = Table::new(&["NODE", "OPERATION", "KIND", "SERVICE", "STATE", "[ERROR]"]);
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
