//! `mcp status`: drift first, then what led there.
//!
//! What could not be observed is shown as unknown, with the reason, and never counts as fine.

use anyhow::Result;
use jiff::Timestamp;
use mcp_proto::v1::GetServiceStatusResponse;
use serde::Serialize;
use tonic::Code;

use crate::args;
use crate::context::Context;
use crate::fleet::{Answer, ask, report_silent};
use crate::human::{age, timestamp};
use crate::problem::{Exit, Problem};
use crate::view::{self, Drift, Event, Flapping, Foreign, Incident, Service, Source};

/// What all nodes answered.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Whether any node reports drift.
    pub(super) drift: bool,
    /// Whether anything could not be observed.
    pub(super) unknown: bool,
    pub(super) nodes: Vec<View>,
}

/// What one node answered.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(super) node: String,
    pub(super) error: Option<String>,
    /// When the last complete look at the runtime began.
    pub(super) observed_at: Option<Timestamp>,
    /// The agent's clock when it answered.
    pub(super) answered_at: Option<Timestamp>,
    /// How old the view is.
    pub(super) age_seconds: Option<f64>,
    /// Why the last look failed.
    pub(super) observation_error: Option<String>,
    /// Whether the agent may act on drift by itself.
    pub(super) auto_reconcile: bool,
    pub(super) services: Vec<Service>,
    pub(super) drift: Vec<Drift>,
    /// What changes its state too often, whether it is as wanted just now or not.
    pub(super) flapping: Vec<Flapping>,
    /// What stands about the node as a whole.
    pub(super) incidents: Vec<Incident>,
    pub(super) recent_events: Vec<Event>,
    pub(super) foreign: Vec<Foreign>,
    /// How many foreign containers there are beside those shown.
    pub(super) foreign_omitted: u32,
    pub(super) sources: Vec<Source>,
}

pub(crate) async fn run(context: &Context, args: args::Status) -> Result<Exit> {
    let service = args.service.as_ref().map_or("", |service| service.as_str());
    if args.watch {
        return super::status_watch::run(context, service).await;
    }
    let answers = ask(context, context.nodes()?, async |agent| {
        known(agent.status(service, !args.live).await)
    })
    .await;
    let complete = report_silent(context.out, &answers);
    let mut nodes: Vec<View> = answers.into_iter().filter_map(View::of).collect();
    if !service.is_empty() {
        // They are the node's, not the service's.
        nodes.iter_mut().for_each(View::forget_foreign);
    }
    let found = nodes.iter().any(|node| !node.services.is_empty());
    if !service.is_empty() && complete && !found {
        return Err(Problem::new(format!("no node knows service {service}"))
            .help("mcp list shows what there is")
            .into());
    }
    let status = Status::of(nodes);
    context.out.show(&status)?;
    Ok(exit(&status, complete, args.exit_code))
}

/// A node that does not know the service has answered all the same.
pub(super) fn known(
    answer: Result<GetServiceStatusResponse>,
) -> Result<Option<GetServiceStatusResponse>> {
    match answer {
        Ok(status) => Ok(Some(status)),
        Err(error) if crate::status::code_of(&error) == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is incomplete is a failure before it is anything else: drift may hide behind it.
fn exit(status: &Status, complete: bool, wanted: bool) -> Exit {
    match status {
        _ if !complete => Exit::Failed,
        _ if !wanted => Exit::Fine,
        Status { unknown: true, .. } => Exit::Failed,
        Status { drift: true, .. } => Exit::Drift,
        _ => Exit::Fine,
    }
}

impl Status {
    /// What follows from what the nodes answered.
    pub(crate) fn of(nodes: Vec<View>) -> Self {
        Self {
            drift: nodes.iter().any(|node| !node.drift.is_empty()),
            unknown: nodes.iter().any(View::has_unknown),
            nodes,
        }
    }

    /// Leaves out what is the nodes' and no service's.
    pub(super) fn forget_foreign(&mut self) {
        self.nodes.iter_mut().for_each(View::forget_foreign);
    }
}

impl View {
    pub(crate) fn of(answer: Answer<'_, Option<GetServiceStatusResponse>>) -> Option<Self> {
        let error = answer.error();
        let wire = match answer.result {
            Ok(None) => return None,
            Ok(Some(wire)) => wire,
            Err(_) => GetServiceStatusResponse::default(),
        };
        let observed_at = timestamp(wire.observed_at.as_ref());
        let answered_at = timestamp(wire.answered_at.as_ref());
        let view_age = observed_at.map(|at| age(answered_at.unwrap_or_else(Timestamp::now), at));
        Some(Self {
            node: answer.node.name.to_string(),
            error,
            observed_at,
            answered_at,
            age_seconds: view_age.map(|age| age.as_secs_f64()),
            observation_error: view::said(wire.observation_error),
            auto_reconcile: wire.auto_reconcile,
            services: view::all(wire.services),
            drift: view::all(wire.drift),
            flapping: view::all(wire.flapping),
            incidents: view::all(wire.incidents),
            recent_events: view::all(wire.recent_events),
            foreign: view::all(wire.foreign),
            foreign_omitted: wire.foreign_omitted,
            sources: view::all(wire.sources),
        })
    }

    /// By the agent's clock where it tells it, so that the two need not agree.
    pub(super) fn now(&self) -> Timestamp {
        self.answered_at.unwrap_or_else(Timestamp::now)
    }

    fn forget_foreign(&mut self) {
        self.foreign.clear();
        self.foreign_omitted = 0;
    }

    /// Whether something on it could not be observed.
    fn has_unknown(&self) -> bool {
        let mut components = self.services.iter().flat_map(|service| &service.components);
        self.error.is_some()
            || self.observation_error.is_some()
            || self.observed_at.is_none()
            || components.any(view::Component::is_unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_an_exit_code_only_where_it_was_asked_for_and_all_is_known() {
        for (drift, unknown, complete, wanted, expected) in [
            (true, false, true, true, Exit::Drift),
            (true, false, true, false, Exit::Fine),
            (false, false, true, true, Exit::Fine),
            (false, true, true, true, Exit::Failed),
            (true, true, true, true, Exit::Failed),
            (true, false, false, true, Exit::Failed),
            (false, false, false, false, Exit::Failed),
        ] {
            let status = Status {
                drift,
                unknown,
                nodes: Vec::new(),
            };
            assert_eq!(exit(&status, complete, wanted), expected);
        }
    }

    #[test]
    fn anything_that_was_not_observed_makes_a_node_unknown() {
        let node = mcp_config::cli::Node {
            name: "rift".parse().unwrap(),
            address: "127.0.0.1:9444".parse().unwrap(),
            token_path: None,
            ca_cert: None,
            server_name: None,
        };
        let unknown = |change: fn(&mut GetServiceStatusResponse)| {
            let mut wire = GetServiceStatusResponse {
                observed_at: Some(prost_types::Timestamp::default()),
                ..Default::default()
            };
            change(&mut wire);
            let result = Ok(Some(wire));
            View::of(Answer {
                node: &node,
                result,
            })
            .unwrap()
            .has_unknown()
        };
        assert!(!unknown(|_| {}));
        assert!(unknown(|wire| wire.observed_at = None));
        assert!(unknown(
            |wire| "podman hangs".clone_into(&mut wire.observation_error)
        ));
        assert!(unknown(|wire| {
            let component = mcp_proto::v1::ComponentInfo {
                observed_state: "a new word".to_owned(),
                ..Default::default()
            };
            let service = mcp_proto::v1::ServiceInfo {
                components: vec![component],
                ..Default::default()
            };
            wire.services.push(service);
        }));
    }
}
