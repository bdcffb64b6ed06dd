//! Following what happens on a node, over connections that break: whoever was told something goes
//! on from there.

use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, LocalBoxStream, StreamExt as _};
use mcp_config::cli::Node;
use mcp_proto::v1::WatchResponse;
use mcp_proto::v1::watch_response::Change;
use rand::Rng;
use tonic::{Code, Status, Streaming};

use crate::agent::Agent;
use crate::context::Context;
use crate::problem;
use crate::status::explain;

/// How long to wait before the first new connection, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What comes of following.
#[derive(Debug)]
pub(crate) enum News {
    /// Something happened, or is so.
    Change(Box<Change>),
    /// There is no connection, and why. Another one is tried.
    Lost(String),
    /// The agent has no such stream to give; looking again and again is all that is left.
    Refused(String),
}

/// Back-off between connections: twice as long each time, and never quite the same.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    /// Begins anew.
    pub(crate) const fn new() -> Self {
        Self(PAUSE.0)
    }

    /// Waits until the next connection may be tried.
    pub(crate) async fn wait(&mut self) {
        let now = self.0;
        self.0 = PAUSE.1.min(now * 2);
        let part = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(now.mul_f64(part)).await;
    }
}

/// Follows `service` on `node`, or everything where it is empty, beginning over `agent` where there
/// is a connection already. Ends after [`News::Refused`] only.
pub(crate) fn follow<'a>(
    context: &'a Context,
    node: &'a Node,
    service: &'a str,
    agent: Option<Agent>,
) -> LocalBoxStream<'a, News> {
    let following = Following {
        context,
        node,
        service,
        agent,
        stream: None,
        cursor: 0,
        pause: None,
    };
    stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let news = following.next().await;
        let go_on = !matches!(news, News::Refused(_));
        Some((news, go_on.then_some(following)))
    })
    .boxed_local()
}

struct Following<'a> {
    context: &'a Context,
    node: &'a Node,
    service: &'a str,
    /// A connection that nothing was tried over yet.
    agent: Option<Agent>,
    stream: Option<Streaming<WatchResponse>>,
    cursor: u64,
    /// Absent until something broke.
    pause: Option<Pause>,
}

impl Following<'_> {
    async fn next(&mut self) -> News {
        loop {
            let Some(stream) = &mut self.stream else {
                match self.open().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(news) => return news,
                }
                continue;
            };
            let told = stream.message().await;
            match told {
                Ok(Some(WatchResponse { cursor, change })) => {
                    self.pause = None;
                    if cursor != 0 {
                        self.cursor = cursor;
                    }
                    // A change that this release does not know says nothing to it.
                    if let Some(change) = change {
                        return News::Change(Box::new(change));
                    }
                }
                Ok(None) => return self.broken(&Status::unavailable("the stream ended")),
                Err(status) => return self.broken(&status),
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<WatchResponse>, News> {
        if let Some(pause) = &mut self.pause {
            pause.wait().await;
        }
        let agent = match self.agent.take() {
            Some(agent) => Ok(agent),
            None => Agent::connect(self.context, self.node).await,
        };
        let lost = |error| News::Lost(problem::chain(&error));
        let agent = agent.map_err(lost);
        let opened = match agent {
            Ok(agent) => agent.watch(self.service, self.cursor).await,
            Err(news) => {
                self.pause.get_or_insert_with(Pause::new);
                return Err(news);
            }
        };
        opened.map_err(|status| self.broken(&status))
    }

    fn broken(&mut self, status: &Status) -> News {
        self.stream = None;
        self.pause.get_or_insert_with(Pause::new);
        let why = explain(self.node, "follow what happens", status);
        let why = problem::chain(&why.into());
        match status.code() {
            Code::Unimplemented | Code::ResourceExhausted => News::Refused(why),
            _ => News::Lost(why),
        }
    }
}
