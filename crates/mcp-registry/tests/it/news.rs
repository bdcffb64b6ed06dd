//! What those are told who tell others of operations and incidents.

use mcp_model::{
    AlertKind, DesiredState, Incident, IncidentChange, IncidentId, ObservedState, OperationState,
    Scope, StepState,
};
use mcp_registry::{Known, News};

use crate::support::{Node, Shorthand, at, deploy, key, service};

/// What is known after reading `news`.
fn known(news: &News) -> Known {
    let open = news.operations.iter().filter(|o| !o.state.is_settled());
    let standing = news.incidents.iter().filter(|(_, closed)| closed.is_none());
    Known {
        operation: news.operation,
        incident: news.incident,
        open_operations: open.map(|operation| operation.id.clone()).collect(),
        open_incidents: standing.map(|(incident, _)| incident.id.clone()).collect(),
    }
}

fn told(news: &News) -> Vec<(&str, OperationState)> {
    let operations = news.operations.iter();
    operations.map(|o| (o.id.as_str(), o.state)).collect()
}

fn outage() -> Incident {
    Incident {
        id: IncidentId("outage-1".to_owned()),
        scope: Scope::Node,
        kind: AlertKind::Outage,
        opened: at(3),
        told: None,
        cause: "it does not answer".to_owned(),
        desired: DesiredState::Running,
        observed: ObservedState::Unknown,
        covered_by: None,
    }
}

#[test]
fn an_operation_that_came_and_ended_between_two_reads_is_told() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    let begin = node.db.open_matters().unwrap();
    assert_eq!(told(&begin), [], "what is over is not where anybody begins");

    node.db
        .accepted("op02", deploy(&service("a", &[("b", "2")])), at(1));
    let news = node.db.news(&known(&begin)).unwrap();
    assert_eq!(told(&news), [("op02", OperationState::Accepted)]);

    node.db.done("op02", &key("a/b"), StepState::Succeeded);
    node.db.deployed("op03", &service("c", &[("d", "1")]));
    let news = node.db.news(&known(&news)).unwrap();
    let over = OperationState::Succeeded;
    assert_eq!(told(&news), [("op02", over), ("op03", over)]);
    assert_eq!(news.operations[0].steps.len(), 1);

    let news = node.db.news(&known(&news)).unwrap();
    assert_eq!(told(&news), []);
    assert_eq!(news.incidents, []);
}

#[test]
fn an_incident_is_told_until_it_has_closed_and_no_longer() {
    let mut node = Node::new();
    let begin = node.db.open_matters().unwrap();
    let mut change = IncidentChange {
        incident: outage(),
        closed: None,
        alert: None,
    };
    node.db.incidents(std::slice::from_ref(&change)).unwrap();
    let news = node.db.news(&known(&begin)).unwrap();
    assert_eq!(news.incidents, [(outage(), None)]);
    assert_eq!(node.db.open_matters().unwrap(), news, "it still stands");

    change.closed = Some(at(9));
    node.db.incidents(&[change]).unwrap();
    let news = node.db.news(&known(&news)).unwrap();
    assert_eq!(news.incidents, [(outage(), Some(at(9).wall))]);
    assert_eq!(node.db.news(&known(&news)).unwrap().incidents, []);
    assert_eq!(node.db.open_matters().unwrap().incidents, []);
}
