//! Who a verified caller is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use mcp_model::operation::AUTO_RECONCILE;

/// Longest subject or role, in bytes.
pub const MAX_WORD: usize = 128;

/// How a caller's name begins who was known by the node's own kernel.
const LOCAL_USER: &str = "local:";

/// A text that is not a subject or a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {why}")]
pub struct WordError {
    what: &'static str,
    text: String,
    why: &'static str,
}

fn check(what: &'static str, text: &str) -> Result<(), WordError> {
    let refuse = |why| {
        let text = text.chars().take(MAX_WORD).collect();
        Err(WordError { what, text, why })
    };
    // Subjects and roles are stored in one column each and shown in tables and logs: what could
    // split a list or move a cursor stays out.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@');
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > MAX_WORD {
        return refuse("it is too long");
    }
    if text == AUTO_RECONCILE {
        return refuse("the agent itself is called so");
    }
    if text.starts_with(LOCAL_USER) {
        return refuse("users of the node's own socket are called so");
    }
    if text.starts_with('-') || !text.chars().all(fits) {
        return refuse("use letters, digits and '_', '-', '.', ':', '@', not '-' first");
    }
    Ok(())
}

macro_rules! word {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Box<str>);

        impl $type {
            /// It as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                check($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

word! {
    /// Whom a token was issued to: a person or a system account.
    Subject, "subject"
}
word! {
    /// What a caller may be. MCP asks for `admin` only; others are carried along.
    Role, "role"
}

impl Subject {
    /// A user of the node's own socket. No token names one: what is stored of a caller is the name
    /// alone, and nobody else's must read like it.
    pub fn local_user(uid: u32) -> Self {
        Self(format!("{LOCAL_USER}uid:{uid}").into())
    }
}

impl Role {
    /// The role that every RPC demands.
    pub fn admin() -> Self {
        Self("admin".into())
    }
}

/// Who vouches for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The node's own tokens.
    Local,
    /// The peer credentials of the node's Unix socket (S41).
    Socket,
    /// The platform's identity service.
    Mcias,
}

impl Provider {
    /// The word for logs and audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Socket => "socket",
            Self::Mcias => "mcias",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What kind of account a caller of the identity service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// A person's.
    Human,
    /// A program's.
    System,
}

impl Account {
    /// The word for logs, which is the service's own.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::System => "system",
        }
    }
}

/// A caller whose identity was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub subject: Subject,
    /// With which roles.
    pub roles: BTreeSet<Role>,
    /// Who vouches for it.
    pub provider: Provider,
    /// The kind of its account, where the provider knows kinds.
    pub account: Option<Account>,
}

impl Caller {
    /// Whether it may call MCP at all.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role.as_str() == "admin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_could_split_a_list_or_a_line_are_refused() {
        for bad in ["", "a b", "a,b", "a\n", "-a", "ä", "\u{1b}[1m"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
            assert!(bad.parse::<Role>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(MAX_WORD + 1).parse::<Role>().is_err());
        assert!("svc:deploy@example.org".parse::<Subject>().is_ok());
    }

    #[test]
    fn no_token_names_a_user_of_the_nodes_own_socket() {
        let root = Subject::local_user(0);
        assert_eq!(root.as_str(), "local:uid:0");
        for taken in [root.as_str(), "local:uid:1000", "local:init", "local:"] {
            assert!(taken.parse::<Subject>().is_err(), "{taken}");
        }
        assert!("local".parse::<Subject>().is_ok());
        assert!("svc:local:uid:0".parse::<Subject>().is_ok());
    }

    #[test]
    fn nobody_is_called_what_the_agent_calls_itself() {
        assert!(AUTO_RECONCILE.parse::<Subject>().is_err());
        assert!("auto-reconcile2".parse::<Subject>().is_ok());
    }

    #[test]
    fn only_the_whole_word_admin_makes_an_admin() {
        for (roles, admin) in [
            (&["admin"][..], true),
            (&["operator", "admin"], true),
            (&[], false),
            (&["Admin", "admins", "admin.", "x:admin"], false),
        ] {
            let caller = Caller {
                subject: "bob".parse().unwrap(),
                roles: roles.iter().map(|r| r.parse().unwrap()).collect(),
                provider: Provider::Local,
                account: None,
            };
            assert_eq!(caller.is_admin(), admin, "{roles:?}");
        }
    }
}
