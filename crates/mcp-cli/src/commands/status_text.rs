//! `mcp status` as text: the age of the view, the states, then drift, events, what is foreign and
//! what ails the agent's own eyes.

use anstyle::{AnsiColor, Style};
use mcp_model::text::escape;

use super::status::{Status, View};
use crate::human::{ago, count, duration};
use crate::output::Show;
use crate::table::{Look, Table, Value};
use crate::view::{Drift, Event, ForeignTable, Source};

const HEADING: Style = Style::new().bold();
const ALARM: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const DOUBT: Style = AnsiColor::Yellow.on_default();

impl Show for Status {
    fn text(&self) -> String {
        let sections = [
            self.views(),
            self.incidents(),
            self.states(),
            self.verdict(),
            self.flapping(),
            self.events(),
            self.foreign(),
        ];
        sections.concat()
    }
}

impl Status {
    /// As text for a screen of so many rows, with what is `lost` beside it. Where not all of it
    /// fits, what is wrong comes first, and what does not fit is the end.
    pub(super) fn screen(&self, lost: &[String], rows: usize) -> String {
        let lost: String = lost.iter().flat_map(|why| [why, "\n"]).collect();
        let gap = if lost.is_empty() { "" } else { "\n" };
        let whole = format!("{}{gap}{lost}", self.text());
        if whole.lines().count() < rows {
            return whole;
        }
        let sections = [
            self.views(),
            lost,
            self.incidents(),
            self.verdict().trim_start().to_owned(),
            self.flapping(),
            "\n".to_owned(),
            self.states(),
            self.events(),
            self.foreign(),
        ];
        sections.concat()
    }

    /// Each node with the name to show for it: none where there is only one.
    fn named(&self) -> impl Iterator<Item = (&str, &View)> {
        let several = self.nodes.len() > 1;
        self.nodes
            .iter()
            .map(move |node| (if several { node.node.as_str() } else { "" }, node))
    }

    fn views(&self) -> String {
        let lines = self
            .nodes
            .iter()
            .filter(|node| node.error.is_none())
            .map(view_lines);
        lines.collect::<String>() + "\n"
    }

    /// What stands about whole nodes comes first: it explains the rest.
    fn incidents(&self) -> String {
        let mut table = Table::new(&["[NODE]", "INCIDENT", "SINCE", "WHY"]);
        for (name, node) in self.named() {
            for incident in &node.incidents {
                table.row([
                    name.into(),
                    Value::new(&incident.kind, Look::Bad),
                    ago(node.now(), incident.since).into(),
                    incident.cause.as_str().into(),
                ]);
            }
        }
        if table.is_empty() {
            return String::new();
        }
        format!("{ALARM}NODE{ALARM:#}\n{}\n", table.render())
    }

    fn states(&self) -> String {
        let mut table = Table::new(&[
            "[NODE]",
            "SERVICE",
            "COMPONENT",
            "DESIRED",
            "OBSERVED",
            "VERSION",
            "SINCE",
            "[NOTE]",
        ]);
        for (name, node) in self.named() {
            state_rows(name, node, &mut table);
        }
        if table.is_empty() {
            "no services\n".to_owned()
        } else {
            table.render()
        }
    }

    fn verdict(&self) -> String {
        if !self.drift {
            let settling = self.settling().join(", ");
            return match (self.unknown, settling.as_str()) {
                (true, _) => format!(
                    "\n{DOUBT}No drift seen, but not everything could be observed.{DOUBT:#}\n"
                ),
                (false, "") => format!("\n{GOOD}No drift.{GOOD:#}\n"),
                (false, names) => format!(
                    "\n{DOUBT}No drift yet{DOUBT:#}: not as wanted, but with a moment left to settle: {names}\n"
                ),
            };
        }
        let mut table = Table::new(&[
            "[NODE]",
            "COMPONENT",
            "WANTED",
            "FOUND",
            "SINCE",
            "WHY",
            "[MENDING]",
        ]);
        for (name, node) in self.named() {
            for drift in &node.drift {
                table.row([
                    name.into(),
                    format!("{}/{}", drift.service, drift.component).into(),
                    wanted(drift).into(),
                    found(drift),
                    ago(node.now(), drift.since).into(),
                    why(drift).into(),
                    mending(node, drift),
                ]);
            }
        }
        let number = count(
            self.nodes.iter().map(|node| node.drift.len()).sum(),
            "component",
        );
        let doubt = if self.unknown {
            "Not everything could be observed.\n"
        } else {
            ""
        };
        format!(
            "\n{ALARM}DRIFT{ALARM:#} in {number}\n{}{DOUBT}{doubt}{DOUBT:#}",
            table.render()
        )
    }

    fn flapping(&self) -> String {
        let mut table = Table::new(&["[NODE]", "COMPONENT", "SINCE", "WHY"]);
        for (name, node) in self.named() {
            for flapping in &node.flapping {
                table.row([
                    name.into(),
                    format!("{}/{}", flapping.service, flapping.component).into(),
                    ago(node.now(), flapping.since).into(),
                    flapping.cause.as_str().into(),
                ]);
            }
        }
        if table.is_empty() {
            return String::new();
        }
        let number = count(
            self.nodes.iter().map(|node| node.flapping.len()).sum(),
            "component",
        );
        format!("\n{ALARM}FLAPPING{ALARM:#}: {number}\n{}", table.render())
    }

