//! The node as a whole: an outage of its runtime, a reboot (S31).
//!
//! ```text
//!  listings ── sight ──► judge ──► store ──► view.node
//!  closed drift ─ nudge ──┘ │
//!                           └── boot ──► runs of keys: hold back, or speak for themselves
//! ```
//!
//! One task judges, so that incidents of the node have one writer. The runs of keys read one word
//! of it: whether a reboot is still settling.

use std::sync::Arc;
use std::time::Duration;

use mcp_model::{
    AlertKind, DesiredState, Incident, IncidentChange, Moment, NodeState, ObservedState, Scope,
};
use mcp_plan::alert::{self, Outcome, Standing};
use mcp_plan::node::{is_taken_down, outage, outage_words, reboot_words};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::message::{Matter, Subject, change, log, opened};
use crate::port::Failure;
use crate::reconcile::Reconciler;
use crate::view::View;

/// When to judge again after the registry failed.
const RETRY: Duration = Duration::from_secs(5);
/// How long a key waits where nobody can say yet when a reboot will have settled.
const LATER: Duration = Duration::from_secs(1);
/// What comes back after a reboot gets at least so long, and so do the looks at what does not.
const SETTLE_AT_LEAST: Duration = Duration::from_secs(10);

/// What the last listing of the runtime came to.
#[derive(Debug, Clone, Default)]
enum Sight {
    /// None has ended yet.
    #[default]
    None,
    /// It was complete.
    Answers,
    /// It failed, as every one did since.
    Fails {
        since: Moment,
        last: Moment,
        why: String,
    },
}

/// How far the beginning of this boot was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    /// Nobody has read yet which boot was the last.
    Unread,
    /// It is another boot than the last one. What comes back by itself has until that moment, which
    /// is set by the first complete listing.
    Settling { until: Option<Moment> },
    /// Every component speaks for itself.
    Settled,
}

impl Boot {
    /// How long a component that is newly down has to wait until it is told.
    pub(crate) fn wait(self, now: Moment) -> Option<Duration> {
        match self {
            Self::Settled => None,
            Self::Settling { until: Some(until) } => {
                Some(now.until(&until).max(Duration::from_millis(100)))
            }
            Self::Unread | Self::Settling { until: None } => Some(LATER),
        }
    }
}

/// What is known of the node, between those who see and the one who judges.
#[derive(Debug)]
pub(crate) struct Node {
    sight: watch::Sender<Sight>,
    boot: watch::Sender<Boot>,
    nudge: Notify,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            sight: watch::Sender::default(),
            boot: watch::Sender::new(Boot::Unread),
            nudge: Notify::new(),
        }
    }

    /// A listing was complete.
    pub(crate) fn answers(&self) {
        self.sight.send_replace(Sight::Answers);
    }

    /// A listing that began at that moment failed just now.
    pub(crate) fn fails(&self, began: Moment, last: Moment, why: String) {
        self.sight.send_modify(|sight| {
            let since = match sight {
                Sight::Fails { since, .. } => *since,
                Sight::None | Sight::Answers => began,
            };
            *sight = Sight::Fails { since, last, why };
        });
    }

    /// Something changed about an incident that one of the node stands for.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Whether a reboot was a moment ago.
    pub(crate) fn is_settling(&self) -> bool {
        matches!(self.boot(), Boot::Settling { .. })
    }

    /// How far the beginning of this boot was dealt with.
    pub(crate) fn boot(&self) -> Boot {
        *self.boot.borrow()
    }
}

