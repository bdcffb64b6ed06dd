//! Names and keys (rules S1 and S2 of `docs/semantics.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest service, component or node name, in bytes: a DNS label.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a {what} must not be empty")]
    Empty {
        /// Which kind of name was wanted.
        what: &'static str,
    },
    /// Longer than [`MAX_NAME`].
    #[error("a {what} has at most {MAX_NAME} characters, this one has {length}")]
    TooLong {
        /// Which kind of name was wanted.
        what: &'static str,
        /// How long it was, in bytes.
        length: usize,
    },
    /// Holds a character that the grammar does not know, or one in the wrong place.
    #[error(
        "{text:?} is not a {what}: use a-z, 0-9 and, between them, '-' (found {found:?} at position {at})"
    )]
    Grammar {
        /// Which kind of name was wanted.
        what: &'static str,
        /// What was given.
        text: String,
        /// The offending character.
        found: char,
        /// Its position, counted in characters from 1.
        at: usize,
    },
    /// Not of the form `service/component`.
    #[error("{text:?} is not a component key: write service/component")]
    Key {
        /// What was given.
        text: String,
    },
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong {
            what,
            length: text.len(),
        });
    }
    let last = text.len() - 1;
    for (index, found) in text.chars().enumerate() {
        let fits = found.is_ascii_lowercase()
            || found.is_ascii_digit()
            || (found == '-' && index != 0 && index != last);
        if !fits {
            return Err(NameError::Grammar {
                what,
                text: text.to_owned(),
                found,
                at: index + 1,
            });
        }
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A service: what is deployed together and shares a directory on its node.
    ServiceName, "service name"
}
name! {
    /// A component: one container of a service.
    ComponentName, "component name"
}
name! {
    /// A node, as the operator's configuration calls it.
    NodeName, "node name"
}

/// The name that a component's container carries on its node (S2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName(Box<str>);

impl ContainerName {
    /// `<service>-<component>`, or `<service>` where both are equal.
    pub fn of(key: &ComponentKey) -> Self {
        if key.service.as_str() == key.component.as_str() {
            Self(key.service.as_str().into())
        } else {
            Self(format!("{}-{}", key.service, key.component).into())
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where an operation sets the old container aside while it tries the new one (S16). A dot is
    /// outside the grammar, so no component can ever be called this.
    pub fn set_aside(&self, operation: &crate::OperationId) -> String {
        format!("{}{SET_ASIDE_INFIX}{operation}", self.0)
    }
}

/// What stands between a container's name and the operation that set it aside.
pub const SET_ASIDE_INFIX: &str = ".mcp-old-";

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the controller works on: one component of one service on this node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentKey {
    /// The service.
    pub service: ServiceName,
    /// The component within it.
    pub component: ComponentName,
}

impl ComponentKey {
    /// The key of `component` in `service`.
    pub fn new(service: ServiceName, component: ComponentName) -> Self {
        Self { service, component }
    }

    /// The name of the container that belongs to this key.
    pub fn container_name(&self) -> ContainerName {
        ContainerName::of(self)
    }
}

impl fmt::Display for ComponentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.component)
    }
}

impl FromStr for ComponentKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (service, component) = text.split_once('/').ok_or_else(|| NameError::Key {
            text: text.to_owned(),
        })?;
        Ok(Self::new(service.parse()?, component.parse()?))
    }
}

impl TryFrom<String> for ComponentKey {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ComponentKey> for String {
    fn from(key: ComponentKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "0", "mc-proxy", "a--b", &"x".repeat(63)] {
            assert!(good.parse::<ServiceName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "-",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "a b",
            "ä",
            "a\u{1b}",
            "a\n",
            "\u{202e}a",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_container_is_named_after_service_and_component() {
        let name = |key: &str| {
            key.parse::<ComponentKey>()
                .unwrap()
                .container_name()
                .to_string()
        };
        assert_eq!(name("metacrypt/api"), "metacrypt-api");
        assert_eq!(name("mc-proxy/mc-proxy"), "mc-proxy");
    }

    #[test]
    fn a_container_set_aside_is_outside_the_grammar() {
        let key: ComponentKey = "a/b".parse().unwrap();
        let aside = key.container_name().set_aside(&"01ab".parse().unwrap());
        assert_eq!(aside, "a-b.mcp-old-01ab");
        assert!(aside.parse::<ServiceName>().is_err());
    }

    proptest! {
        #[test]
        fn a_parsed_name_never_carries_anything_but_the_grammar(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<ComponentName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!name.as_str().starts_with('-') && !name.as_str().ends_with('-'));
            }
        }
    }
}
