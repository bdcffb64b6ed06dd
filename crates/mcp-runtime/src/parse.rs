//! What a runtime printed, as containers of the model. Pure.
//!
//! Lenient about what differs between podman 3, 4 and 5 (missing fields, lists or single texts,
//! times as seconds or RFC 3339), strict about the whole: an entry that cannot be read makes the
//! answer an error, never a shorter list (S25).

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use mcp_model::{Container, ContainerId, Exit, Instance, Labels, RuntimeState, Stamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An answer that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the JSON that was expected; truncated, perhaps.
    #[error("it is not the expected JSON: {0}")]
    Json(String),
    /// Readable, and not what was asked for.
    #[error("{0}")]
    Unexpected(String),
    /// More than a caller is willing to hold.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The most that is read.
        limit: usize,
    },
}

/// Reads what `podman ps --format=json` printed.
pub fn listing(json: &[u8]) -> Result<Vec<Container>, ParseError> {
    let rows: Vec<Listed> = read(json)?;
    Ok(rows
        .into_iter()
        .map(|Listed(container)| container)
        .collect())
}

/// Reads what `podman container inspect` printed.
pub fn inspection(json: &[u8]) -> Result<Vec<Container>, ParseError> {
    let details: Vec<Detail> = read(json)?;
    Ok(details.into_iter().map(Detail::into_container).collect())
}

/// Where the containers of what `podman container inspect` printed write their output, as far as
/// it is a file that can be read. Only a shorter way to the same lines: what cannot be read is left
/// out.
pub fn log_files(json: &[u8]) -> Vec<(ContainerId, PathBuf)> {
    let details: Vec<Detail> = read(json).unwrap_or_default();
    let file = |detail: Detail| {
        let log = detail.host_config?.log_config?;
        let readable = log.driver == "k8s-file" && log.path.starts_with('/');
        readable.then(|| (detail.id, log.path.into()))
    };
    details.into_iter().filter_map(file).collect()
}

/// Whether what `podman ps --external` printed shows a phantom of that very name: something in
/// the storage that no container is known for. A container that a build works in is none.
pub fn has_phantom(json: &[u8], name: &str) -> Result<bool, ParseError> {
    let rows: Vec<Row> = read(json)?;
    Ok(rows.iter().any(|row| {
        row.names.0.iter().any(|held| held == name)
            && row.state.eq_ignore_ascii_case("storage")
            && row.command.0 == ["storage"]
    }))
}

/// What MCP needs of `podman info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// `file`, `journald` or `none`.
    pub event_logger: String,
    /// Whether it runs without root.
    pub rootless: bool,
}

/// Reads what `podman info --format=json` printed.
pub fn info(json: &[u8]) -> Result<Info, ParseError> {
    #[derive(Deserialize)]
    struct Whole {
        host: Host,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Host {
        #[serde(default)]
        event_logger: String,
        #[serde(default)]
        security: Security,
    }
    #[derive(Deserialize, Default)]
    struct Security {
        #[serde(default)]
        rootless: bool,
    }
    let whole: Whole = read(json)?;
    Ok(Info {
        event_logger: whole.host.event_logger.to_ascii_lowercase(),
        rootless: whole.host.security.rootless,
    })
}

/// The container that a line of `podman events --format=json` is about, where it is about one.
/// Only the id is read: the payload of an event is never believed.
pub fn event(line: &[u8]) -> Option<ContainerId> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(alias = "Id", alias = "id", rename = "ID")]
        id: Option<String>,
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    line.id?.parse().ok()
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ParseError> {
    serde_json::from_slice(json).map_err(|e| ParseError::Json(e.to_string()))
}

/// One entry of a listing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(alias = "ID")]
    id: ContainerId,
    #[serde(default)]
    names: Texts,
    #[serde(default)]
    command: Texts,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pid: Option<i64>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    started_at: Time,
    #[serde(default)]
    exited_at: Time,
    #[serde(default)]
    restarts: Option<u32>,
}

impl Row {
    fn into_container(self) -> Container {
        let state = state(&self.state);
        let ended = has_ended(&state);
        Container {
            instance: Instance {
                id: self.id,
                pid: pid(self.pid),
                started_at: self.started_at.0,
                restart_count: self.restarts,
            },
            name: self.names.0.into_iter().next().unwrap_or_default(),
            exit: ended.then(|| Exit {
                // podman leaves the code out of an event where it is 0, and may of a listing.
                code: self.exit_code.unwrap_or(0),
                out_of_memory: false,
            }),
            finished_at: self.exited_at.0.filter(|_| ended),
            state,
            image: self.image.unwrap_or_default(),
            memory_limit: None,
            labels: labels(self.labels.as_ref()),
        }
    }
}

