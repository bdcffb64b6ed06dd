//! One change on one line, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use jiff::Timestamp;
use mcp_model::text::escape;
use mcp_proto::v1;
use mcp_proto::v1::watch_response::Change;
use serde::Serialize;

use crate::progress::doing;
use crate::view::{Component, Drift, IncidentChange, Operation};

/// When, where, what.
pub(super) struct Line<'a> {
    at: Timestamp,
    node: &'a str,
    what: &'a str,
}

impl<'a> Line<'a> {
    /// Now; `node` is empty where there is only one.
    pub(super) fn of(node: &'a str, what: &'a str) -> Self {
        let at = Timestamp::now();
        Self { at, node, what }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let node = if self.node.is_empty() { "" } else { " " };
        write!(f, "{at}{node}{} {}", escape(self.node), escape(self.what))
    }
}

/// What was said and still holds, so that nothing is said twice: a stream that begins anew tells
/// everything again.
#[derive(Default)]
pub(super) struct Board {
    said: BTreeMap<String, Said>,
    /// What is being told anew.
    anew: Option<BTreeMap<String, Said>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    text: String,
    /// What is said when it holds no more.
    over: String,
}

impl Board {
    /// What is to be said of a change.
    pub(super) fn lines(&mut self, change: Change) -> Vec<String> {
        match change {
            Change::Resync(_) => {
                self.anew = Some(BTreeMap::new());
                Vec::new()
            }
            Change::Complete(_) => self.complete(),
            Change::State(state) => {
                let component = state.component.map(Component::from);
                component.map_or_else(Vec::new, |component| {
                    let key = format!("{}/{}", state.service, component.name);
                    self.holds("state", &key, component_text(&key, &component), gone(&key))
                })
            }
            Change::Removed(removed) => {
                let key = format!("{}/{}", removed.service, removed.component);
                self.ends("state", &key, gone(&key))
            }
            Change::DriftOpened(drift) => {
                let drift = Drift::from(drift);
                let key = format!("{}/{} {}", drift.service, drift.component, drift.kind);
                self.holds("drift", &key, drift_text(&drift), drift_over(&drift))
            }
            Change::DriftClosed(drift) => {
                let drift = Drift::from(drift);
                let key = format!("{}/{} {}", drift.service, drift.component, drift.kind);
                self.ends("drift", &key, drift_over(&drift))
            }
            Change::Operation(operation) => self.operation(&operation),
            Change::Incident(incident) => {
                let incident = IncidentChange::from(incident);
                let over = format!("incident {} is over", incident.id);
                if incident.closed.is_some() {
                    return self.ends("incident", &incident.id, over);
                }
                let text = format!(
                    "incident {}: {} {}: {}",
                    incident.id,
                    incident.subject(),
                    incident.kind,
                    incident.cause
                );
                self.holds("incident", &incident.id, text, over)
            }
        }
    }

    fn operation(&mut self, operation: &v1::OperationInfo) -> Vec<String> {
        let name = format!("{} {}", operation.kind, operation.id);
        let mut lines = Vec::new();
        for step in &operation.steps {
            let key = format!("{}/{}", operation.service, step.component);
            let error = if step.error.is_empty() { "" } else { ": " };
            let text = format!("{name}: {key}: {}{error}{}", doing(step), step.error);
            lines.extend(self.holds(
                "step",
                &format!("{} {key}", operation.id),
                text,
                String::new(),
            ));
        }
        let text = format!("{name}: {}: {}", operation.service, operation.state);
        let over = format!("{name}: {}: it has ended", operation.service);
        if matches!(operation.state.as_str(), "accepted" | "running") {
            lines.extend(self.holds("operation", &operation.id, text, over));
        } else {
            let steps = format!("step {} ", operation.id);
            self.now().retain(|key, _| !key.starts_with(&steps));
            lines.extend(self.ends("operation", &operation.id, text));
        }
        lines
    }

