//! `mcp status --watch` on a terminal, seen as a terminal shows it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Child;

use mcp_proto::v1::{DriftInfo, EventInfo, GetServiceStatusResponse};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::Winsize;

use crate::double::{Double, Script};
use crate::fixtures::{at, component, service};
use crate::terminal;
use crate::watch::{picture, state, told};
use crate::world::World;

/// How long to wait for something to be written: it tells "never" from "later".
const NEVER: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// The rows and columns of a terminal.
type Size = (u16, u16);

fn resize(terminal: &File, (rows, columns): Size) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}

/// A terminal on which something is watched.
struct Screen {
    child: Child,
    ours: File,
    parser: vt100::Parser,
    /// Everything that was written.
    bytes: Vec<u8>,
}

impl Screen {
    fn watching(world: &World, size: Size) -> Self {
        let args = ["status", "--watch"];
        let (child, ours) = terminal::run_on(world, &args, |ours| resize(ours, size));
        let mut parser = vt100::Parser::new(size.0, size.1, 1000);
        // As if there had been something before.
        parser.process(b"$ mcp status --watch\r\n");
        Self {
            child,
            ours,
            parser,
            bytes: Vec::new(),
        }
    }

    fn resize(&mut self, size: Size) {
        self.parser.screen_mut().set_size(size.0, size.1);
        resize(&self.ours, size);
    }

    /// Reads until the screen shows it, drawn to the end; what it shows then.
    fn until(&mut self, shown: impl Fn(&str) -> bool) -> String {
        loop {
            let contents = self.parser.screen().contents();
            if self.bytes.ends_with(b"\x1b[J") && shown(&contents) {
                return contents;
            }
            assert!(self.read(), "it ended\n{contents}");
        }
    }

    /// Reads what comes next. Returns whether anything did before the end.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
        let number = poll(&mut ready, Some(&NEVER)).unwrap();
        assert_eq!(number, 1, "in vain\n{}", self.parser.screen().contents());
        let mut bytes = [0; 4096];
        // An error is the end: nobody has the other end any more.
        let count = self.ours.read(&mut bytes).unwrap_or(0);
        self.bytes.extend_from_slice(&bytes[..count]);
        self.parser.process(&bytes[..count]);
        count > 0
    }

    /// How many lines have left the screen at its top.
    fn scrolled(&mut self) -> usize {
        self.parser.screen_mut().set_scrollback(usize::MAX);
        let scrolled = self.parser.screen().scrollback();
        self.parser.screen_mut().set_scrollback(0);
        scrolled
    }

    /// Types ctrl-c.
    fn interrupt(mut self) -> Vec<u8> {
        self.ours.write_all(b"\x03").unwrap();
        while self.read() {}
        assert!(self.child.wait().unwrap().success());
        self.bytes
    }
}

/// So many components, the last of which is in this state.
fn status(components: usize, last: &str) -> GetServiceStatusResponse {
    let name = |index: usize| format!("c{index:02}");
    let mut all: Vec<_> = (1..=components)
        .map(|index| component(&name(index), "running", "running"))
        .collect();
    last.clone_into(&mut all.last_mut().unwrap().observed_state);
    let drift = (last != "running").then(|| DriftInfo {
        service: "hello".to_owned(),
        component: name(components),
        desired_state: "running".to_owned(),
        observed_state: last.to_owned(),
        kind: "state".to_owned(),
        since: Some(at(3_590)),
        cause: "137: killed (SIGKILL)\u{1b}]0;owned\u{7}\u{9b}2J\r\nError: \u{202e}gone".to_owned(),
        ..Default::default()
    });
    GetServiceStatusResponse {
        services: vec![service("hello", all)],
        drift: drift.into_iter().collect(),
        recent_events: vec![EventInfo {
            service: "hello".to_owned(),
            component: "c01\u{1b}[31m".to_owned(),
            new_state: "running".to_owned(),
            ..Default::default()
        }],
        observed_at: Some(at(3_597)),
        answered_at: Some(at(3_600)),
        ..Default::default()
    }
}

async fn node(world: &World, components: usize) -> Double {
    let script = Script {
        status: status(components, "running"),
        watch: vec![picture(7, [state("c01", "running")])],
        ..Default::default()
    };
    world.node("rift", script).await
}

