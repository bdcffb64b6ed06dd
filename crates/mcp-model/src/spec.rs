//! What an operator says a component should be.
//!
//! A [`ComponentSpec`] keeps what was *said*, absences included; [`EffectiveSpec`] is what it means
//! under this release's defaults. Specs are stored as said and compared as meant (S7): a new
//! default changes both sides of the comparison alike, and no container is recreated for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::image::{ImageError, ImageRef};
use crate::name::{ComponentKey, ComponentName, ContainerName, NameError, ServiceName};

/// The network of a component that names none.
pub const DEFAULT_NETWORK: &str = "bridge";
/// How long a stop waits before it kills, where the definition says nothing (S21).
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pull may take, where the definition says nothing (S21).
pub const DEFAULT_PULL_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest `stop_timeout` and `pull_timeout`.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Most components in one service.
pub const MAX_COMPONENTS: usize = 256;
/// Most entries in one list of a component (ports, volumes, arguments, environment).
pub const MAX_ENTRIES: usize = 1024;
/// Longest single value, in bytes.
pub const MAX_VALUE: usize = 32 * 1024;

/// Why a value of a spec was refused. Carries no field name: the caller knows where it read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An image that is not one.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A value outside its grammar.
    #[error("{text:?} is not a {what}: {why}")]
    Value {
        /// What was wanted: "port mapping", "volume", …
        what: &'static str,
        /// What was given, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A service without components.
    #[error("service {0} has no components")]
    NoComponents(ServiceName),
    /// More of something than is allowed.
    #[error("too many {what}: {count}, at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The same component twice.
    #[error("component {0} is defined twice")]
    DuplicateComponent(ComponentName),
    /// Two components whose containers would have one name (S2).
    #[error("{first} and {second} would both have a container called {container}")]
    ContainerNameCollision {
        /// One of them.
        first: ComponentKey,
        /// The other.
        second: ComponentKey,
        /// The name that both would get.
        container: ContainerName,
    },
}

fn refuse<T>(what: &'static str, text: &str, why: &'static str) -> Result<T, SpecError> {
    let text = text.chars().take(80).collect();
    Err(SpecError::Value { what, text, why })
}

/// A value that is passed behind a `--flag=`: no control characters, and it does not begin with `-`.
fn plain<'a>(what: &'static str, text: &'a str) -> Result<&'a str, SpecError> {
    if text.is_empty() {
        return refuse(what, text, "it is empty");
    }
    if text.starts_with('-') {
        return refuse(what, text, "it begins with '-'");
    }
    if text.len() > MAX_VALUE {
        return refuse(what, text, "it is too long");
    }
    if text.chars().any(char::is_control) {
        return refuse(what, text, "it holds a control character");
    }
    Ok(text)
}

macro_rules! text_value {
    ($(#[$doc:meta])* $type:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = SpecError;

            fn from_str(text: &str) -> Result<Self, SpecError> {
                let parse: fn(&str) -> Result<String, SpecError> = $parse;
                parse(text).map(|text| Self(text.into()))
            }
        }

        via_text!($type);
    };
}

macro_rules! via_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl TryFrom<String> for $type {
            type Error = SpecError;

            fn try_from(text: String) -> Result<Self, SpecError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.as_str().to_owned()
            }
        }
    };
}

text_value! {
    /// A network to join, by name or mode: `bridge`, `host`, `none`, `mcpnet`.
    Network, |text| {
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !plain("network", text)?.chars().all(ok) {
            return refuse("network", text, "use letters, digits, '_', '.' and '-'");
        }
        Ok(text.to_owned())
    }
}

text_value! {
    /// The user to run as: `uid`, `uid:gid`, `name` or `name:group`.
    User, |text| {
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let mut parts = plain("user", text)?.splitn(2, ':');
        let fits = parts.all(|part| {
            !part.is_empty() && !part.starts_with('-') && part.chars().all(ok)
        });
        if !fits {
            return refuse("user", text, "write uid, uid:gid, name or name:group");
        }
        Ok(text.to_owned())
    }
}

text_value! {
    /// A port mapping `[ip:]host:container[/tcp|/udp|/sctp]`. Ranges of one length are allowed on
    /// both sides (`8000-8010:9000-9010`).
    PortMapping, port_mapping
}