/// One entry as what is made of it. Each becomes that while the answer is read, so that the labels,
/// times and commands of a thousand containers are not held all at once.
#[derive(Deserialize)]
#[serde(from = "Row")]
struct Listed(Container);

impl From<Row> for Listed {
    fn from(row: Row) -> Self {
        Self(row.into_container())
    }
}

/// One entry of an inspection.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(alias = "ID")]
    id: ContainerId,
    #[serde(default)]
    name: String,
    state: DetailState,
    #[serde(default)]
    image_name: Option<String>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    restart_count: Option<u32>,
    #[serde(default)]
    config: Option<DetailConfig>,
    #[serde(default)]
    host_config: Option<DetailHost>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetailState {
    status: String,
    #[serde(default)]
    pid: Option<i64>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default)]
    started_at: Time,
    #[serde(default)]
    finished_at: Time,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetailConfig {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetailHost {
    #[serde(default)]
    memory: Option<i64>,
    #[serde(default)]
    log_config: Option<LogConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(default, rename = "Type")]
    driver: String,
    #[serde(default)]
    path: String,
}

impl Detail {
    fn into_container(self) -> Container {
        let state = state(&self.state.status);
        let ended = has_ended(&state);
        let labels_of = |c: &DetailConfig| labels(c.labels.as_ref());
        Container {
            instance: Instance {
                id: self.id,
                pid: pid(self.state.pid),
                started_at: self.state.started_at.0,
                restart_count: self.restart_count,
            },
            name: self.name.trim_start_matches('/').to_owned(),
            exit: ended.then_some(Exit {
                code: self.state.exit_code.unwrap_or(0),
                out_of_memory: self.state.oom_killed,
            }),
            finished_at: self.state.finished_at.0.filter(|_| ended),
            state,
            image: self.image_name.or(self.image).unwrap_or_default(),
            memory_limit: self
                .host_config
                .and_then(|host| host.memory)
                .and_then(|bytes| u64::try_from(bytes).ok())
                .filter(|&bytes| bytes > 0),
            labels: self.config.as_ref().map(labels_of).unwrap_or_default(),
        }
    }
}

fn state(word: &str) -> RuntimeState {
    match word.to_ascii_lowercase().as_str() {
        "created" => RuntimeState::Created,
        "configured" => RuntimeState::Configured,
        "initialized" => RuntimeState::Initialized,
        "running" => RuntimeState::Running,
        "paused" => RuntimeState::Paused,
        "stopping" => RuntimeState::Stopping,
        "stopped" => RuntimeState::Stopped,
        "exited" => RuntimeState::Exited,
        "restarting" => RuntimeState::Restarting,
        "removing" => RuntimeState::Removing,
        other => RuntimeState::Other(mcp_model::text::shorten(other, 40).into_owned()),
    }
}

fn has_ended(state: &RuntimeState) -> bool {
    matches!(state, RuntimeState::Stopped | RuntimeState::Exited)
}

fn pid(pid: Option<i64>) -> Option<u32> {
    pid.and_then(|pid| u32::try_from(pid).ok())
        .filter(|&pid| pid > 0)
}

/// A label that does not read as what it should be is not MCP's.
fn labels(all: Option<&BTreeMap<String, String>>) -> Labels {
    let [agent, service, component, revision, operation] =
        Labels::NAMES.map(|name| all.and_then(|all| all.get(name)));
    Labels {
        agent: agent.cloned(),
        service: service.cloned(),
        component: component.cloned(),
        revision: revision.and_then(|text| text.parse().ok()),
        operation: operation.and_then(|text| text.parse().ok()),
    }
}

/// A list of texts, one text, or nothing.
#[derive(Default, Deserialize)]
#[serde(from = "Option<OneOrMany>")]
struct Texts(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<Option<OneOrMany>> for Texts {
    fn from(texts: Option<OneOrMany>) -> Self {
        Self(match texts {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        })
    }
}

/// A time as seconds or RFC 3339. Go's zero time and anything before 1970 means "never".
#[derive(Default, Deserialize)]
#[serde(try_from = "Option<RawTime>")]
struct Time(Option<Stamp>);

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTime {
    Seconds(i64),
    Text(String),
}

impl TryFrom<Option<RawTime>> for Time {
    type Error = String;

    fn try_from(raw: Option<RawTime>) -> Result<Self, String> {
        let stamp = match raw {
            None => return Ok(Self(None)),
            Some(RawTime::Seconds(seconds)) => Stamp::from_millis(seconds.saturating_mul(1000)),
            Some(RawTime::Text(text)) => text
                .parse::<Timestamp>()
                .map(Stamp::new)
                .map_err(|e| format!("{text:?} is not a time: {e}"))?,
        };
        Ok(Self(Some(stamp).filter(|stamp| stamp.as_millis() > 0)))
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
