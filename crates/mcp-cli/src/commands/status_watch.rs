//! `mcp status --watch`: what happens, as it happens, until it is interrupted.
//!
//! On a terminal the table of `mcp status` is drawn again whenever something changed. Elsewhere each
//! change is a line, or with `--output json` an object on a line of its own. A node that goes away
//! costs its own rows, and is connected to again.

mod line;
mod screen;

use anyhow::Result;
use futures::{StreamExt as _, stream};
use mcp_config::cli::Node;

use crate::context::Context;
use crate::follow::{News, follow};
use crate::problem::{Exit, Problem};

use line::{Board, Line, Object};
use screen::Screen;

pub(super) async fn run(context: &Context, service: &str) -> Result<Exit> {
    let nodes = context.nodes()?;
    let news =
        stream::select_all(nodes.iter().enumerate().map(|(index, node)| {
            follow(context, node, service, None).map(move |news| (index, news))
        }));
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(Exit::Fine),
        ended = show(context, &nodes, service, news) => ended,
    }
}

async fn show(
    context: &Context,
    nodes: &[&Node],
    service: &str,
    mut news: impl stream::Stream<Item = (usize, News)> + Unpin,
) -> Result<Exit> {
    if context.out.may_redraw() {
        let screen = Screen::new(context, nodes, service);
        screen.run(news).await?;
    } else {
        let mut watchers: Vec<Watcher> = nodes.iter().map(|_| Watcher::default()).collect();
        while let Some((index, told)) = news.next().await {
            let several = nodes.len() > 1;
            if !watchers[index].tell(context, nodes[index], several, told)? {
                // Whoever read this has what he wanted.
                return Ok(Exit::Fine);
            }
        }
    }
    Err(Problem::new("no node tells what happens on it")
        .help("upgrade the agents to the release of this mcp")
        .into())
}

/// What was said about one node.
#[derive(Default)]
struct Watcher {
    board: Board,
    /// What keeps it from being connected to, as last told.
    lost: Option<String>,
}

impl Watcher {
    /// Says what is new. Returns whether anybody still reads.
    fn tell(&mut self, context: &Context, node: &Node, several: bool, news: News) -> Result<bool> {
        if context.out.is_json() {
            return self.objects(context, node, news);
        }
        let name = if several { node.name.as_str() } else { "" };
        let lines = match news {
            News::Change(change) => {
                let back = self.lost.take().map(|_| format!("{} is back", node.name));
                let told = self.board.lines(*change);
                back.into_iter().chain(told).collect()
            }
            News::Lost(why) => self.is_lost(why).into_iter().collect(),
            News::Refused(why) => vec![why],
        };
        for line in lines {
            if !context.out.line(&Line::of(name, &line).to_string())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn objects(&mut self, context: &Context, node: &Node, news: News) -> Result<bool> {
        let object = match news {
            News::Change(change) => {
                self.lost = None;
                Some(Object::of(*change))
            }
            News::Lost(error) => self.is_lost(error).map(|error| Object::Lost { error }),
            News::Refused(error) => Some(Object::Lost { error }),
        };
        match object {
            Some(object) => Ok(context.out.line(&object.json(node.name.as_str())?)?),
            None => Ok(true),
        }
    }

    /// The words for it, where they were not said already.
    fn is_lost(&mut self, why: String) -> Option<String> {
        let before = self.lost.replace(why.clone());
        (before.as_deref() != Some(&why)).then_some(why)
    }
}
