//! The types of single values that are only known here.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// An absolute path in one spelling: without `.`, `..` and doubled slashes.
pub(crate) struct AbsolutePath(pub(crate) PathBuf);

impl FromStr for AbsolutePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_text(text)?;
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(format!("{text:?} is not an absolute path"));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("{text:?} must not contain '..'"));
        }
        Ok(Self(path.components().collect()))
    }
}

/// `address:port`.
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!(
                "{text:?} is not an address and a port: write 192.0.2.1:9444 or [2001:db8::1]:9444"
            )
        })
    }
}

/// The name of a program in `PATH`, or its absolute path.
pub(crate) struct Program(pub(crate) String);

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_text(text)?;
        if text.contains('/') && !text.starts_with('/') {
            return Err(format!(
                "{text:?} must be a name in PATH or an absolute path"
            ));
        }
        if text.starts_with('-') {
            return Err(format!("{text:?} must not begin with '-'"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The base URL of a service that secrets are sent to: HTTPS and nothing else.
pub(crate) struct Url(pub(crate) String);

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Not shown: what stands before an @ is a name and a password.
        if text.contains('@') {
            return Err(
                "a URL with an @ is refused: no name and no password may be in it".to_owned(),
            );
        }
        if text.starts_with("http://") {
            return Err(format!("{text:?} is not encrypted: write https://"));
        }
        let host = text.strip_prefix("https://");
        let fits = |host: &str| {
            !host.is_empty()
                && !host.starts_with(['/', ':'])
                // A query has no place in a base.
                && !host.contains(['?', '#', '\\'])
                && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        match host {
            Some(host) if fits(host) => Ok(Self(text.trim_end_matches('/').to_owned())),
            _ => Err(format!("{text:?} is not a URL: write https://host:port")),
        }
    }
}

/// A text that is shown or passed on, so it must be there and hold no control characters.
pub(crate) struct Text(pub(crate) String);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_text(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// An argument or the value of a variable: anything but NUL, which neither can hold.
pub(crate) struct Argument(pub(crate) String);

impl FromStr for Argument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err(format!("{text:?} holds a NUL"));
        }
        Ok(Self(text.to_owned()))
    }
}

pub(crate) fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.contains(char::is_control) {
        return Err(format!("{text:?} holds a control character"));
    }
    Ok(())
}