fn port_mapping(text: &str) -> Result<String, SpecError> {
    const WHAT: &str = "port mapping";
    plain(WHAT, text)?;
    let (mapping, protocol) = match text.split_once('/') {
        Some((mapping, protocol)) => (mapping, Some(protocol)),
        None => (text, None),
    };
    if !matches!(protocol, None | Some("tcp" | "udp" | "sctp")) {
        return refuse(WHAT, text, "its protocol must be tcp, udp or sctp");
    }
    let Some((outer, container)) = mapping.rsplit_once(':') else {
        return refuse(WHAT, text, "write host:container, for instance 8080:80");
    };
    let (address, host) = match outer.rsplit_once(':') {
        Some((address, host)) => (Some(address), host),
        None => (None, outer),
    };
    if let Some(address) = address {
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
        let valid = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => address.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        if !valid {
            return refuse(WHAT, text, "its address must be IPv4 or [IPv6]");
        }
    }
    match (port_range(host), port_range(container)) {
        (Some(h), Some(c)) if h == c => Ok(text.strip_suffix("/tcp").unwrap_or(text).to_owned()),
        (Some(_), Some(_)) => refuse(WHAT, text, "its two ranges differ in length"),
        _ => refuse(WHAT, text, "ports are numbers from 1 to 65535"),
    }
}

/// How many ports a port or range spans beyond the first.
fn port_range(text: &str) -> Option<u16> {
    let port = |p: &str| {
        let digits = !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        p.parse::<u16>().ok().filter(|p| digits && *p != 0)
    };
    match text.split_once('-') {
        None => port(text).map(|_| 0),
        Some((low, high)) => port(high)?.checked_sub(port(low)?),
    }
}

/// When the runtime brings a container back by itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Restart {
    /// Never.
    No,
    /// After every end.
    Always,
    /// After an end with an error, at most so often where a number is given.
    OnFailure(Option<u32>),
    /// After every end, unless it was stopped on purpose.
    #[default]
    UnlessStopped,
}

impl Restart {
    /// Whether the runtime itself will bring back a container that ended with `exit_code` and has
    /// been restarted `restarts` times.
    pub fn acts_after(self, exit_code: Option<i32>, restarts: Option<u32>) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(most) => {
                exit_code.is_none_or(|code| code != 0)
                    && most.is_none_or(|most| restarts.unwrap_or(0) < most)
            }
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(most)) => write!(f, "on-failure:{most}"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl FromStr for Restart {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let most = |n: &str| {
            n.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| n.parse().ok())
                .flatten()
        };
        match text {
            "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "on-failure" => Ok(Self::OnFailure(None)),
            "unless-stopped" => Ok(Self::UnlessStopped),
            _ => match text.strip_prefix("on-failure:").and_then(most) {
                Some(most) => Ok(Self::OnFailure(Some(most))),
                None => refuse(
                    "restart policy",
                    text,
                    "use no, always, unless-stopped, on-failure or on-failure:<times>",
                ),
            },
        }
    }
}

impl TryFrom<String> for Restart {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<Restart> for String {
    fn from(restart: Restart) -> Self {
        restart.to_string()
    }
}

/// A mount `source:target[:options]`. The source is an absolute path on the node or the name of a
/// volume; whether a path may be mounted is the agent's policy (S48), not the grammar's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume {
    text: Box<str>,
    source_end: usize,
    target_end: usize,
}

/// Mount options that are passed on. `suid`, `dev` and everything unknown is refused.
const MOUNT_OPTIONS: [&str; 17] = [
    "ro", "rw", "z", "Z", "U", "O", "noexec", "exec", "nosuid", "nodev", "private", "rprivate",
    "slave", "rslave", "shared", "rshared", "noatime",
];

impl Volume {
    /// The mapping as text, in canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A path on the node, or the name of a volume.
    pub fn source(&self) -> &str {
        &self.text[..self.source_end]
    }

    /// The path in the container.
    pub fn target(&self) -> &str {
        &self.text[self.source_end + 1..self.target_end]
    }

    /// The options, comma-separated; empty where there are none.
    pub fn options(&self) -> &str {
        self.text.get(self.target_end + 1..).unwrap_or("")
    }

    /// Whether the source is a path and not the name of a volume.
    pub fn is_bind(&self) -> bool {
        self.text.starts_with('/')
    }
}

