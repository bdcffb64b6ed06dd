//! What an operation is doing, told while it runs: on a terminal one moving line per component,
//! elsewhere a plain line whenever a step changes.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mcp_model::text;
use mcp_proto::v1::{ComponentInfo, ComponentState, OperationInfo, OperationStep};

use crate::agent::Agent;
use crate::output::Output;

const TICK: Duration = Duration::from_millis(100);

/// For how many looks waiting is not worth a word: what begins at once needs none.
const SILENT: u32 = 10;

/// Follows one operation.
pub(crate) struct Progress {
    out: Output,
    said: BTreeMap<String, String>,
    id: String,
    service: String,
    /// As last told, by component.
    steps: BTreeMap<String, OperationStep>,
    /// It is worth a word that a step still waits.
    long: bool,
    looks: u32,
    /// How many looks in a row have told nothing new.
    still: u32,
    unseen: BTreeMap<String, String>,
    screen: Option<Screen>,
}

struct Screen {
    lines: MultiProgress,
    by_component: BTreeMap<String, ProgressBar>,
}

impl Progress {
    pub(crate) fn new(out: Output) -> Self {
        let screen = Output::is_live().then(|| Screen {
            lines: MultiProgress::new(),
            by_component: BTreeMap::new(),
        });
        Self {
            out,
            said: BTreeMap::new(),
            id: String::new(),
            service: String::new(),
            steps: BTreeMap::new(),
            long: false,
            looks: 0,
            still: 0,
            unseen: BTreeMap::new(),
            screen,
        }
    }

    /// Tells what changed since the last look. Where nothing does for a while, it tells of what
    /// cannot be seen: a step goes no further while its runtime does not answer.
    pub(crate) async fn follow(&mut self, agent: &Agent, operation: &OperationInfo) {
        self.looks = self.looks.saturating_add(1);
        self.still = self.still.saturating_add(1);
        self.long |= self.looks > SILENT;
        self.update(operation);
        if self.still % SILENT == SILENT - 1
            && let Ok(status) = agent.status(&operation.service, true).await
        {
            let services = status.services.iter();
            let of_service = services.filter(|service| service.name == operation.service);
            self.tell_unseen(of_service.flat_map(|service| &service.components));
        }
    }

    /// Tells what is new in an operation, or in those of its steps that changed.
    pub(crate) fn update(&mut self, operation: &OperationInfo) {
        self.id.clone_from(&operation.id);
        self.service.clone_from(&operation.service);
        for step in &operation.steps {
            self.steps.insert(step.component.clone(), step.clone());
        }
        self.tell_steps();
    }

    /// From now on it is worth a word that a step still waits for its turn.
    pub(crate) fn takes_long(&mut self) {
        self.long = true;
        self.tell_steps();
    }

    /// Tells that a component cannot be seen, where that holds up one of the steps.
    pub(crate) fn state(&mut self, state: &ComponentState) {
        if state.service == self.service {
            self.tell_unseen(&state.component);
        }
    }

    fn tell_unseen<'a>(&mut self, components: impl IntoIterator<Item = &'a ComponentInfo>) {
        for (component, why) in unseen(&mut self.unseen, &self.id, components) {
            self.tell(&component, &format!("waits for its runtime: {why}"));
        }
    }

    fn tell_steps(&mut self) {
        let news = changed(&mut self.said, self.steps.values(), self.long);
        let news: Vec<OperationStep> = news.into_iter().cloned().collect();
        for step in news {
            self.still = 0;
            let doing = match doing(&step) {
                waiting if step.state == "waiting" => {
                    format!("{waiting}; mcp status {} says what for", self.service)
                }
                doing => doing,
            };
            self.tell(&step.component, &doing);
        }
    }

    fn tell(&mut self, component: &str, what: &str) {
        match &mut self.screen {
            None => self
                .out
                .note(&format!("{}/{component}: {what}", self.service)),
            Some(screen) => screen
                .line(component)
                .set_message(text::escape(what).into_owned()),
        }
    }

    /// Clears the moving lines; the results take their place.
    pub(crate) fn finish(self) {
        if let Some(screen) = self.screen {
            // The lines are decoration: failing to erase them is no reason to fail.
            let _ = screen.lines.clear();
        }
    }
}

