//! `mcp why` as text: one label per line of thought, in the order in which the agent thinks.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use mcp_model::text::escape;

use super::why::{Explanation, Operation};
use crate::human::{age, ago, duration};
use crate::output::Show;

const LABEL: Style = Style::new().dimmed();
const HEADING: Style = Style::new().bold();

impl Show for Explanation {
    fn text(&self) -> String {
        let title = format!("{}/{} on {}", self.service, self.component.name, self.node);
        let mut page = format!("{HEADING}{}{HEADING:#}\n", escape(&title));
        let mut say = |label: &str, lines: Vec<String>| {
            for (n, line) in lines.iter().enumerate() {
                let label = if n == 0 { label } else { "" };
                let _ = writeln!(page, "  {LABEL}{label:<10}{LABEL:#}{}", escape(line));
            }
        };
        say("wanted", vec![self.wanted()]);
        say("seen", self.seen());
        say("made from", self.made_from());
        say("restarts", vec![self.restarts()]);
        say("differs", self.differs());
        say("incident", self.incidents());
        say(
            "doing",
            self.operation.iter().map(|o| self.doing(o)).collect(),
        );
        say("plan", self.plan());
        say("allowed", vec![self.permission_reason.clone()]);
        say("next", self.next());
        say(
            "last",
            self.last_operation.iter().map(|o| self.last(o)).collect(),
        );
        page
    }
}

impl Explanation {
    fn now(&self) -> Timestamp {
        self.answered_at.unwrap_or_else(Timestamp::now)
    }

    fn ago(&self, at: Option<Timestamp>) -> String {
        ago(self.now(), at)
    }

    /// ` for 3s`; nothing where it is not known.
    fn lasting(&self, since: Option<Timestamp>) -> String {
        since.map_or_else(String::new, |since| {
            format!(" for {}", duration(age(self.now(), since)))
        })
    }

    fn until(&self, at: Timestamp) -> String {
        duration(age(at, self.now()))
    }

    fn wanted(&self) -> String {
        let component = &self.component;
        let mut words = format!("{}, revision {}", component.desired, component.revision);
        if component.orphaned {
            words.push_str(", orphaned: its service no longer names it");
        }
        if self.intent_at.is_some() {
            let by = self.intent_by.as_deref().unwrap_or("somebody");
            let _ = write!(words, ", said by {by} {}", self.ago(self.intent_at));
        }
        words + &reason(self.intent_message.as_deref().unwrap_or_default())
    }

    fn seen(&self) -> Vec<String> {
        let component = &self.component;
        let mut state = component.observed.clone();
        if let Some(since) = component.since.filter(|_| !component.is_unknown()) {
            let _ = write!(state, " for {}", duration(age(self.now(), since)));
        }
        let code = component.exit_code.map(|code| format!("ended with {code}"));
        let id: String = component.container_id.chars().take(12).collect();
        let id = (!id.is_empty()).then(|| format!("container {id}"));
        let detail = (!component.detail.is_empty()).then(|| component.detail.clone());
        let looked = match self.seen_at {
            Some(_) => format!("looked at {}", self.ago(self.seen_at)),
            None => "not looked at yet".to_owned(),
        };
        let state = std::iter::once(state).chain(detail).chain(code).chain(id);
        vec![state.collect::<Vec<_>>().join(", "), looked]
    }

    fn made_from(&self) -> Vec<String> {
        let first = match (self.made_from_revision, self.deployed_revision) {
            (None, None) => return vec!["nothing yet: it was never deployed".to_owned()],
            (None, Some(deployed)) => format!("last deployed was revision {deployed}"),
            (Some(made), _) if made == self.component.revision => {
                format!("revision {made}, as wanted")
            }
            (Some(made), _) => format!("revision {made}"),
        };
        let changes = self.spec_changes.iter().map(|change| {
            format!(
                "{} is {:?}, wanted {:?}",
                change.field, change.before, change.after
            )
        });
        std::iter::once(first).chain(changes).collect()
    }

    fn restarts(&self) -> String {
        match self.restart_policy.as_str() {
            "no" => "no: the runtime leaves it down".to_owned(),
            policy => format!("{policy}, by the runtime itself"),
        }
    }

    fn differs(&self) -> Vec<String> {
        let line = |drift: &crate::view::Drift| {
            format!(
                "{}{}: {}",
                drift.kind,
                self.lasting(drift.since),
                drift.cause
            )
        };
        self.drift.iter().map(line).collect()
    }

    fn incidents(&self) -> Vec<String> {
        let line = |incident: &super::why::Incident| {
            let lasting = self.lasting(incident.opened);
            format!(
                "{}{lasting} ({}): {}",
                incident.kind, incident.id, incident.cause
            )
        };
        self.incidents.iter().map(line).collect()
    }

    fn doing(&self, operation: &Operation) -> String {
        let Operation {
            id,
            kind,
            state,
            caller,
            ..
        } = operation;
        let phase = match operation.phase.as_str() {
            "" => String::new(),
            phase => format!(", {phase}"),
        };
        let since = self.ago(operation.created);
        let why = reason(&operation.message);
        let held_up = told(&operation.error);
        format!("{kind} {id} of {caller}, {state}{phase}, accepted {since}{why}{held_up}")
    }

    fn plan(&self) -> Vec<String> {
        match self.decision.as_str() {
            "act" => self.actions.clone(),
            "wait" => vec!["wait: nothing may be concluded from what was seen".to_owned()],
            _ => vec!["nothing to do".to_owned()],
        }
    }

    fn next(&self) -> Vec<String> {
        let attempt = self
            .next_attempt
            .map(|at| format!("attempt in {}", self.until(at)));
        let back_off = self.backoff_until.map(|at| {
            format!(
                "backing off for {}, since the last run failed",
                self.until(at)
            )
        });
        let look = self
            .next_look
            .map(|at| format!("look in {} at the latest", self.until(at)));
        attempt.into_iter().chain(back_off).chain(look).collect()
    }

    fn last(&self, operation: &Operation) -> String {
        let Operation {
            id,
            kind,
            state,
            caller,
            ..
        } = operation;
        let error = told(&operation.error);
        let ended = self.ago(operation.finished);
        let why = reason(&operation.message);
        format!("{kind} {id} of {caller} {state} {ended}{why}{error}")
    }
}

/// What is told behind a colon, where there is something to tell.
fn told(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    format!(": {words}")
}

fn reason(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    }
}