    fn now(&mut self) -> &mut BTreeMap<String, Said> {
        self.anew.as_mut().unwrap_or(&mut self.said)
    }

    fn holds(&mut self, kind: &str, key: &str, text: String, over: String) -> Vec<String> {
        let key = format!("{kind} {key}");
        let said = Said { text, over };
        if let Some(anew) = &mut self.anew {
            anew.insert(key, said);
            return Vec::new();
        }
        let before = self.said.insert(key, said.clone());
        let is_news = before.is_none_or(|before| before.text != said.text);
        is_news.then_some(said.text).into_iter().collect()
    }

    fn ends(&mut self, kind: &str, key: &str, over: String) -> Vec<String> {
        self.now().remove(&format!("{kind} {key}"));
        if self.anew.is_some() {
            Vec::new()
        } else {
            vec![over]
        }
    }

    fn complete(&mut self) -> Vec<String> {
        let Some(anew) = self.anew.take() else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut self.said, anew);
        let gone = before
            .iter()
            .filter(|(key, _)| !self.said.contains_key(*key));
        let gone = gone.map(|(_, said)| said.over.clone());
        let new = self.said.iter().filter(|(key, said)| {
            let known = before.get(*key);
            known.is_none_or(|known| known.text != said.text)
        });
        let lines = gone.chain(new.map(|(_, said)| said.text.clone()));
        lines.filter(|line| !line.is_empty()).collect()
    }
}

fn gone(key: &str) -> String {
    format!("{key} has no record any more")
}

fn component_text(key: &str, component: &Component) -> String {
    let differs = component.observed != component.desired;
    let note = component.note();
    let parts = [
        Some(format!("{key} is {}", component.observed)),
        differs.then(|| format!("wanted {}", component.desired)),
        component.exit_code.map(|code| format!("exit code {code}")),
        (!note.is_empty()).then_some(note),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn drift_text(drift: &Drift) -> String {
    let Drift {
        service,
        component,
        kind,
        desired,
        observed,
        cause,
        ..
    } = drift;
    let why = if cause.is_empty() { "" } else { ": " };
    format!(
        "{service}/{component} has {kind} drift, wanted {desired}, found {observed}{why}{cause}"
    )
}

fn drift_over(drift: &Drift) -> String {
    format!(
        "{}/{}: {} drift is over",
        drift.service, drift.component, drift.kind
    )
}

/// A change as `--output json` writes it.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Object {
    /// Forget what was told: everything that is so follows, up to `complete`.
    Resync,
    Complete,
    State {
        service: String,
        component: Option<Box<Component>>,
    },
    Removed {
        service: String,
        component: String,
    },
    DriftOpened(Drift),
    DriftClosed(Drift),
    /// With those of its steps that changed.
    Operation(Operation),
    Incident(IncidentChange),
    /// The node cannot be followed now.
    Lost {
        error: String,
    },
}

#[derive(Serialize)]
struct Stamped<'a> {
    at: Timestamp,
    node: &'a str,
    #[serde(flatten)]
    object: &'a Object,
}

impl Object {
    pub(super) fn of(change: Change) -> Self {
        match change {
            Change::Resync(_) => Self::Resync,
            Change::Complete(_) => Self::Complete,
            Change::State(state) => Self::State {
                service: state.service,
                component: state.component.map(|it| Box::new(it.into())),
            },
            Change::Removed(removed) => Self::Removed {
                service: removed.service,
                component: removed.component,
            },
            Change::DriftOpened(drift) => Self::DriftOpened(drift.into()),
            Change::DriftClosed(drift) => Self::DriftClosed(drift.into()),
            Change::Operation(operation) => Self::Operation(operation.into()),
            Change::Incident(incident) => Self::Incident(incident.into()),
        }
    }

    /// On one line.
    pub(super) fn json(&self, node: &str) -> Result<String> {
        let at = Timestamp::now();
        Ok(serde_json::to_string(&Stamped {
            at,
            node,
            object: self,
        })?)
    }
}
