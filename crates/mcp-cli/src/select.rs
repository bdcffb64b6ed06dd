//! Which node a command is about (S52): decided purely; asking the nodes happens elsewhere.

use mcp_config::cli::Node;
use mcp_model::{NodeName, ServiceName};

use crate::problem::Problem;

/// What is known before any node was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// This one.
    Node(&'a Node),
    /// The one that knows the service, if it is only one.
    WhoKnows,
}

/// `--node`, else the file's node, else the only node, else whoever knows.
pub(crate) fn choose<'a>(
    wanted: Option<&NodeName>,
    file: Option<&NodeName>,
    nodes: &'a [Node],
) -> Result<Choice<'a>, Problem> {
    match (wanted, file, nodes) {
        (Some(name), ..) => configured(name, nodes).map(Choice::Node),
        (None, Some(name), _) => match nodes.iter().find(|node| node.name == *name) {
            Some(node) => Ok(Choice::Node(node)),
            None => Err(not_configured(
                Problem::new(format!(
                    "the definition names node {name}, which is not configured"
                )),
                nodes,
            )),
        },
        (None, None, [only]) => Ok(Choice::Node(only)),
        (None, None, _) => Ok(Choice::WhoKnows),
    }
}

/// The configured node of that name.
pub(crate) fn configured<'a>(name: &NodeName, nodes: &'a [Node]) -> Result<&'a Node, Problem> {
    let found = nodes.iter().find(|node| node.name == *name);
    found.ok_or_else(|| {
        not_configured(
            Problem::usage(format!("node {name} is not configured")),
            nodes,
        )
    })
}

fn not_configured(problem: Problem, nodes: &[Node]) -> Problem {
    problem.help(format!(
        "configured: {}; add it with mcp node add",
        names(nodes.iter().map(|node| &node.name))
    ))
}

/// What a node said about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knows {
    Yes,
    No,
    /// It did not answer.
    Silent,
}

/// The only node that knows the service. A node that did not answer might know it too, so that
/// nothing follows from the others' answers.
pub(crate) fn settle<'a>(
    service: &ServiceName,
    answers: &[(&'a NodeName, Knows)],
) -> Result<&'a NodeName, Problem> {
    let said = |what: Knows| -> Vec<&'a NodeName> {
        let matching = answers.iter().filter(|(_, knows)| *knows == what);
        matching.map(|(name, _)| *name).collect()
    };
    let (yes, silent) = (said(Knows::Yes), said(Knows::Silent));
    let choice = format!(
        "name one with --node: {}",
        names(answers.iter().map(|(name, _)| *name))
    );
    match (yes.as_slice(), silent.is_empty()) {
        ([only], true) => Ok(only),
        ([], true) => Err(
            Problem::usage(format!("no node knows service {service}")).help(format!(
                "mcp list shows what they know; to deploy what is new, write {service}.toml in the \
             services directory"
            )),
        ),
        ([_, _, ..], _) => Err(Problem::usage(format!(
            "service {service} is known to more than one node: {}",
            names(yes)
        ))
        .help(choice)),
        (_, false) => Err(Problem::new(format!(
            "cannot tell which node has service {service}: no answer from {}",
            names(silent)
        ))
        .help(choice)),
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.parse().unwrap(),
            address: "127.0.0.1:9444".parse().unwrap(),
            token_path: None,
            ca_cert: None,
            server_name: None,
        }
    }

    /// Says in one word what is chosen.
    fn chosen(wanted: &str, file: &str, nodes: &[&str]) -> String {
        let nodes: Vec<Node> = nodes.iter().map(|name| node(name)).collect();
        let name = |text: &str| (!text.is_empty()).then(|| text.parse::<NodeName>().unwrap());
        match choose(name(wanted).as_ref(), name(file).as_ref(), &nodes) {
            Ok(Choice::Node(node)) => node.name.to_string(),
            Ok(Choice::WhoKnows) => "ask".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn the_flag_wins_then_the_file_then_the_only_node() {
        for (wanted, file, nodes, expected) in [
            ("b", "a", &["a", "b"] as &[&str], "b"),
            ("x", "a", &["a", "b"], "refused"),
            ("", "b", &["a", "b"], "b"),
            ("", "x", &["a"], "refused"),
            ("", "", &["a"], "a"),
            ("", "", &["a", "b"], "ask"),
        ] {
            assert_eq!(
                chosen(wanted, file, nodes),
                expected,
                "{wanted:?} {file:?} {nodes:?}"
            );
        }
    }

    #[test]
    fn only_a_single_node_that_surely_knows_is_taken() {
        use Knows::{No, Silent, Yes};
        let service: ServiceName = "web".parse().unwrap();
        let names: Vec<NodeName> = ["a", "b"].iter().map(|n| n.parse().unwrap()).collect();
        for (first, second, expected) in [
            (Yes, No, Ok("a")),
            (No, Yes, Ok("b")),
            (
                Yes,
                Yes,
                Err("service web is known to more than one node: a, b"),
            ),
            (No, No, Err("no node knows service web")),
            (
                Yes,
                Silent,
                Err("cannot tell which node has service web: no answer from b"),
            ),
            (
                Silent,
                Silent,
                Err("cannot tell which node has service web: no answer from a, b"),
            ),
        ] {
            let settled = settle(&service, &[(&names[0], first), (&names[1], second)]);
            let settled = settled.map(NodeName::to_string).map_err(|e| e.to_string());
            assert_eq!(settled, expected.map(Into::into).map_err(Into::into));
        }
    }
}
