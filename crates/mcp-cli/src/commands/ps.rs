//! `mcp ps`: what runs right now, asked of the runtimes themselves (S27).

use anyhow::Result;
use jiff::Timestamp;
use mcp_proto::v1::LiveCheckResponse;
use serde::Serialize;

use crate::context::Context;
use crate::fleet::{Answer, ask, report_silent};
use crate::human::{age, duration, timestamp};
use crate::output::Show;
use crate::problem::Exit;
use crate::table::{Look, Table, Value};
use crate::view::{self, Component, Foreign, Service};

#[derive(Debug, Serialize)]
pub(crate) struct Ps {
    pub(crate) nodes: Vec<Seen>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    node: String,
    error: Option<String>,
    /// When the look at the runtime began.
    observed_at: Option<Timestamp>,
    /// The agent's clock when it answered.
    answered_at: Option<Timestamp>,
    /// Why the runtime could not be asked; states are `unknown` then.
    observation_error: Option<String>,
    services: Vec<Service>,
    foreign: Vec<Foreign>,
    /// How many foreign containers there are beside those shown.
    foreign_omitted: u32,
}

pub(crate) async fn run(context: &Context) -> Result<Exit> {
    let answers = ask(context, context.nodes()?, async |agent| {
        agent.live_check().await
    })
    .await;
    let complete = report_silent(context.out, &answers);
    let nodes: Vec<Seen> = answers.into_iter().map(Seen::of).collect();
    let blind: Vec<&Seen> = nodes
        .iter()
        .filter(|node| node.observation_error.is_some())
        .collect();
    for node in &blind {
        let why = node.observation_error.as_deref().unwrap_or_default();
        context.out.warn(&format!(
            "{}: the runtime could not be asked: {why}",
            node.node
        ));
    }
    let seen = complete && blind.is_empty();
    context.out.show(&Ps { nodes })?;
    Ok(Exit::fine_if(seen))
}

impl Seen {
    pub(crate) fn of(answer: Answer<'_, LiveCheckResponse>) -> Self {
        let error = answer.error();
        let wire = answer.result.unwrap_or_default();
        Self {
            node: answer.node.name.to_string(),
            error,
            observed_at: timestamp(wire.observed_at.as_ref()),
            answered_at: timestamp(wire.answered_at.as_ref()),
            observation_error: view::said(wire.observation_error),
            services: view::all(wire.services),
            foreign: view::all(wire.foreign),
            foreign_omitted: wire.foreign_omitted,
        }
    }

    /// By the agent's clock where it tells it, so that the two need not agree.
    fn uptime(&self, started: Option<Timestamp>) -> String {
        let now = self.answered_at.unwrap_or_else(Timestamp::now);
        started.map_or_else(String::new, |started| duration(age(now, started)))
    }

    fn rows(&self, name: &str, table: &mut Table) {
        for service in &self.services {
            for component in &service.components {
                table.row([
                    name.into(),
                    service.name.as_str().into(),
                    component.name.as_str().into(),
                    Value::state(&component.observed),
                    self.component_uptime(component).into(),
                    component.version.as_str().into(),
                    component.image.as_str().into(),
                    component.note().into(),
                ]);
            }
        }
        if self.error.is_some() {
            table.row([
                name.into(),
                "".into(),
                "".into(),
                Value::state("unknown"),
                "".into(),
                "".into(),
                "".into(),
                Value::new("no data: see the error", Look::Bad),
            ]);
        }
    }

    fn component_uptime(&self, component: &Component) -> String {
        match component.observed.as_str() {
            "running" => self.uptime(component.started),
            _ => String::new(),
        }
    }
}

impl Show for Ps {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            "[NODE]",
            "SERVICE",
            "COMPONENT",
            "STATE",
            "UPTIME",
            "VERSION",
            "IMAGE",
            "[NOTE]",
        ]);
        let mut foreign = view::ForeignTable::default();
        let several = self.nodes.len() > 1;
        for node in &self.nodes {
            let name = if several { node.node.as_str() } else { "" };
            node.rows(name, &mut table);
            foreign.add(name, &node.foreign, node.foreign_omitted);
        }
        let managed = if table.is_empty() {
            "no services\n".to_owned()
        } else {
            table.render()
        };
        managed + &foreign.render()
    }
}
