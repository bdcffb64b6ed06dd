//! The table of `mcp status`, drawn again where it stands.

mod canvas;

use std::io;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::join_all;
use futures::{Stream, StreamExt as _};
use mcp_config::cli::Node;
use mcp_proto::v1::GetServiceStatusResponse;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::News;
use crate::agent::Agent;
use crate::commands::status::{Status, View, known};
use crate::context::Context;
use crate::fleet::Answer;
use crate::output::Output;

use canvas::{Canvas, Size};

/// What comes together is drawn together.
const GATHER: Duration = Duration::from_millis(150);

/// How often the table is drawn although nothing happened: ages grow.
const REFRESH: Duration = Duration::from_secs(15);

/// How long one node may hold up the drawing.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Screen<'a> {
    context: &'a Context,
    service: &'a str,
    rows: Vec<Rows<'a>>,
    canvas: Canvas,
}

/// What is known of one node.
struct Rows<'a> {
    node: &'a Node,
    agent: Option<Agent>,
    answer: Result<Option<GetServiceStatusResponse>, String>,
    connected: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(context: &'a Context, nodes: &[&'a Node], service: &'a str) -> Self {
        let rows = nodes.iter().map(|node| Rows {
            node,
            agent: None,
            answer: Err("connecting".to_owned()),
            connected: false,
        });
        Self {
            context,
            service,
            rows: rows.collect(),
            canvas: Canvas::default(),
        }
    }

    /// Draws until no node tells anything any more.
    pub(super) async fn run(
        mut self,
        mut news: impl Stream<Item = (usize, News)> + Unpin,
    ) -> Result<()> {
        let mut resized = signal(SignalKind::window_change())?;
        let mut draw_at = Instant::now() + GATHER;
        loop {
            tokio::select! {
                told = news.next() => {
                    let Some((index, told)) = told else { break };
                    draw_at = draw_at.min(Instant::now() + GATHER);
                    self.rows[index].learn(told);
                }
                // What is known fits differently now; nobody need be asked for that.
                _ = resized.recv() => self.draw()?,
                () = tokio::time::sleep_until(draw_at) => {
                    self.refresh().await;
                    self.draw()?;
                    draw_at = Instant::now() + REFRESH;
                }
            }
        }
        self.draw()?;
        Ok(())
    }

    async fn refresh(&mut self) {
        let (context, service) = (self.context, self.service);
        let rows = self.rows.iter_mut();
        join_all(rows.map(|rows| rows.refresh(context, service))).await;
    }

    fn draw(&mut self) -> io::Result<()> {
        let views = self.rows.iter().filter_map(Rows::view).collect();
        let mut status = Status::of(views);
        if !self.service.is_empty() {
            status.forget_foreign();
        }
        let lost = self
            .rows
            .iter()
            .filter_map(|rows| rows.answer.as_ref().err());
        let lost: Vec<String> = lost
            .map(|why| mcp_model::text::escape(why).into_owned())
            .collect();
        let size = Size::of_the_terminal();
        let text = self.context.out.styled(&status.screen(&lost, size.rows));
        Output::draw(&self.canvas.frame(&text, size))
    }
}

impl Rows<'_> {
    fn learn(&mut self, news: News) {
        match news {
            News::Change(_) => self.connected = true,
            News::Lost(why) | News::Refused(why) => {
                (self.connected, self.agent) = (false, None);
                self.answer = Err(why);
            }
        }
    }

    /// Asks again where something changed or the ages have grown.
    async fn refresh(&mut self, context: &Context, service: &str) {
        if !self.connected {
            return;
        }
        let asked = tokio::time::timeout(PATIENCE, self.ask(context, service)).await;
        let late = |_| Err(anyhow!("{} does not answer now", self.node.name));
        let answer = asked.unwrap_or_else(late);
        if answer.is_err() {
            self.agent = None;
        }
        self.answer = answer.map_err(|error| crate::problem::chain(&error));
    }

    async fn ask(
        &mut self,
        context: &Context,
        service: &str,
    ) -> Result<Option<GetServiceStatusResponse>> {
        let agent = match &mut self.agent {
            Some(agent) => agent,
            none => none.insert(Agent::connect(context, self.node).await?),
        };
        known(agent.status(service, true).await)
    }

    fn view(&self) -> Option<View> {
        View::of(Answer {
            node: self.node,
            result: self.answer.clone().map_err(|why| anyhow!(why)),
        })
    }
}