/// An absolute path without `.`, `..` or repeated slashes, in one spelling.
fn absolute_path<'a>(text: &str, path: &'a str) -> Result<&'a str, SpecError> {
    const WHAT: &str = "volume";
    let trimmed = if path.len() > 1 {
        path.strip_suffix('/').unwrap_or(path)
    } else {
        path
    };
    let Some(inner) = trimmed.strip_prefix('/') else {
        return refuse(WHAT, text, "its paths must be absolute");
    };
    if trimmed != "/" && inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse(WHAT, text, "its paths must not contain '.', '..' or '//'");
    }
    Ok(trimmed)
}

impl FromStr for Volume {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        const WHAT: &str = "volume";
        plain(WHAT, text)?;
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return refuse(
                WHAT,
                text,
                "write source:target, for instance /srv/app:/srv/app",
            );
        };
        let options = parts.next();
        if parts.next().is_some() {
            return refuse(WHAT, text, "it has more than source:target:options");
        }
        let source = if source.starts_with('/') {
            absolute_path(text, source)?
        } else {
            let name_fits = source.starts_with(|c: char| c.is_ascii_alphanumeric())
                && source
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
            if !name_fits {
                return refuse(
                    WHAT,
                    text,
                    "its source must be an absolute path or a volume's name",
                );
            }
            source
        };
        let target = absolute_path(text, target)?;
        if target == "/" {
            return refuse(WHAT, text, "it must not cover the container's root");
        }
        let unknown = |option: &str| !MOUNT_OPTIONS.contains(&option);
        if options.is_some_and(|options| options.split(',').any(unknown)) {
            return refuse(
                WHAT,
                text,
                "its options may be ro, rw, z, Z, U, O, exec, noexec, nosuid, nodev, noatime and propagation modes",
            );
        }
        let suffix = options
            .map(|options| format!(":{options}"))
            .unwrap_or_default();
        Ok(Self {
            text: format!("{source}:{target}{suffix}").into(),
            source_end: source.len(),
            target_end: source.len() + 1 + target.len(),
        })
    }
}

via_text!(Volume);

text_value! {
    /// The name of an environment variable.
    EnvName, |text| {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits = text.starts_with(first)
            && text.chars().all(|c| first(c) || c.is_ascii_digit())
            && text.len() <= 256;
        if !fits {
            return refuse("environment variable name", text, "use letters, digits and '_'");
        }
        Ok(text.to_owned())
    }
}

/// Splits and checks one `KEY=value` entry.
pub fn parse_env(entry: &str) -> Result<(EnvName, String), SpecError> {
    let Some((name, value)) = entry.split_once('=') else {
        return refuse("environment entry", entry, "write KEY=value");
    };
    check_text("environment value", value)?;
    Ok((name.parse()?, value.to_owned()))
}

/// An argument or value that may hold anything but NUL.
fn check_text(what: &'static str, text: &str) -> Result<(), SpecError> {
    if text.contains('\0') {
        return refuse(what, text, "it holds a NUL");
    }
    if text.len() > MAX_VALUE {
        return refuse(what, text, "it is too long");
    }
    Ok(())
}

/// One component as its operator said it. `None` and empty mean that nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentSpec {
    /// What to run.
    pub image: ImageRef,
    /// The network to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The user to run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Published ports. Order carries no meaning.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<PortMapping>,
    /// Mounts. Order carries no meaning.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<Volume>,
    /// Arguments after the image, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Environment of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, String>,
    /// How long a stop waits before it kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<Duration>,
    /// How long a pull may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_timeout: Option<Duration>,
}

impl ComponentSpec {
    /// A spec that says nothing but its image.
    pub fn of_image(image: ImageRef) -> Self {
        Self {
            image,
            network: None,
            user: None,
            restart: None,
            ports: BTreeSet::new(),
            volumes: BTreeSet::new(),
            cmd: Vec::new(),
            env: BTreeMap::new(),
            stop_timeout: None,
            pull_timeout: None,
        }
    }

