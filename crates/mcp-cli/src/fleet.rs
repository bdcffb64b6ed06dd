//! Asking many nodes at once; each answers, or does not, for itself.

use anyhow::Result;
use futures::future::join_all;
use mcp_config::cli::Node;
use mcp_model::{NodeName, ServiceName};

use crate::agent::Agent;
use crate::context::{Context, no_nodes};
use crate::output::Output;
use crate::problem;
use crate::select::{Choice, Knows, choose, configured, settle};

/// What one node said.
#[derive(Debug)]
pub(crate) struct Answer<'a, T> {
    pub(crate) node: &'a Node,
    pub(crate) result: Result<T>,
}

impl<T> Answer<'_, T> {
    /// Why there is no answer, on one line; `None` where there is one.
    pub(crate) fn error(&self) -> Option<String> {
        self.result.as_ref().err().map(problem::chain)
    }
}

/// Connects to all `nodes` at once and lets each do `work`. A node that does not answer costs its
/// own entry.
pub(crate) async fn ask<'a, T, F, W>(
    context: &Context,
    nodes: impl IntoIterator<Item = &'a Node>,
    work: F,
) -> Vec<Answer<'a, T>>
where
    F: Fn(Agent) -> W,
    W: Future<Output = Result<T>>,
{
    let work = &work;
    join_all(nodes.into_iter().map(|node| async move {
        let result = async { work(Agent::connect(context, node).await?).await };
        Answer {
            node,
            result: result.await,
        }
    }))
    .await
}

/// Tells of every node that did not answer. Returns whether all did.
pub(crate) fn report_silent<T>(out: Output, answers: &[Answer<'_, T>]) -> bool {
    let failed = answers
        .iter()
        .filter_map(|answer| answer.result.as_ref().err());
    let mut all = true;
    for error in failed {
        out.error(error);
        all = false;
    }
    all
}

/// The node that a command about `service` goes to (S52).
pub(crate) async fn locate<'a>(
    context: &'a Context,
    service: &ServiceName,
    file: Option<&NodeName>,
) -> Result<&'a Node> {
    let nodes = &context.config.nodes;
    if nodes.is_empty() {
        return Err(no_nodes(&context.config).into());
    }
    match choose(context.wanted.as_ref(), file, nodes)? {
        Choice::Node(node) => Ok(node),
        Choice::WhoKnows => {
            let answers = ask(context, nodes, async |agent| agent.services().await).await;
            report_silent(context.out, &answers);
            let known: Vec<_> = answers
                .iter()
                .map(|answer| (&answer.node.name, knows(answer, service)))
                .collect();
            let name = settle(service, &known)?;
            context.out.detail(&format!("{service} is on {name}"));
            Ok(configured(name, nodes)?)
        }
    }
}

fn knows(answer: &Answer<'_, Vec<mcp_proto::v1::ServiceInfo>>, service: &ServiceName) -> Knows {
    match &answer.result {
        Err(_) => Knows::Silent,
        Ok(services) if services.iter().any(|s| s.name == service.as_str()) => Knows::Yes,
        Ok(_) => Knows::No,
    }
}
