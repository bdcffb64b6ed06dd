//! Bearer tokens and the files that hold them.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rand::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::private_file::{self, WriteError};

/// Longest token of any provider, in bytes. Tokens of identity services are signed documents; ours
/// are far shorter.
pub const MAX_TOKEN: usize = 4096;

/// What the node's own tokens begin with, so that a leaked one is recognised by who finds it.
const PREFIX: &str = "mcp_";
/// Hex digits of 256 random bits.
const DIGITS: usize = 64;

/// The characters of a bearer token (RFC 6750, `b64token`).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// A secret that proves who calls. Zeroed when dropped; neither `Debug` nor anything else but
/// [`Token::secret`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// A text that is not a token. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing, or blanks only.
    #[error("there is no token: it is empty")]
    Empty,
    /// Longer than [`MAX_TOKEN`].
    #[error("this is not a token: it is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Holds something that no token has.
    #[error(
        "this is not a token: it holds a blank, a line break or another character no token has"
    )]
    Charset,
}

impl Token {
    /// A new token of 256 random bits: `mcp_` and 64 hex digits.
    pub fn generate() -> Self {
        let mut bits = Zeroizing::new([0u8; 32]);
        rand::rngs::OsRng
            .try_fill_bytes(bits.as_mut_slice())
            .expect("the kernel gives random bytes once it has booted");
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + DIGITS));
        text.push_str(PREFIX);
        push_hex(&mut text, bits.as_slice());
        Self(text)
    }

    /// The secret itself, for the one header and the one file that it goes to.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What is stored in its place.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// Whether a text is meant as a node's own token, well-formed or not. What is may hold a secret of
    /// that node and goes nowhere else.
    pub fn is_meant_as_local(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Whether a text has the form of a node's own token. Others need not be looked up.
    pub fn is_local_form(text: &str) -> bool {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.strip_prefix(PREFIX)
            .is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(hex))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Blanks and line breaks around the token are not part of it.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        if !text.bytes().all(is_token_byte) {
            return Err(TokenError::Charset);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// The SHA-256 of a token: what is stored and looked up. Shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

/// A text that is not a token's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token's hash is {DIGITS} lower-case hex digits")]
pub struct TokenHashError;

impl TokenHash {
    /// The hash of a token's text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// The hash as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for TokenHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(DIGITS);
        push_hex(&mut text, &self.0);
        f.pad(&text)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != DIGITS || !text.bytes().all(hex) {
            return Err(TokenHashError);
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| TokenHashError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| TokenHashError)?;
        }
        Ok(Self(bytes))
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
}

/// Why a token could not be read from its file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file could not be opened or read.
    #[error("cannot read the token file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other users of the machine can read or change it.
    #[error(
        "the token file {0} is open to other users (mode {mode:04o}): run chmod 600 {0}, and revoke the token if somebody may have read it",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is there, but does not hold a token.
    #[error("the token file {} does not hold one token", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        #[source]
        source: TokenError,
    },
}

/// Reads a token from a file that only its owner can read or change.
pub fn read_token_file(path: &Path) -> Result<Token, TokenFileError> {
    let failed = |source| TokenFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    // Of the open file, not of the path: what is checked is what is read.
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TokenFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // One byte more than fits tells a longer file from one that just fits; blanks may surround it.
    let most = MAX_TOKEN as u64 + 64;
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN + 64));
    file.take(most).read_to_string(&mut text).map_err(failed)?;
    text.parse().map_err(|source| TokenFileError::Content {
        path: path.to_owned(),
        source,
    })
}

/// Writes a token to a file of mode 0600, whole or not at all, replacing what was there.
pub fn write_token_file(path: &Path, token: &Token) -> Result<(), WriteError> {
    let line = Zeroizing::new(format!("{}\n", token.secret()));
    private_file::replace(path, line.as_bytes())
}
