//! Asking for an operation and waiting for its end.
//!
//! The operation belongs to the agent from the moment that it is accepted: when the waiting ends
//! early, the operation goes on, and what is said here is its id (S18).

use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use mcp_model::OperationId;
use mcp_proto::v1::watch_response::Change;
use mcp_proto::v1::{ComponentResult, OperationInfo};
use rand::Rng;
use serde::Serialize;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use crate::agent::{Agent, Client};
use crate::context::Context;
use crate::follow::{News, Pause, follow};
use crate::output::Output;
use crate::problem::{Exit, Problem};
use crate::progress::Progress;
use crate::status::{explain, is_lost, is_unanswered, left_because, words};
use crate::table::{Look, Table, Value};
use crate::view::{self, Outcome};

/// How long to wait before the steps are looked at for the first time, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(1));

/// When the steps are looked at: often at first, then less and less. Every look is a line in the
/// agent's audit log, and what takes minutes needs no picture of every moment.
#[derive(Debug)]
pub(crate) struct Pace(Duration);

impl Pace {
    /// Begins anew.
    pub(crate) const fn new() -> Self {
        Self(POLL.0)
    }

    /// How long to wait before the next look.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = POLL.1.min(now + now / 10);
        now
    }
}

/// An answer that comes at the last moment shall win over our own clock.
const GRACE: Duration = Duration::from_secs(1);

/// How long a node may be out of reach until the waiting for an operation on it ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// After how long waiting for a turn is worth a word: what begins at once needs none.
pub(crate) const LONG: Duration = Duration::from_secs(2);

/// How long to ask what became of an operation that was left.
const PARTING: Duration = Duration::from_secs(2);

/// How the waiting ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// With the agent's answer.
    Answered(T),
    /// Without one.
    Left {
        /// Whether the agent is known to have accepted the operation.
        accepted: bool,
        /// What to tell the operator.
        problem: Problem,
    },
}

impl<T> Ended<T> {
    /// The part of the answer that matters.
    pub(crate) fn map<U>(self, part: impl FnOnce(T) -> U) -> Ended<U> {
        match self {
            Self::Answered(answer) => Ended::Answered(part(answer)),
            Self::Left { accepted, problem } => Ended::Left { accepted, problem },
        }
    }
}

/// What an operation is, in words: `deploy hello` on a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) id: &'a OperationId,
    pub(crate) service: &'a str,
    pub(crate) tried: &'a str,
}

/// A new id: 100 random bits.
pub(crate) fn new_id() -> OperationId {
    const ALPHABET: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
        's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    let mut random = rand::rng();
    let id: String = (0..20)
        .map(|_| ALPHABET[random.random_range(0..ALPHABET.len())])
        .collect();
    id.parse()
        .expect("letters and digits of the right number are an id")
}

/// The request with the time that its answer is waited for, so that the agent can say who is in
/// the way before we leave (S18).
pub(crate) fn request<T>(context: &Context, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(context.operation_timeout());
    request
}

/// Waits for the answer to `call`, telling meanwhile what the operation does. A call that breaks off
/// is made again over a new connection: the same id attaches to what is there.
///
/// # Errors
///
/// The agent's refusal.
pub(crate) async fn wait<T>(
    context: &Context,
    asked: Asked<'_>,
    call: impl AsyncFn(Client) -> Result<Response<T>, Status>,
) -> Result<Ended<T>> {
    let mut progress = Progress::new(context.out);
    let answer = tokio::select! {
        answer = Box::pin(answered(context, asked, call)) => Ok(answer),
        () = watch(context, asked, &mut progress) => unreachable!("watching has no end of its own"),
        () = tokio::time::sleep(context.operation_timeout() + GRACE) => Err("it did not end in time"),
        _ = tokio::signal::ctrl_c() => Err("interrupted"),
    };
    progress.finish();
    let status = match answer {
        Ok(Ok(response)) => return Ok(Ended::Answered(response.into_inner())),
        Ok(Err(status)) => status,
        Err(why) => return Ok(left(asked, why, look(asked).await.as_ref())),
    };
    if let Some(why) = left_because(&status) {
        let seen = look(asked).await;
        if seen.is_some() || is_unanswered(&status) {
            return Ok(left(asked, &why, seen.as_ref()));
        }
    }
    Err(explain(&asked.agent.node, asked.tried, &status).into())
}