/// Removes every sequence that the table itself is made of: styles, moves, line ends.
fn without_our_own(bytes: &[u8]) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    for (own, left) in [
        ("\u{1b}[K", ""),
        ("\u{1b}[J", ""),
        ("\r\n", ""),
        ("\r\u{1b}[", "\u{1b}["),
    ] {
        text = text.replace(own, left);
    }
    let mut rest = String::new();
    let mut parts = text.split("\u{1b}[");
    rest.push_str(parts.next().unwrap());
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_digit() && c != ';')
            .unwrap();
        assert!(matches!(&part[end..=end], "m" | "A"), "{part:?}");
        rest.push_str(&part[end + 1..]);
    }
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_drawn_in_place_and_no_control_character_of_the_data_gets_out() {
    let world = World::new();
    let double = node(&world, 3).await;
    let mut screen = Screen::watching(&world, (24, 100));
    screen.until(|shown| shown.contains("No drift."));
    for round in 0..3 {
        double.script().status = status(3, "exited");
        double.tells([told(8 + round, state("c03", "exited"))]);
        let shown = screen.until(|shown| shown.contains("DRIFT in 1 component"));
        assert_eq!(shown.matches("rift: seen").count(), 1, "{shown}");
        assert_eq!(shown.matches("c01").count(), 2, "{shown}");
        assert!(!shown.contains("No drift"), "{shown}");
        assert!(shown.starts_with("$ mcp status --watch\n"), "{shown}");
        double.script().status = status(3, "running");
        double.tells([told(8 + round, state("c03", "running"))]);
        let shown = screen.until(|shown| shown.contains("No drift."));
        assert!(!shown.contains("DRIFT"), "{shown}");
    }
    assert_eq!(screen.scrolled(), 0);
    let written = without_our_own(&screen.interrupt());
    assert!(written.contains("\\u{1b}]0;owned"), "{written}");
    let typed = written.replace("^C", "");
    let control = typed.chars().find(|&c| mcp_model::text::is_hostile(c));
    assert_eq!(control, None, "{typed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_terminal_is_small_what_is_wrong_comes_first_and_nothing_scrolls() {
    let world = World::new();
    let double = node(&world, 40).await;
    let mut screen = Screen::watching(&world, (12, 60));
    let shown = screen.until(|shown| shown.contains("more lines"));
    assert!(
        shown.contains("No drift.") && shown.contains("hello    c01"),
        "{shown}"
    );
    double.script().status = status(40, "exited");
    double.tells([told(8, state("c40", "exited"))]);
    let shown = screen.until(|shown| shown.contains("DRIFT"));
    assert!(shown.contains("hello/c40"), "{shown}");
    assert!(!shown.contains("owned"), "one row, cut: {shown}");
    // The line that was there before it has made room, and no other.
    assert_eq!(screen.scrolled(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_resized_shows_one_table_of_the_new_size() {
    let world = World::new();
    let _double = node(&world, 10).await;
    let mut screen = Screen::watching(&world, (30, 100));
    screen.until(|shown| shown.contains("c10") && shown.contains("Recent events"));
    for (size, more) in [
        ((40, 100), false),
        ((9, 40), true),
        ((30, 30), false),
        ((24, 120), false),
    ] {
        screen.resize(size);
        let shown = screen.until(|shown| {
            let fits = shown.contains("more lines") == more;
            fits && shown.starts_with("rift: seen") && (more || shown.contains("Recent events"))
        });
        assert_eq!(shown.matches("rift: seen").count(), 1, "{shown}");
        assert!(shown.lines().count() < size.0.into(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_went_away_is_unknown_and_comes_back() {
    let world = World::new();
    let double = node(&world, 3).await;
    let mut screen = Screen::watching(&world, (24, 100));
    screen.until(|shown| shown.contains("No drift."));
    double
        .script()
        .refusals
        .insert("watch", (tonic::Code::Unavailable, "away for now"));
    double.breaks(picture(3, [state("c01", "running")]));
    let shown = screen.until(|shown| shown.contains("away for now"));
    assert!(
        shown.contains("unknown") && !shown.contains("c01"),
        "{shown}"
    );
    double.script().refusals.clear();
    let shown = screen.until(|shown| shown.contains("No drift."));
    assert!(shown.contains("c01") && !shown.contains("away"), "{shown}");
}
