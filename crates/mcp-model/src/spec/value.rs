//! Values that are text with a grammar: networks, users, ports, environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{MAX_VALUE, SpecError};

pub(super) fn refuse<T>(what: &'static str, text: &str, why: &'static str) -> Result<T, SpecError> {
    let text = text.chars().take(80).collect();
    Err(SpecError::Value { what, text, why })
}

/// A value that is passed behind a `--flag=`: nothing that a terminal would not show as it is, and
/// it does not begin with `-`.
pub(super) fn plain<'a>(what: &'static str, text: &'a str) -> Result<&'a str, SpecError> {
    if text.is_empty() {
        return refuse(what, text, "it is empty");
    }
    if text.starts_with('-') {
        return refuse(what, text, "it begins with '-'");
    }
    if text.len() > MAX_VALUE {
        return refuse(what, text, "it is too long");
    }
    if text.contains(crate::text::is_hostile) {
        return refuse(what, text, "it holds a control or an invisible character");
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
pub(super) use via_text;

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
pub(super) fn check_text(what: &'static str, text: &str) -> Result<(), SpecError> {
    if text.contains('\0') {
        return refuse(what, text, "it holds a NUL");
    }
    if text.len() > MAX_VALUE {
        return refuse(what, text, "it is too long");
    }
    Ok(())
}
