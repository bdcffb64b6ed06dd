//! What a workstation needs from a node that was just set up, in one piece of text (S39).

use std::io::{self, Read};
use std::str::FromStr;

use mcp_model::{NodeName, Stamp};
use zeroize::Zeroizing;

use crate::token::{Token, TokenError};

/// Longest bundle that is read, in bytes. An ordinary one has about 1,200.
pub const MAX_BUNDLE: usize = 64 * 1024;

/// The form of bundles that this release writes and reads.
const VERSION: u32 = 1;

/// A node's name and address, the authority that its certificate comes from, and an admin token:
/// all that `mcp node add --bundle` needs. Holds a secret, which `Debug` does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What the node calls itself.
    pub node: NodeName,
    /// Where its agent listens: `host:port`.
    pub address: String,
    /// The name to expect in its certificate, where it is not the address's host.
    pub server_name: Option<String>,
    /// The authority's certificate, as PEM.
    pub ca_cert_pem: String,
    /// An admin token.
    pub token: Token,
    /// When that token expires.
    pub expires: Stamp,
}

/// Why a text is not a bundle. Shows nothing of the text: some of it is a secret.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It could not be read.
    #[error("cannot read the bundle")]
    Read(#[source] io::Error),
    /// There was nothing.
    #[error("the bundle is empty: did the command that should print it fail?")]
    Empty,
    /// Longer than [`MAX_BUNDLE`].
    #[error("this is not a bundle: it is longer than {MAX_BUNDLE} bytes")]
    TooLong,
    /// Not TOML.
    #[error("this is not a bundle: line {line} is not TOML; was all of it copied?")]
    Syntax {
        /// Where, counted from 1.
        line: usize,
    },
    /// Something that every bundle has is not there.
    #[error("the bundle has no {key}")]
    Missing {
        /// What is missing.
        key: &'static str,
    },
    /// A value of another kind than it should be.
    #[error("the bundle's {key} is wrong: {why}")]
    Value {
        /// Which one.
        key: &'static str,
        /// What it should be.
        why: &'static str,
    },
    /// Something that no bundle has.
    #[error("this is not a bundle: it has a key that no bundle has{}", quoted(key.as_ref()))]
    UnknownKey {
        /// Which one, where it is short enough to be no secret.
        key: Option<String>,
    },
    /// Written by a release that does it differently.
    #[error(
        "the bundle has version {found}, this release reads version {VERSION}: use the same release on both machines"
    )]
    Version {
        /// Its version.
        found: i64,
    },
    /// The token in it is not one.
    #[error("the bundle's token cannot be used")]
    Token(#[source] TokenError),
}

fn quoted(key: Option<&String>) -> String {
    key.map_or_else(String::new, |key| format!(": {key:?}"))
}

impl Bundle {
    /// The bundle as text. Goes to a file of mode 0600 or to standard output, never to argv.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!(
            "# How to reach MCP node {}, with an admin token for it: keep this secret.\n\
             # On the workstation: mcp node add --bundle - < this-file, then remove the file.\n\
             version = {VERSION}\n",
            self.node
        ));
        let mut put = |key: &str, value: &str| {
            let value = Zeroizing::new(toml::Value::from(value).to_string());
            for part in [key, " = ", &value, "\n"] {
                text.push_str(part);
            }
        };
        put("node", self.node.as_str());
        put("address", &self.address);
        if let Some(name) = &self.server_name {
            put("server_name", name);
        }
        put("expires", &self.expires.to_string());
        put("token", self.token.secret());
        put("ca_cert", &self.ca_cert_pem);
        text
    }

    /// Reads a bundle, for instance from standard input.
    pub fn read(from: impl Read) -> Result<Self, BundleError> {
        // Full capacity at once: growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BUNDLE + 1));
        from.take(MAX_BUNDLE as u64 + 1)
            .read_to_string(&mut text)
            .map_err(BundleError::Read)?;
        Self::parse(&text)
    }

    /// Takes a bundle from its text.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        if text.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong);
        }
        if text.trim().is_empty() {
            return Err(BundleError::Empty);
        }
        // The parser's own messages quote what they refuse, so nothing of them is passed on.
        let mut keys: toml::Table = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
            BundleError::Syntax { line }
        })?;
        check_version(&mut keys)?;
        let bundle = Self {
            node: required(&mut keys, "node", "use a node name")?,
            address: required(&mut keys, "address", "it must be text")?,
            server_name: optional(&mut keys, "server_name", "it must be text")?,
            ca_cert_pem: required(&mut keys, "ca_cert", "it must be text")?,
            token: take_token(&mut keys)?,
            expires: required(&mut keys, "expires", "use YYYY-MM-DD HH:MM:SS.SSS")?,
        };
        match keys.into_iter().next() {
            None => Ok(bundle),
            Some((key, _)) => Err(BundleError::UnknownKey {
                key: (key.len() <= 24).then_some(key),
            }),
        }
    }
}

fn check_version(keys: &mut toml::Table) -> Result<(), BundleError> {
    let version = keys
        .remove("version")
        .ok_or(BundleError::Missing { key: "version" })?;
    let found = version.as_integer().ok_or(BundleError::Value {
        key: "version",
        why: "it must be a number",
    })?;
    if found == i64::from(VERSION) {
        Ok(())
    } else {
        Err(BundleError::Version { found })
    }
}

fn optional<T: FromStr>(
    keys: &mut toml::Table,
    key: &'static str,
    why: &'static str,
) -> Result<Option<T>, BundleError> {
    let Some(value) = keys.remove(key) else {
        return Ok(None);
    };
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or(BundleError::Value { key, why })
}

fn required<T: FromStr>(
    keys: &mut toml::Table,
    key: &'static str,
    why: &'static str,
) -> Result<T, BundleError> {
    optional(keys, key, why)?.ok_or(BundleError::Missing { key })
}

fn take_token(keys: &mut toml::Table) -> Result<Token, BundleError> {
    let text: String = required(keys, "token", "it must be text")?;
    Zeroizing::new(text).parse().map_err(BundleError::Token)
}