/// Judges whenever something may have changed, until `stop` is cancelled.
pub(crate) async fn run(core: Arc<Reconciler>, stop: CancellationToken) {
    let mut sight = core.node.sight.subscribe();
    loop {
        let seen = sight.borrow_and_update().clone();
        let again = Failure::or_panic(core.judge_node(&seen)).await;
        let again = again.unwrap_or_else(|error| {
            warn!(error = %error, "cannot judge the node");
            Some(RETRY)
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = core.node.nudge.notified() => {}
            _ = sight.changed() => {}
            () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
        }
    }
}

impl Reconciler {
    /// Decides what concerns the node, stores and publishes it. Says when to judge again.
    async fn judge_node(&self, sight: &Sight) -> Result<Option<Duration>, Failure> {
        let now = self.ports.clock.now();
        let mut state = self.ports.store.node().await?;
        let mut again = self.judge_boot(&state, sight, now).await?;
        if state.boot != Some(now.boot_id) && self.node.boot() == Boot::Settled {
            state = self.ports.store.node().await?;
        }
        let mut changes = Vec::new();
        for (standing, matter) in [
            outage_standing(sight, self.settings.settle_outage),
            reboot_standing(&state),
        ] {
            let open = state.incidents.iter().find(|i| i.kind == matter.kind);
            let outcome = self.decide_node(&state, open, standing, &matter, now);
            again = soonest(again, alert::next_look(&outcome, now));
            changes.extend(change(&subject(matter.kind), open, &matter, &outcome, now));
        }
        if !changes.is_empty() {
            self.store_node(changes).await?;
            state = self.ports.store.node().await?;
        }
        self.publisher.node(state.incidents);
        Ok(again)
    }

    fn decide_node(
        &self,
        state: &NodeState,
        open: Option<&Incident>,
        standing: Standing,
        matter: &Matter,
        now: Moment,
    ) -> Outcome {
        let last = state
            .last_told
            .iter()
            .find(|(kind, _)| *kind == matter.kind);
        alert::decide(open, standing, last.map(|(_, at)| *at), self.manners(), now)
    }

    async fn store_node(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        log(&changes);
        self.ports.store.incidents(changes).await?;
        self.messages.notify_one();
        Ok(())
    }

    /// Takes the beginning of a boot one step further.
    async fn judge_boot(
        &self,
        state: &NodeState,
        sight: &Sight,
        now: Moment,
    ) -> Result<Option<Duration>, Failure> {
        match self.node.boot() {
            Boot::Unread => match state.boot {
                Some(boot) if boot == now.boot_id => self.settled(),
                Some(before) => {
                    info!(%before, boot = %now.boot_id, "the node was rebooted");
                    self.node.boot.send_replace(Boot::Settling { until: None });
                    self.node.nudge();
                }
                None => {
                    self.ports.store.booted(now.boot_id, Vec::new()).await?;
                    self.settled();
                }
            },
            Boot::Settling { until: None } if matches!(sight, Sight::Answers) => {
                let settle = self.settings.settle_intent.max(SETTLE_AT_LEAST);
                let until = Some(now.plus(settle));
                self.node.boot.send_replace(Boot::Settling { until });
                return Ok(Some(settle));
            }
            Boot::Settled | Boot::Settling { until: None } => {}
            Boot::Settling { until: Some(until) } if now.has_reached(&until) => {
                self.end_of_settling(state, now).await?;
            }
            Boot::Settling { until: Some(until) } => return Ok(Some(wait(now, until))),
        }
        Ok(None)
    }

    fn settled(&self) {
        self.node.boot.send_replace(Boot::Settled);
    }

    /// What has not come back is one incident of the node, which stands for the drift of each.
    async fn end_of_settling(&self, state: &NodeState, now: Moment) -> Result<(), Failure> {
        let view = self.publisher.view();
        let mut covered = casualties(&view, now);
        let mut changes = Vec::new();
        if covered.is_empty() {
            info!("everything came back after the reboot");
        } else {
            let node = self.reboot_incident(state, &covered, now);
            for incident in &mut covered {
                incident.covered_by = Some(node.incident.id.clone());
            }
            changes.push(node);
        }
        changes.extend(covered.into_iter().map(|incident| IncidentChange {
            incident,
            closed: None,
            alert: None,
        }));
        log(&changes);
        self.ports.store.booted(now.boot_id, changes).await?;
        self.messages.notify_one();
        self.settled();
        Ok(())
    }

    /// Opens it, or, where one stands since an earlier boot, says it anew.
    fn reboot_incident(
        &self,
        state: &NodeState,
        covered: &[Incident],
        now: Moment,
    ) -> IncidentChange {
        let open = state.incidents.iter().find(|i| i.kind == AlertKind::Reboot);
        let newly = covered.iter().filter_map(|incident| incident.scope.key());
        let missing: Vec<_> = state
            .covered
            .iter()
            .map(|(_, key)| key)
            .chain(newly)
            .cloned()
            .collect();
        let matter = matter(AlertKind::Reboot, reboot_words(&missing));
        let open = open.map(|open| Incident {
            cause: matter.reason.clone(),
            told: None,
            ..open.clone()
        });
        let standing = Standing::Stands {
            since: now,
            due: now,
        };
        let subject = subject(AlertKind::Reboot);
        let outcome = self.decide_node(state, open.as_ref(), standing, &matter, now);
        change(&subject, open.as_ref(), &matter, &outcome, now).unwrap_or_else(|| IncidentChange {
            incident: open.unwrap_or_else(|| opened(&subject, &matter, now, now)),
            closed: None,
            alert: None,
        })
    }
}

/// The incidents of what the reboot took down and nothing brought back.
fn casualties(view: &View, now: Moment) -> Vec<Incident> {
    let down = view.components.values().filter(|status| {
        let told = status.drift.iter().any(|drift| drift.incident.is_some());
        let drift: Vec<_> = status.drift.iter().map(|d| d.drift.clone()).collect();
        !told && status.operation.is_none() && is_taken_down(&status.record, &drift, &now)
    });
    down.filter_map(|status| {
        let first = status.drift.first()?;
        let subject = Subject::of(&status.record, ObservedState::Running);
        let matter = matter(AlertKind::Drift, first.drift.cause.clone());
        Some(opened(&subject, &matter, first.since, now))
    })
    .collect()
}

fn outage_standing(sight: &Sight, settle: Duration) -> (Standing, Matter) {
    let (standing, reason) = match sight {
        Sight::None => (Standing::Hold, String::new()),
        Sight::Answers => (outage(None, settle), "the runtime answers again".to_owned()),
        Sight::Fails { since, last, why } => {
            (outage(Some((*since, *last)), settle), outage_words(why))
        }
    };
    (standing, matter(AlertKind::Outage, reason))
}

/// It is opened where the boot is judged, and stands for as long as it speaks for somebody.
fn reboot_standing(state: &NodeState) -> (Standing, Matter) {
    let open = state.incidents.iter().find(|i| i.kind == AlertKind::Reboot);
    let speaks = |open: &&Incident| state.covered.iter().any(|(by, _)| *by == open.id);
    let standing = open
        .filter(speaks)
        .map_or(Standing::Gone, |open| Standing::Stands {
            since: open.opened,
            due: open.opened,
        });
    let reason = match standing {
        Standing::Gone => "everything is back, or wanted otherwise".to_owned(),
        _ => String::new(),
    };
    (standing, matter(AlertKind::Reboot, reason))
}

fn subject(kind: AlertKind) -> Subject {
    Subject {
        scope: Scope::Node,
        desired: DesiredState::Running,
        observed: match kind {
            AlertKind::Outage => ObservedState::Unknown,
            _ => ObservedState::Exited,
        },
        prev: ObservedState::Running,
    }
}

fn matter(kind: AlertKind, reason: String) -> Matter {
    Matter {
        kind,
        reason,
        exit_code: None,
        transitions: 0,
    }
}

fn wait(now: Moment, due: Moment) -> Duration {
    now.until(&due).max(Duration::from_millis(1))
}

fn soonest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