    /// Checks what the field types alone cannot: sizes, NULs, time-outs.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (what, count) in [
            ("ports", self.ports.len()),
            ("volumes", self.volumes.len()),
            ("arguments", self.cmd.len()),
            ("environment entries", self.env.len()),
        ] {
            if count > MAX_ENTRIES {
                return Err(SpecError::TooMany {
                    what,
                    count,
                    most: MAX_ENTRIES,
                });
            }
        }
        self.cmd
            .iter()
            .try_for_each(|arg| check_text("argument", arg))?;
        self.env
            .values()
            .try_for_each(|value| check_text("environment value", value))?;
        for (what, timeout) in [
            ("stop_timeout", self.stop_timeout),
            ("pull_timeout", self.pull_timeout),
        ] {
            if timeout.is_some_and(|t| t > MAX_TIMEOUT) {
                return refuse(what, "over a day", "at most 24 hours");
            }
        }
        Ok(())
    }

    /// What the spec means under this release's defaults.
    pub fn effective(&self) -> EffectiveSpec<'_> {
        EffectiveSpec {
            image: &self.image,
            network: self
                .network
                .as_ref()
                .map_or(DEFAULT_NETWORK, Network::as_str),
            user: self.user.as_ref().map_or("", User::as_str),
            restart: self.restart.unwrap_or_default(),
            ports: &self.ports,
            volumes: &self.volumes,
            cmd: &self.cmd,
            env: &self.env,
        }
    }

    /// How long a stop waits before it kills.
    pub fn stop_timeout(&self) -> Duration {
        self.stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT)
    }

    /// How long a pull may take.
    pub fn pull_timeout(&self) -> Duration {
        self.pull_timeout.unwrap_or(DEFAULT_PULL_TIMEOUT)
    }

    /// The restart policy in force.
    pub fn restart(&self) -> Restart {
        self.restart.unwrap_or_default()
    }
}

/// A spec with every default filled in: what makes a container, and what spec drift compares.
/// Time-outs are not part of it; they are how MCP works, not what the container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveSpec<'a> {
    /// What to run.
    pub image: &'a ImageRef,
    /// The network to join.
    pub network: &'a str,
    /// The user to run as; empty means the image's own.
    pub user: &'a str,
    /// The restart policy.
    pub restart: Restart,
    /// Published ports.
    pub ports: &'a BTreeSet<PortMapping>,
    /// Mounts.
    pub volumes: &'a BTreeSet<Volume>,
    /// Arguments after the image.
    pub cmd: &'a [String],
    /// Environment of the container.
    pub env: &'a BTreeMap<EnvName, String>,
}

/// A service as its operator said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Whether its components should run.
    pub active: bool,
    /// Its components.
    pub components: BTreeMap<ComponentName, ComponentSpec>,
}

impl ServiceSpec {
    /// Checks the service as a whole: at least one component, sizes, no two containers of one name.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.components.is_empty() {
            return Err(SpecError::NoComponents(self.name.clone()));
        }
        let count = self.components.len();
        if count > MAX_COMPONENTS {
            return Err(SpecError::TooMany {
                what: "components",
                count,
                most: MAX_COMPONENTS,
            });
        }
        self.components
            .values()
            .try_for_each(ComponentSpec::validate)
    }

    /// The keys of its components.
    pub fn keys(&self) -> impl Iterator<Item = ComponentKey> + '_ {
        self.components
            .keys()
            .map(|name| ComponentKey::new(self.name.clone(), name.clone()))
    }
}