/// The answer, over as many connections as it takes.
async fn answered<T>(
    context: &Context,
    asked: Asked<'_>,
    call: impl AsyncFn(Client) -> Result<Response<T>, Status>,
) -> Result<Response<T>, Status> {
    let mut last = match call(asked.agent.client()).await {
        Err(status) if is_broken(asked, &status).await => status,
        answer => return answer,
    };
    let (node, id) = (&asked.agent.node, asked.id);
    let what = format!("{}: {}; asking again for {id}", node.name, words(&last));
    context.out.note(&what);
    let mut since = Instant::now();
    let mut pause = Pause::new();
    while since.elapsed() < PATIENCE {
        pause.wait().await;
        let Ok(agent) = Agent::connect(context, node).await else {
            continue;
        };
        since = Instant::now();
        match call(agent.client()).await {
            Err(status) if is_lost(&status) || status.code() == Code::Unavailable => last = status,
            answer => return answer,
        }
    }
    Err(last)
}

/// Whether the answer was cut off: the connection was, or the agent stops and goes on with what it
/// has accepted when it starts again.
async fn is_broken(asked: Asked<'_>, status: &Status) -> bool {
    if is_lost(status) {
        return true;
    }
    let known = async || asked.agent.operation(asked.id.as_str()).await;
    status.code() == Code::Unavailable && !matches!(known().await, Ok(None))
}

/// Follows the operation's steps. What goes wrong here does not matter: the answer of the call
/// itself does.
async fn watch(context: &Context, asked: Asked<'_>, progress: &mut Progress) {
    let agent = asked.agent.clone();
    let mut news = follow(context, &asked.agent.node, asked.service, Some(agent));
    let mut long = pin!(tokio::time::sleep(LONG));
    loop {
        tokio::select! {
            told = news.next() => match told {
                Some(News::Change(change)) => match *change {
                    Change::Operation(operation) if operation.id == asked.id.as_str() => {
                        progress.update(&operation);
                    }
                    Change::State(state) => progress.state(&state),
                    _ => {}
                },
                Some(News::Lost(_)) => {}
                Some(News::Refused(_)) | None => return poll(asked, progress).await,
            },
            () = &mut long, if !long.is_elapsed() => progress.takes_long(),
        }
    }
}

/// Looks at the operation's steps again and again, on an agent that does not tell by itself.
async fn poll(asked: Asked<'_>, progress: &mut Progress) {
    let mut pace = Pace::new();
    loop {
        tokio::time::sleep(pace.next()).await;
        if let Ok(Some(operation)) = asked.agent.operation(asked.id.as_str()).await {
            progress.follow(asked.agent, &operation).await;
        }
    }
}

/// What the agent knows of the operation; `None` also where it does not say.
async fn look(asked: Asked<'_>) -> Option<OperationInfo> {
    let look = tokio::time::timeout(PARTING, asked.agent.operation(asked.id.as_str())).await;
    look.ok().and_then(Result::ok).flatten()
}

/// The end of the waiting, not of the operation.
fn left<T>(asked: Asked<'_>, why: &str, seen: Option<&OperationInfo>) -> Ended<T> {
    let (node, id) = (&asked.agent.node.name, asked.id);
    let state = match seen {
        Some(operation) => format!("the operation goes on there as {id} ({})", operation.state),
        None => format!("the operation may go on there as {id}"),
    };
    let what = format!(
        "stopped waiting for {} on {node}: {why}; {state}",
        asked.tried
    );
    Ended::Left {
        accepted: seen.is_some(),
        problem: Problem::new(what).help(format!("wait for it: mcp wait {id} --node {node}")),
    }
}

