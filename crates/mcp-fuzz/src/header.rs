//! The `authorization` header.

use mcp_identity::bearer;
use mcp_identity::token::MAX_TOKEN;

/// Any bytes as the header's value: a token is all of what follows the scheme, or there is none.
pub(crate) fn check(data: &[u8]) {
    match bearer(data) {
        Ok(token) => {
            assert!((1..=MAX_TOKEN).contains(&token.len()));
            let charset = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
            assert!(token.bytes().all(charset), "{token:?}");
            assert!(data[..7].eq_ignore_ascii_case(b"Bearer "));
            assert_eq!(&data[7..], token.as_bytes());
        }
        Err(error) => check_silence(&error.to_string()),
    }
}

/// A refusal is one of a few sentences: it repeats nothing of what was refused, which may be most
/// of a secret.
fn check_silence(words: &str) {
    assert!(words.len() < 100, "{words:?}");
    let known = [
        "must read",
        "has no token",
        "no token has",
        "is longer than",
    ];
    assert!(known.iter().any(|part| words.contains(part)), "{words:?}");
}
