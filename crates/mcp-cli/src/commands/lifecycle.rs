//! `mcp start`, `mcp stop`, `mcp restart` (S53).
//!
//! The definition is the operator's word, so it has to change along with the node's intent: that
//! it can be written is known before the node is asked, and it is written once the node has
//! accepted the change, whether or not the waiting lasted to the end.

use std::path::PathBuf;

use anyhow::Result;
use mcp_definition::Definition;
use mcp_model::ServiceName;
use mcp_proto::v1;
use serde::Serialize;

use crate::agent::{Agent, Client};
use crate::args::Lifecycle;
use crate::context::Context;
use crate::definitions;
use crate::fleet::locate;
use crate::operation::{self, Asked, Ended, Goal, Report, new_id, outcomes, wait};
use crate::output::Show;
use crate::problem::{Exit, Problem};

#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    report: Report,
    /// The definition that says so now; `null` where there is none.
    file: Option<String>,
    /// Whether that file had to be changed.
    file_changed: bool,
}

impl Show for Done {
    fn text(&self) -> String {
        self.report.table()
    }
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    const fn goal(self) -> Goal {
        match self {
            Self::Start | Self::Restart => Goal::Running,
            Self::Stop => Goal::NotRunning,
        }
    }

    /// What the definition's `active` becomes.
    const fn active(self) -> Option<bool> {
        match self {
            Self::Start => Some(true),
            Self::Stop => Some(false),
            Self::Restart => None,
        }
    }
}

pub(crate) async fn start(context: &Context, args: Lifecycle) -> Result<Exit> {
    run(context, args, Verb::Start).await
}

pub(crate) async fn stop(context: &Context, args: Lifecycle) -> Result<Exit> {
    run(context, args, Verb::Stop).await
}

pub(crate) async fn restart(context: &Context, args: Lifecycle) -> Result<Exit> {
    run(context, args, Verb::Restart).await
}

async fn run(context: &Context, args: Lifecycle, verb: Verb) -> Result<Exit> {
    let Lifecycle { service, message } = args;
    let definition = definitions::resolve(&context.config.services.dir, None, &service)?;
    let node = locate(context, &service, definition.as_ref().map(|d| &d.node)).await?;
    let edit = match verb.active() {
        Some(active) => edit(context, definition.as_ref(), &service, &node.name, active)?,
        None => None,
    };
    let agent = Agent::connect(context, node).await?;
    let tried = format!("{} {service}", verb.word());
    agent.check_level(&tried).await?;
    let id = new_id();
    context
        .out
        .detail(&format!("{tried} on {}: operation {id}", node.name));
    let asked = Asked {
        agent: &agent,
        id: &id,
        service: service.as_str(),
        tried: &tried,
    };
    let results = match call(context, asked, verb, &service, message).await? {
        Ended::Answered(results) => results,
        Ended::Left { accepted, problem } => {
            if accepted {
                apply(context, edit)?;
            }
            return Err(problem.into());
        }
    };
    let (file, file_changed) = apply(context, edit)?;
    let report = Report {
        node: node.name.to_string(),
        service: service.to_string(),
        operation_id: id.to_string(),
        results: outcomes(results, verb.goal()),
        warnings: Vec::new(),
    };
    let outcome = report.tell(context.out);
    context.out.show(&Done {
        report,
        file,
        file_changed,
    })?;
    Ok(outcome)
}

/// The edit that will be made once the node has accepted the change.
#[derive(Debug)]
struct Edit {
    path: PathBuf,
    active: bool,
}

/// Checks that the definition can be changed. `None` where there is none to change.
fn edit(
    context: &Context,
    definition: Option<&Definition>,
    service: &ServiceName,
    node: &mcp_model::NodeName,
    active: bool,
) -> Result<Option<Edit>> {
    let Some(definition) = definition else {
        context.out.note(&format!(
            "no definition of {service} in {}: only the node is told",
            context.config.services.dir.display()
        ));
        return Ok(None);
    };
    let path = definition.path.clone();
    if definition.node != *node {
        context.out.warn(&format!(
            "{} is about node {}, not {node}: it is left as it is",
            path.display(),
            definition.node
        ));
        return Ok(None);
    }
    mcp_definition::check_writable(&path).map_err(|error| {
        Problem::new(format!(
            "cannot set active = {active} for {service}; nothing was sent"
        ))
        .because(error)
        .help(format!("make {} writable, or move it away", path.display()))
    })?;
    Ok(Some(Edit { path, active }))
}

/// Changes the definition. Returns its path and whether anything in it had to change.
fn apply(context: &Context, edit: Option<Edit>) -> Result<(Option<String>, bool)> {
    let Some(Edit { path, active }) = edit else {
        return Ok((None, false));
    };
    let changed = mcp_definition::set_active_in_file(&path, active).map_err(|error| {
        Problem::new("the node was told, but the definition could not be changed")
            .because(error)
            .help(format!(
                "set active = {active} in {} by hand, or the next sync undoes it",
                path.display()
            ))
    })?;
    let path = path.display().to_string();
    if changed {
        context.out.note(&format!("{path}: active = {active}"));
    }
    Ok((Some(path), changed))
}

async fn call(
    context: &Context,
    asked: Asked<'_>,
    verb: Verb,
    service: &ServiceName,
    message: String,
) -> Result<Ended<Vec<v1::ComponentResult>>> {
    let (name, operation_id) = (service.to_string(), asked.id.to_string());
    macro_rules! call {
        ($method:ident, $request:ident) => {{
            let request = v1::$request {
                name,
                operation_id,
                message,
            };
            let call = async |mut client: Client| {
                client
                    .$method(operation::request(context, request.clone()))
                    .await
            };
            let ended = wait(context, asked, call).await?;
            Ok(ended.map(|response| response.results))
        }};
    }
    match verb {
        Verb::Start => call!(start_service, StartServiceRequest),
        Verb::Stop => call!(stop_service, StopServiceRequest),
        Verb::Restart => call!(restart_service, RestartServiceRequest),
    }
}