    /// What is not as wanted, and neither drift nor being worked on: it may settle by itself (S29).
    fn settling(&self) -> Vec<String> {
        let services = self.nodes.iter().flat_map(|node| &node.services);
        let components = services.flat_map(|service| {
            let of_service = service.components.iter();
            of_service.map(move |component| (&service.name, component))
        });
        components
            .filter(|(_, component)| component.is_settling())
            .map(|(service, component)| format!("{}/{}", escape(service), escape(&component.name)))
            .collect()
    }

    fn events(&self) -> String {
        let mut table = Table::new(&["[NODE]", "WHEN", "COMPONENT", "CHANGE", "[WHY]"]);
        for (name, node) in self.named() {
            for event in &node.recent_events {
                table.row([
                    name.into(),
                    ago(node.now(), event.at).into(),
                    format!("{}/{}", event.service, event.component).into(),
                    format!("{} → {}", event.from, event.to).into(),
                    cause(event).into(),
                ]);
            }
        }
        if table.is_empty() {
            return String::new();
        }
        format!("\n{HEADING}Recent events{HEADING:#}\n{}", table.render())
    }

    fn foreign(&self) -> String {
        let mut table = ForeignTable::default();
        for (name, node) in self.named() {
            table.add(name, &node.foreign, node.foreign_omitted);
        }
        table.render()
    }
}

/// How old the node's view is, and what keeps it from being better.
fn view_lines(node: &View) -> String {
    let age = match node.observed_at {
        Some(at) => format!("seen {}", ago(node.now(), Some(at))),
        None => "not seen yet".to_owned(),
    };
    let failure = node.observation_error.iter().map(|why| {
        let why = escape(why);
        format!("  {DOUBT}the last look at the runtime failed{DOUBT:#}: {why}")
    });
    let ailing = node.sources.iter().filter(|source| !source.healthy);
    let auto = if node.auto_reconcile {
        ", auto-reconcile is on"
    } else {
        ""
    };
    let lines = std::iter::once(format!("{}: {age}{auto}", escape(&node.node)))
        .chain(failure)
        .chain(ailing.map(|source| source_line(node, source)));
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn source_line(node: &View, source: &Source) -> String {
    let heard = match source.last_seen {
        Some(at) => format!("last heard {}", ago(node.now(), Some(at))),
        None => "never heard".to_owned(),
    };
    let name = escape(&source.name);
    let why = match source.detail.as_str() {
        "" => "no reason given".into(),
        detail => escape(detail),
    };
    format!("  {DOUBT}{name} is not working{DOUBT:#}, {heard}: {why}")
}

fn state_rows(name: &str, node: &View, table: &mut Table) {
    for service in &node.services {
        for component in &service.components {
            let since = component
                .since
                .map(|at| duration(crate::human::age(node.now(), at)));
            table.row([
                name.into(),
                service.name.as_str().into(),
                component.name.as_str().into(),
                component.desired.as_str().into(),
                Value::state(&component.observed),
                component.version.as_str().into(),
                since.unwrap_or_default().into(),
                component.note().into(),
            ]);
        }
    }
    if node.error.is_some() {
        table.row([
            name.into(),
            "".into(),
            "".into(),
            "".into(),
            Value::state("unknown"),
            "".into(),
            "".into(),
            Value::new("no data: see the error", Look::Bad),
        ]);
    }
}

fn wanted(drift: &Drift) -> &str {
    if drift.kind == "spec" {
        "today's spec"
    } else {
        &drift.desired
    }
}

fn found(drift: &Drift) -> Value {
    if drift.kind == "spec" {
        return Value::new("another spec", Look::Doubtful);
    }
    Value::state(&drift.observed)
}

fn why(drift: &Drift) -> String {
    match (drift.cause.as_str(), drift.kind.as_str(), drift.exit_code) {
        ("", "spec", _) => format!("not deployed yet: mcp deploy {}", drift.service),
        ("", _, Some(code)) => format!("ended with {code}"),
        ("", ..) if drift.observed == "removed" => "there is no container".to_owned(),
        ("", ..) => "not known".to_owned(),
        (cause, ..) => cause.to_owned(),
    }
}

/// What the agent does about it by itself.
fn mending(node: &View, drift: &Drift) -> Value {
    if drift.gave_up {
        return Value::new("gave up", Look::Bad);
    }
    let next = drift.next_attempt;
    next.map(|at| format!("tries in {}", duration(crate::human::age(at, node.now()))))
        .unwrap_or_default()
        .into()
}

fn cause(event: &Event) -> String {
    let mut parts = Vec::new();
    match (event.cause.as_str(), event.exit_code) {
        ("", Some(code)) => parts.push(format!("ended with {code}")),
        ("", None) => {}
        (cause, _) => parts.push(cause.to_owned()),
    }
    if !event.operation_id.is_empty() {
        parts.push(format!("during operation {}", event.operation_id));
    }
    parts.join(", ")
}