/// What became of the components, as shown and as `--output json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) node: String,
    pub(crate) service: String,
    pub(crate) operation_id: String,
    pub(crate) results: Vec<Outcome>,
    pub(crate) warnings: Vec<String>,
}

/// The state that a component of a finished operation must have been seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Running,
    NotRunning,
    Gone,
}

impl Goal {
    /// Success is what was observed, not what was asked for. An agent that does not say what it
    /// observed is taken at its word.
    fn is_met_by(self, observed: &str) -> bool {
        match self {
            _ if observed.is_empty() => true,
            Self::Running => observed == "running",
            Self::NotRunning => matches!(observed, "stopped" | "exited" | "removed"),
            Self::Gone => observed == "removed",
        }
    }
}

/// The components' results, with success corrected by what was observed.
pub(crate) fn outcomes(results: Vec<ComponentResult>, goal: Goal) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = view::all(results);
    for outcome in &mut outcomes {
        let done = outcome.success && outcome.skipped.is_empty();
        if done && !goal.is_met_by(&outcome.observed) {
            outcome.success = false;
            outcome.error = format!("it was done, but is {} now", outcome.observed);
        }
    }
    outcomes
}

impl Report {
    /// Tells what failed and what is to be heeded, and how the command ends.
    pub(crate) fn tell(&self, out: Output) -> Exit {
        for warning in &self.warnings {
            out.warn(warning);
        }
        for failed in self.results.iter().filter(|outcome| !outcome.success) {
            out.error(&anyhow::anyhow!(
                "{}/{}: {}",
                self.service,
                failed.component,
                failed.error
            ));
        }
        Exit::fine_if(self.results.iter().all(|outcome| outcome.success))
    }

    /// The results as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new(&["SERVICE", "COMPONENT", "RESULT", "OBSERVED", "[NOTE]"]);
        for outcome in &self.results {
            let (word, look) = match outcome {
                Outcome { success: false, .. } => ("failed", Look::Bad),
                Outcome { skipped, .. } if !skipped.is_empty() => ("skipped", Look::Faint),
                Outcome {
                    unchanged: true, ..
                } => ("unchanged", Look::Good),
                _ => ("done", Look::Good),
            };
            table.row([
                self.service.as_str().into(),
                outcome.component.as_str().into(),
                Value::new(word, look),
                Value::state(&outcome.observed),
                note(outcome).into(),
            ]);
        }
        table.render()
    }
}

fn note(outcome: &Outcome) -> &str {
    match outcome {
        Outcome { success: false, .. } => "see above",
        Outcome { skipped, .. } if !skipped.is_empty() => skipped,
        Outcome {
            unchanged: true, ..
        } => "the spec was the same; the container was replaced",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_valid_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert!(one.as_str().len() >= 16);
    }

    #[test]
    fn looks_become_rare_but_never_stop() {
        let mut pace = Pace::new();
        let looks: Vec<Duration> = std::iter::repeat_with(|| pace.next()).take(100).collect();
        assert!(looks.is_sorted());
        assert_eq!((looks[0], looks[99]), POLL);
    }

    #[test]
    fn success_is_what_was_observed() {
        for (goal, observed, success) in [
            (Goal::Running, "running", true),
            (Goal::Running, "exited", false),
            (Goal::Running, "unknown", false),
            (Goal::Running, "", true),
            (Goal::NotRunning, "stopped", true),
            (Goal::NotRunning, "running", false),
            (Goal::NotRunning, "unknown", false),
            (Goal::Gone, "removed", true),
            (Goal::Gone, "stopped", false),
        ] {
            let result = ComponentResult {
                success: true,
                observed_state: observed.to_owned(),
                ..Default::default()
            };
            assert_eq!(
                outcomes(vec![result], goal)[0].success,
                success,
                "{goal:?} {observed}"
            );
        }
    }
}