/// Finds two keys whose containers would have one name: `a` + `b-c` and `a-b` + `c` (S2).
pub fn check_container_names<'a>(
    keys: impl IntoIterator<Item = &'a ComponentKey>,
) -> Result<(), SpecError> {
    let mut seen: BTreeMap<ContainerName, &ComponentKey> = BTreeMap::new();
    for key in keys {
        let container = key.container_name();
        match seen.insert(container.clone(), key) {
            Some(first) if first != key => {
                return Err(SpecError::ContainerNameCollision {
                    first: first.clone(),
                    second: key.clone(),
                    container,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_outside_their_grammar_are_refused() {
        for port in [
            "",
            "80",
            "x:80",
            "0:80",
            "80:70000",
            "1.2.3:80:80",
            "80:80/icmp",
            "-p:1",
            "1-3:1-2",
            "80:80\n",
            "+80:80",
        ] {
            assert!(port.parse::<PortMapping>().is_err(), "{port:?}");
        }
        for volume in [
            "",
            "/a",
            "/a:b",
            "/a/../b:/c",
            "/a//b:/c",
            "/a:/c:suid",
            "/a:/c:ro,dev",
            "-v:/c",
            "/a:/",
            "../x:/c",
            "/a:/c:ro:rw",
            "/a\u{1b}:/c",
            "/a/./b:/c",
            "./a:/b",
        ] {
            assert!(volume.parse::<Volume>().is_err(), "{volume:?}");
        }
        for user in ["", "-u", "0:", ":0", "a b", "root\n", "0:0:0"] {
            assert!(user.parse::<User>().is_err(), "{user:?}");
        }
        for network in ["", "--net", "a b", "ns:/proc/1", "container:x"] {
            assert!(network.parse::<Network>().is_err(), "{network:?}");
        }
        for restart in [
            "",
            "never",
            "on-failure:",
            "on-failure:x",
            "on-failure:-1",
            "Always",
        ] {
            assert!(restart.parse::<Restart>().is_err(), "{restart:?}");
        }
        for env in ["", "A", "=b", "1A=b", "A B=c", "A=\0"] {
            assert!(parse_env(env).is_err(), "{env:?}");
        }
    }

    #[test]
    fn values_within_their_grammar_are_kept() {
        for port in [
            "80:80",
            "127.0.0.1:8080:80",
            "[::1]:80:80/udp",
            "8000-8010:9000-9010",
        ] {
            assert_eq!(port.parse::<PortMapping>().unwrap().as_str(), port);
        }
        let volume: Volume = "/srv/a/:/data/:ro,z".parse().unwrap();
        assert_eq!(
            (volume.source(), volume.target(), volume.options()),
            ("/srv/a", "/data", "ro,z")
        );
        let named: Volume = "cache:/var/cache".parse().unwrap();
        assert!(!named.is_bind() && named.options().is_empty());
        for restart in [
            "no",
            "always",
            "on-failure",
            "on-failure:3",
            "unless-stopped",
        ] {
            assert_eq!(restart.parse::<Restart>().unwrap().to_string(), restart);
        }
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        let port = |text: &str| text.parse::<PortMapping>().unwrap();
        assert_eq!(port("80:80/tcp"), port("80:80"));
        assert_eq!(
            "/a/:/b/".parse::<Volume>().unwrap(),
            "/a:/b".parse::<Volume>().unwrap()
        );
    }

    #[test]
    fn a_default_said_aloud_means_the_same_as_silence() {
        let silent = ComponentSpec::of_image("localhost/a:1".parse().unwrap());
        let mut aloud = silent.clone();
        aloud.network = Some("bridge".parse().unwrap());
        aloud.restart = Some(Restart::UnlessStopped);
        assert_ne!(silent, aloud);
        assert_eq!(silent.effective(), aloud.effective());
    }

    #[test]
    fn colliding_container_names_are_refused_and_both_named() {
        let keys: Vec<ComponentKey> = ["a/b-c", "x/y", "a-b/c"]
            .iter()
            .map(|k| k.parse().unwrap())
            .collect();
        let error = check_container_names(&keys).unwrap_err().to_string();
        assert_eq!(
            error,
            "a/b-c and a-b/c would both have a container called a-b-c"
        );
    }

    proptest! {
        #[test]
        fn no_value_is_ever_a_flag(text in "\\PC{0,30}") {
            prop_assert!(!text.parse::<PortMapping>().is_ok_and(|v| v.as_str().starts_with('-')));
            prop_assert!(!text.parse::<Volume>().is_ok_and(|v| v.as_str().starts_with('-')));
            prop_assert!(!text.parse::<User>().is_ok_and(|v| v.as_str().starts_with('-')));
            prop_assert!(!text.parse::<Network>().is_ok_and(|v| v.as_str().starts_with('-')));
        }

        #[test]
        fn a_stored_spec_reads_back_the_same(
            cmd in proptest::collection::vec("[^\0]{0,10}", 0..4),
            env in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,5}", "[^\0]{0,10}", 0..4),
            user in proptest::option::of("[a-z0-9]{1,5}(:[a-z0-9]{1,5})?"),
            stop in proptest::option::of(0u64..1000),
        ) {
            let mut spec = ComponentSpec::of_image("localhost/a:1".parse().unwrap());
            spec.cmd = cmd;
            spec.env = env.into_iter().map(|(k, v)| (k.parse().unwrap(), v)).collect();
            spec.user = user.map(|u| u.parse().unwrap());
            spec.stop_timeout = stop.map(Duration::from_millis);
            let json = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<ComponentSpec>(&json).unwrap(), spec);
        }
    }
}
