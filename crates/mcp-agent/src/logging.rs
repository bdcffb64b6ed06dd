//! The log: for people on a terminal, JSON otherwise.

mod lines;

use std::io::IsTerminal as _;

use mcp_config::agent::{Log, LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::gate::AUDIT_TARGET;

/// Sends log records to standard error, as configured. Each is one line, and nothing in it that
/// came from elsewhere can end it, move a cursor or hide a part of it.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let human = is_human(log.format);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let styled = human && colour;
    let builder = SubscriberBuilder::default()
        .with_writer(move || lines::Lines::new(std::io::stderr(), styled))
        .with_max_level(LevelFilter::TRACE);
    let filter = filter(log.level);
    let started = if human {
        builder.with_ansi(styled).finish().with(filter).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .with(filter)
            .try_init()
    };
    started.map_err(|source| anyhow::anyhow!("cannot start the log: {source}"))
}

fn is_human(format: LogFormat) -> bool {
    match format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    }
}

/// The configured level, and the audit log whatever that level is (S42).
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What the HTTP stack says below `info` is about bytes, not about MCP.
    let http = ["h2", "hyper", "hyper_util", "rustls", "tower"];
    Targets::new()
        .with_default(level)
        .with_targets(http.map(|target| (target, level.min(LevelFilter::INFO))))
        // Its messages are sentences of its own, with places in its sources; an opened registry is
        // told by us.
        .with_target("refinery_core", level.min(LevelFilter::WARN))
        .with_target(AUDIT_TARGET, LevelFilter::INFO)
}

/// What is logged in a test.
#[cfg(test)]
pub(crate) mod captured {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::DefaultGuard;
    use tracing_subscriber::fmt::SubscriberBuilder;

    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        /// Everything that this thread logs from here on.
        pub(crate) fn of_this_thread() -> (Self, DefaultGuard) {
            let written = Self::default();
            let writer = written.clone();
            let subscriber = SubscriberBuilder::default()
                .json()
                .flatten_event(true)
                .with_writer(move || writer.clone())
                .finish();
            (written, tracing::subscriber::set_default(subscriber))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        /// The records of the audit log so far.
        pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
            let text = self.text();
            let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
            records
                .filter(|record: &serde_json::Value| record["target"] == super::AUDIT_TARGET)
                .collect()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::captured::Written;
    use super::*;

    #[test]
    fn the_audit_log_is_written_whatever_the_level() {
        for level in [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
        ] {
            let written = Written::default();
            let writer = written.clone();
            let subscriber = SubscriberBuilder::default()
                .with_max_level(LevelFilter::TRACE)
                .with_writer(move || writer.clone())
                .finish()
                .with(filter(level));
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: AUDIT_TARGET, "who did what");
                tracing::trace!("noise");
            });
            let text = written.text();
            assert!(
                text.contains("who did what") && !text.contains("noise"),
                "{text}"
            );
        }
    }
}
