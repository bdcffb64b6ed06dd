//! `mcp list`: what the registries know; nobody asks a runtime.

use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::fleet::{Answer, ask, report_silent};
use crate::output::Show;
use crate::problem::Exit;
use crate::table::{Look, Table, Value};
use crate::view::{self, Service};

#[derive(Debug, Serialize)]
pub(crate) struct List {
    pub(crate) nodes: Vec<Listed>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    node: String,
    error: Option<String>,
    services: Vec<Service>,
}

pub(crate) async fn run(context: &Context) -> Result<Exit> {
    let answers = ask(context, context.nodes()?, async |agent| {
        agent.services().await
    })
    .await;
    let complete = report_silent(context.out, &answers);
    let nodes = answers.into_iter().map(Listed::of).collect();
    context.out.show(&List { nodes })?;
    Ok(Exit::fine_if(complete))
}

impl Listed {
    pub(crate) fn of(answer: Answer<'_, Vec<mcp_proto::v1::ServiceInfo>>) -> Self {
        Self {
            node: answer.node.name.to_string(),
            error: answer.error(),
            services: view::all(answer.result.unwrap_or_default()),
        }
    }
}

impl Show for List {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            "[NODE]",
            "SERVICE",
            "COMPONENT",
            "DESIRED",
            "LAST SEEN",
            "VERSION",
            "IMAGE",
            "[NOTE]",
        ]);
        let several = self.nodes.len() > 1;
        for node in &self.nodes {
            let name = if several { node.node.as_str() } else { "" };
            for service in &node.services {
                for component in &service.components {
                    table.row([
                        name.into(),
                        service.name.as_str().into(),
                        component.name.as_str().into(),
                        component.desired.as_str().into(),
                        Value::state(&component.observed),
                        component.version.as_str().into(),
                        component.image.as_str().into(),
                        component.note().into(),
                    ]);
                }
            }
            if node.error.is_some() {
                table.row([
                    name.into(),
                    "".into(),
                    "".into(),
                    "".into(),
                    Value::state("unknown"),
                    "".into(),
                    "".into(),
                    Value::new("no data: see the error", Look::Bad),
                ]);
            }
        }
        if table.is_empty() {
            return "no services\n".to_owned();
        }
        table.render()
    }
}
