//! What people are shown of an agent's answers, as text. For those who check that nothing of it can
//! take over a terminal; the commands themselves go the same ways.

use mcp_config::cli::Node;
use mcp_definition::DefinitionError;
use mcp_proto::v1;

use crate::commands::{list, ps, status};
use crate::fleet::Answer;
use crate::operation::{Goal, Report, outcomes};
use crate::output::{Show, error_text, json};

/// One answer in both formats.
#[derive(Debug, Clone)]
pub struct Shown {
    /// For people, styled.
    pub text: String,
    /// For programs.
    pub json: String,
}

fn shown(result: &impl Show) -> Shown {
    Shown {
        text: result.text(),
        json: json(result).expect("what is shown can be written as JSON"),
    }
}

fn node() -> Node {
    Node {
        name: "rift".parse().expect("a name"),
        address: "rift.example:9444".parse().expect("an address"),
        token_path: None,
        ca_cert: None,
        server_name: None,
    }
}

fn answer<T>(node: &Node, result: T) -> Answer<'_, T> {
    Answer {
        node,
        result: Ok(result),
    }
}

/// `mcp status`.
pub fn status(wire: v1::GetServiceStatusResponse) -> Shown {
    let node = node();
    let view = status::View::of(answer(&node, Some(wire)));
    shown(&status::Status::of(view.into_iter().collect()))
}

/// `mcp ps`.
pub fn ps(wire: v1::LiveCheckResponse) -> Shown {
    let node = node();
    let nodes = vec![ps::Seen::of(answer(&node, wire))];
    shown(&ps::Ps { nodes })
}

/// `mcp list`.
pub fn list(wire: v1::ListServicesResponse) -> Shown {
    let node = node();
    let nodes = vec![list::Listed::of(answer(&node, wire.services))];
    shown(&list::List { nodes })
}

/// What became of a deploy.
pub fn deployed(wire: v1::DeployResponse) -> Shown {
    let report = Report {
        node: node().name.to_string(),
        service: "hello".to_owned(),
        operation_id: wire.operation_id,
        results: outcomes(wire.results, Goal::Running),
        warnings: wire.warnings,
    };
    Shown {
        text: report.table(),
        json: json(&report).expect("what is shown can be written as JSON"),
    }
}

/// What is said of an agent that refuses with these words.
pub fn refusal(words: &str) -> String {
    let refused = tonic::Status::failed_precondition(words);
    let problem = crate::status::explain(&node(), "deploy hello", &refused);
    error_text(&problem.into())
}

/// What is said of a definition that cannot be used.
pub fn definition_error(error: &DefinitionError) -> String {
    crate::definitions::render(error)
}
