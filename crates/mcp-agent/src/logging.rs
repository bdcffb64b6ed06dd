//! The log: for people on a terminal, JSON otherwise.

mod lines;

use std::io::IsTerminal as _;

use mcp_config::agent::{Log, LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::fmt::SubscriberBuilder;

use crate::gate::AUDIT_TARGET;

/// Sends log records to standard error, as configured. Each is one line, and nothing in it that
/// came from elsewhere can end it, move a cursor or hide a part of it.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let human = is_human(log.format);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let styled = human && colour;
    let builder = SubscriberBuilder::default()
        .with_writer(move || lines::Lines::new(std::io::stderr(), styled))
        .with_env_filter(filter(log.level));
    let started = if human {
        builder.with_ansi(styled).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
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
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let audit: Directive = format!("{AUDIT_TARGET}=info")
        .parse()
        .expect("a target and a level make a directive");
    // What the HTTP stack says below `info` is about bytes, not about MCP.
    [
        "h2=info",
        "hyper=info",
        "hyper_util=info",
        "rustls=info",
        "tower=info",
    ]
    .into_iter()
    .filter_map(|quiet| quiet.parse::<Directive>().ok())
    .filter(|_| level > LevelFilter::INFO)
    // Its messages are sentences of its own, with places in its sources; an opened registry is
    // told by us.
    .chain(
        "refinery_core=warn"
            .parse::<Directive>()
            .ok()
            .filter(|_| level > LevelFilter::WARN),
    )
    .fold(
        EnvFilter::default().add_directive(level.into()),
        EnvFilter::add_directive,
    )
    .add_directive(audit)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

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
                .with_env_filter(filter(level))
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: AUDIT_TARGET, "who did what");
                tracing::trace!("noise");
            });
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(
                text.contains("who did what") && !text.contains("noise"),
                "{text}"
            );
        }
    }
}
