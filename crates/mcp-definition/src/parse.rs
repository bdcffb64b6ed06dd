//! Text to [`Definition`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use mcp_model::spec::{EnvName, MAX_TIMEOUT, parse_env};
use mcp_model::{ComponentName, ComponentSpec, ServiceSpec, SpecError};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fields::{Fields, Key, Problems};
use crate::{Definition, DefinitionError};

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

const SERVICE_KEYS: [Key; 4] = [
    key("name", r#"name = "hello""#),
    key("node", r#"node = "rift""#),
    key("active", "active = true"),
    key("components", "[[components]] with a name and an image"),
];

const COMPONENT_KEYS: [Key; 11] = [
    key("name", r#"name = "web""#),
    key("image", r#"image = "registry.example/hello:v1""#),
    key("network", r#"network = "bridge""#),
    key("user", r#"user = "1000:1000""#),
    key("restart", r#"restart = "unless-stopped""#),
    key("ports", r#"ports = ["127.0.0.1:8080:80"]"#),
    key("volumes", r#"volumes = ["/srv/hello:/data"]"#),
    key("cmd", r#"cmd = ["serve", "--verbose"]"#),
    key("env", r#"env = { GREETING = "hello" }"#),
    key("stop_timeout", r#"stop_timeout = "10s""#),
    key("pull_timeout", r#"pull_timeout = "10m""#),
];

/// Reads a definition from `text`; `name` is what errors call it.
pub fn parse(text: &str, name: &str) -> Result<Definition, DefinitionError> {
    let problems = Problems::default();
    let definition = match DeTable::parse(text) {
        Ok(table) => read_service(table.get_ref(), name, &problems),
        Err(error) => {
            problems.note(error.span().unwrap_or(0..0), error.message(), None);
            None
        }
    };
    match definition {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(DefinitionError::invalid(name, text, problems.into_drafts())),
    }
}

fn read_service(table: &DeTable<'_>, path: &str, problems: &Problems) -> Option<Definition> {
    let fields = Fields {
        table,
        place: 0..0,
        keys: &SERVICE_KEYS,
        problems,
    };
    let name = fields.required("name");
    let node = fields.required("node");
    let active = fields.boolean("active").unwrap_or(true);
    let components = read_components(&fields);
    fields.refuse_unknown(&COMPONENT_KEYS, "it belongs into one of the [[components]]");

    let service = ServiceSpec {
        name: name?,
        active,
        components,
    };
    if problems.is_empty() {
        // What no single value can show: how much there is of it.
        let place = fields.get("components").map_or(0..0, Spanned::span);
        note(problems, place, service.validate());
    }
    Some(Definition {
        path: path.into(),
        node: node?,
        service,
    })
}

fn read_components(service: &Fields<'_, '_>) -> BTreeMap<ComponentName, ComponentSpec> {
    let mut components = BTreeMap::new();
    let mut places: BTreeMap<ComponentName, Range<usize>> = BTreeMap::new();
    for entry in service.tables("components").into_iter().flatten() {
        let Some(table) = entry.get_ref().as_table() else {
            service.wrong_type("components", "a list of tables", entry);
            continue;
        };
        let fields = Fields {
            table,
            place: entry.span(),
            keys: &COMPONENT_KEYS,
            problems: service.problems,
        };
        let name: Option<ComponentName> = fields.required("name");
        let spec = read_component(&fields);
        let Some(name) = name else { continue };
        let place = fields.get("name").map_or(entry.span(), Spanned::span);
        if places.insert(name.clone(), place.clone()).is_some() {
            let duplicate = SpecError::DuplicateComponent(name.clone());
            note(service.problems, place, Err(duplicate));
        }
        components.extend(spec.map(|spec| (name, spec)));
    }
    components
}

fn read_component(fields: &Fields<'_, '_>) -> Option<ComponentSpec> {
    fields.refuse_unknown(&SERVICE_KEYS, "it belongs above the first [[components]]");
    let image = fields.required("image");
    let spec = ComponentSpec {
        network: fields.optional("network"),
        user: fields.optional("user"),
        restart: fields.optional("restart"),
        ports: fields.list("ports").into_iter().collect(),
        volumes: fields.list("volumes").into_iter().collect(),
        cmd: fields.list("cmd"),
        env: read_env(fields),
        stop_timeout: read_timeout(fields, "stop_timeout"),
        pull_timeout: read_timeout(fields, "pull_timeout"),
        // Last, so that a component without an image has its other values checked all the same.
        image: image?,
    };
    note(fields.problems, fields.place.clone(), spec.validate());
    Some(spec)
}

fn note(problems: &Problems, place: Range<usize>, checked: Result<(), SpecError>) {
    if let Err(error) = checked {
        problems.note(place, error, None);
    }
}

/// `env = { KEY = "value" }`, or a list of `"KEY=value"`.
fn read_env(fields: &Fields<'_, '_>) -> BTreeMap<EnvName, String> {
    let Some(value) = fields.get("env") else {
        return BTreeMap::new();
    };
    match value.get_ref() {
        DeValue::Table(table) => read_env_table(fields, table),
        DeValue::Array(_) => read_env_list(fields, value.span()),
        _ => {
            fields.wrong_type("env", "a table of strings", value);
            BTreeMap::new()
        }
    }
}

fn read_env_table(fields: &Fields<'_, '_>, table: &DeTable<'_>) -> BTreeMap<EnvName, String> {
    let mut env = BTreeMap::new();
    for (name, value) in table {
        let name = match name.get_ref().parse::<EnvName>() {
            Ok(name) => name,
            Err(error) => {
                let message = format_args!("`env`: {error}");
                fields.problems.note(name.span(), message, None);
                continue;
            }
        };
        match value.get_ref().as_str() {
            Some(text) => {
                env.insert(name, text.to_owned());
            }
            None => fields.wrong_type("env", "a table of strings", value),
        }
    }
    env
}

/// One `KEY=value`.
struct Entry(EnvName, String);

impl FromStr for Entry {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        parse_env(text).map(|(name, value)| Self(name, value))
    }
}

fn read_env_list(fields: &Fields<'_, '_>, place: Range<usize>) -> BTreeMap<EnvName, String> {
    let mut env = BTreeMap::new();
    for Entry(name, value) in fields.list("env") {
        let twice = format!("`env`: {name} is set twice");
        if env.insert(name, value).is_some() {
            fields.problems.note(place.clone(), twice, None);
        }
    }
    env
}

/// A duration as text: "10s", "1m 30s".
struct Timeout(Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(time) if time <= MAX_TIMEOUT => Ok(Self(time)),
            Ok(_) => Err(format!("{text:?} is too long: at most 24h")),
            Err(_) => Err(format!(
                "{text:?} is not a duration: write a number and ms, s, m or h, for instance 10s"
            )),
        }
    }
}

fn read_timeout(fields: &Fields<'_, '_>, key: &str) -> Option<Duration> {
    fields.optional(key).map(|Timeout(time)| time)
}

/// Every key that a definition may have, the service's before the components'.
pub fn keys() -> impl Iterator<Item = &'static str> {
    SERVICE_KEYS
        .iter()
        .chain(&COMPONENT_KEYS)
        .map(|key| key.name)
}