impl Screen {
    fn line(&mut self, component: &str) -> &ProgressBar {
        let lines = &self.lines;
        self.by_component
            .entry(component.to_owned())
            .or_insert_with(|| {
                let bar = lines.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(text::escape(component).into_owned());
                bar.enable_steady_tick(TICK);
                bar
            })
    }
}

/// The steps that read differently from what was said of them last. Of a step that only waits
/// nothing is said unless it waits for `long`.
fn changed<'a>(
    said: &mut BTreeMap<String, String>,
    steps: impl IntoIterator<Item = &'a OperationStep>,
    long: bool,
) -> Vec<&'a OperationStep> {
    let mut news = Vec::new();
    for step in steps {
        let now = doing(step);
        let before = said.get(&step.component);
        let silent = !long && before.is_none() && step.state == "waiting";
        if !silent && before != Some(&now) {
            said.insert(step.component.clone(), now);
            news.push(step);
        }
    }
    news
}

/// The components whose state an open step of the operation cannot learn, with the reason, each
/// reason once.
fn unseen<'a>(
    said: &mut BTreeMap<String, String>,
    operation: &str,
    components: impl IntoIterator<Item = &'a ComponentInfo>,
) -> Vec<(String, String)> {
    let components = components
        .into_iter()
        .filter(|component| component.observed_state == "unknown" && !component.detail.is_empty())
        .filter(|component| component.operation_id == operation);
    let mut news = Vec::new();
    for component in components {
        let why = component.detail.clone();
        if said.insert(component.name.clone(), why.clone()).as_ref() != Some(&why) {
            news.push((component.name.clone(), why));
        }
    }
    news
}

/// What a step is doing, in words.
pub(crate) fn doing(step: &OperationStep) -> String {
    match (step.state.as_str(), step.phase.as_str()) {
        ("running", "") => "working".to_owned(),
        ("running", phase) if step.error.is_empty() => phase.replace('-', " "),
        ("running", _) => step.error.clone(),
        ("succeeded", _) => "done".to_owned(),
        (state, _) => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(component: &str, state: &str, phase: &str) -> OperationStep {
        OperationStep {
            component: component.to_owned(),
            state: state.to_owned(),
            phase: phase.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn each_change_of_a_step_is_told_once() {
        let mut said = BTreeMap::new();
        let mut told = Vec::new();
        for (state, phase) in [
            ("waiting", ""),
            ("running", "pulling"),
            ("running", "pulling"),
            ("running", "setting-aside"),
            ("succeeded", "removing"),
            ("succeeded", "removing"),
        ] {
            let steps = [step("web", state, phase)];
            told.extend(changed(&mut said, &steps, false).into_iter().map(doing));
        }
        assert_eq!(told, ["pulling", "setting aside", "done"]);
    }

    #[test]
    fn what_cannot_be_seen_is_told_once_for_each_reason() {
        let component = |name: &str, operation: &str, detail: &str| ComponentInfo {
            name: name.to_owned(),
            observed_state: "unknown".to_owned(),
            operation_id: operation.to_owned(),
            detail: detail.to_owned(),
            ..Default::default()
        };
        let mut said = BTreeMap::new();
        let mut told = |why: &str| {
            let components = [
                component("web", "op01", why),
                component("other", "op02", why),
            ];
            unseen(&mut said, "op01", &components)
        };
        assert_eq!(
            told("no answer"),
            [("web".to_owned(), "no answer".to_owned())]
        );
        assert_eq!(told("no answer"), []);
        assert_eq!(told("it ended with 125").len(), 1);
        assert_eq!(told(""), [], "it is seen again");
    }

    #[test]
    fn a_step_that_waits_for_long_is_told_once() {
        let mut said = BTreeMap::new();
        let steps = [step("web", "waiting", "")];
        let mut told = |long| changed(&mut said, &steps, long).len();
        assert_eq!([told(false), told(true), told(true)], [0, 1, 0]);
    }
}
