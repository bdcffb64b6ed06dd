//! `mcp deploy`: makes the containers be what the spec says, and waits until that was seen.

use std::collections::BTreeMap;

use anyhow::Result;
use mcp_config::cli::Node;
use mcp_model::ServiceName;
use mcp_proto::convert::spec::service_to_wire;
use mcp_proto::v1;
use serde::Serialize;

use super::dry_run;
use crate::agent::{Agent, Client};
use crate::args::{Deploy, Target};
use crate::context::Context;
use crate::definitions;
use crate::fleet::locate;
use crate::operation::{self, Asked, Ended, Goal, Report, new_id, outcomes, wait};
use crate::output::Show;
use crate::problem::{Exit, Problem};

#[derive(Debug, Serialize)]
struct Deployed {
    #[serde(flatten)]
    report: Report,
    /// The definition that was deployed; `null` where the node's own record was.
    file: Option<String>,
}

impl Show for Deployed {
    fn text(&self) -> String {
        self.report.table()
    }
}

pub(crate) async fn run(context: &Context, args: Deploy) -> Result<Exit> {
    let Target { service, component } = &args.target;
    let dir = &context.config.services.dir;
    let definition = definitions::resolve(dir, args.file.as_ref(), service)?;
    let node = locate(context, service, definition.as_ref().map(|d| &d.node)).await?;
    if let Some(definition) = definition.as_ref().filter(|d| d.node != node.name) {
        context.out.warn(&format!(
            "deploying to {}, though {} names {}",
            node.name,
            definition.path.display(),
            definition.node
        ));
    }
    let agent = Agent::connect(context, node).await?;
    let tried = format!("deploy {}", args.target);
    let known = agent.check_level(&tried).await?;
    let spec = if let Some(definition) = &definition {
        service_to_wire(&definition.service)
    } else {
        let spec = from_registry(context, node, known, &args.target)?;
        context.out.note(&format!(
            "no definition of {service} in {}: deploying again what {} deployed last",
            dir.display(),
            node.name
        ));
        spec
    };
    check_component(&spec, &args.target)?;
    let id = new_id();
    let request = v1::DeployRequest {
        service: Some(spec),
        component: component
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        operation_id: id.to_string(),
        message: args.message,
        force: args.force,
    };
    if args.dry_run {
        return dry_run::deploy(context, node, request).await;
    }
    context
        .out
        .detail(&format!("{tried} on {}: operation {id}", node.name));
    let asked = Asked {
        agent: &agent,
        id: &id,
        service: service.as_str(),
        tried: &tried,
    };
    let call = async |mut client: Client| {
        client
            .deploy(operation::request(context, request.clone()))
            .await
    };
    let response = match wait(context, asked, call).await? {
        Ended::Answered(response) => response,
        Ended::Left { problem, .. } => return Err(problem.into()),
    };
    let report = Report {
        node: node.name.to_string(),
        service: service.to_string(),
        operation_id: id.to_string(),
        results: outcomes(response.results, Goal::Running),
        warnings: response.warnings,
    };
    let exit = report.tell(context.out);
    let file = definition.map(|d| d.path.display().to_string());
    context.out.show(&Deployed { report, file })?;
    Ok(exit)
}

/// The last specs that were deployed successfully (S11).
fn from_registry(
    context: &Context,
    node: &Node,
    known: Vec<v1::ServiceInfo>,
    target: &Target,
) -> Result<v1::ServiceSpec, Problem> {
    let Target { service, component } = target;
    let advice = format!(
        "write a definition: {}",
        context
            .config
            .services
            .dir
            .join(format!("{service}.toml"))
            .display()
    );
    let Some(info) = known.into_iter().find(|info| info.name == service.as_str()) else {
        return Err(Problem::new(format!(
            "there is no definition of {service}, and {} has never deployed it",
            node.name
        ))
        .help(advice));
    };
    let wanted = |name: &str| component.as_ref().is_none_or(|only| only.as_str() == name);
    let mut specs = BTreeMap::new();
    for info in info.components.into_iter().filter(|info| !info.orphaned) {
        match info.deployed_spec {
            Some(spec) => {
                specs.insert(info.name, spec);
            }
            // Leaving it out would orphan it.
            None if wanted(&info.name) => {
                return Err(Problem::new(format!(
                    "there is no definition of {service}, and {} has never deployed its component {}",
                    node.name, info.name
                ))
                .help(advice));
            }
            None => {}
        }
    }
    Ok(v1::ServiceSpec {
        name: service.to_string(),
        active: info.active,
        components: specs.into_values().collect(),
    })
}

fn check_component(spec: &v1::ServiceSpec, target: &Target) -> Result<(), Problem> {
    let names: Vec<&str> = spec
        .components
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    match &target.component {
        Some(component) if !names.contains(&component.as_str()) => {
            Err(no_component(&target.service, component.as_str(), &names))
        }
        _ if names.is_empty() => Err(Problem::new(format!(
            "service {} has no components",
            target.service
        ))),
        _ => Ok(()),
    }
}

fn no_component(service: &ServiceName, component: &str, names: &[&str]) -> Problem {
    Problem::usage(format!("service {service} has no component {component}"))
        .help(format!("it has: {}", names.join(", ")))
}
