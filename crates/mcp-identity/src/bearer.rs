//! Takes the token out of an `authorization` header.

use crate::token::{MAX_TOKEN, is_token_byte};

/// Why a header value does not carry a token. Never shows the value: most of it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Another scheme, or none.
    #[error("the authorization header must read: Bearer <token>")]
    Scheme,
    /// The scheme without a token.
    #[error("the authorization header has no token after Bearer")]
    Empty,
    /// Something that no token contains: blanks, commas, control characters, other bytes.
    #[error("the token in the authorization header holds a character that no token has")]
    Charset,
    /// Longer than any token.
    #[error("the token in the authorization header is longer than {MAX_TOKEN} bytes")]
    TooLong,
}

/// The token of one header value (RFC 6750, section 2.1). The scheme's case does not matter and
/// one blank stands before the token; anything else, a second token included, is refused. That the
/// header came once is for the caller to see.
pub fn bearer(value: &[u8]) -> Result<&str, BearerError> {
    const SCHEME: &[u8] = b"Bearer";
    let (scheme, rest) = value
        .split_at_checked(SCHEME.len())
        .ok_or(BearerError::Scheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(BearerError::Scheme);
    }
    let token = match rest {
        [] => return Err(BearerError::Empty),
        [b' ', token @ ..] => token,
        _ => return Err(BearerError::Scheme),
    };
    if token.is_empty() {
        return Err(BearerError::Empty);
    }
    if token.len() > MAX_TOKEN {
        return Err(BearerError::TooLong);
    }
    if !token.iter().copied().all(is_token_byte) {
        return Err(BearerError::Charset);
    }
    std::str::from_utf8(token).map_err(|_| BearerError::Charset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exactly_one_well_formed_token_is_taken() {
        use BearerError::{Charset, Empty, Scheme, TooLong};
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        let longest = format!("Bearer {}", "a".repeat(MAX_TOKEN));
        let table: &[(&[u8], Result<&str, BearerError>)] = &[
            (b"Bearer abc", Ok("abc")),
            (b"bearer abc", Ok("abc")),
            (b"BEARER a.b-c_d~e+f/g=", Ok("a.b-c_d~e+f/g=")),
            (longest.as_bytes(), Ok(&longest[7..])),
            (b"", Err(Scheme)),
            (b"abc", Err(Scheme)),
            (b"Basic YTpi", Err(Scheme)),
            (b"Bearerabc", Err(Scheme)),
            (b"Bearer\tabc", Err(Scheme)),
            (b" Bearer abc", Err(Scheme)),
            (b"Bearer", Err(Empty)),
            (b"Bearer ", Err(Empty)),
            (b"Bearer  abc", Err(Charset)),
            (b"Bearer abc ", Err(Charset)),
            (b"Bearer abc def", Err(Charset)),
            (b"Bearer abc,Bearer def", Err(Charset)),
            (b"Bearer abc\n", Err(Charset)),
            (b"Bearer abc\0", Err(Charset)),
            (b"Bearer \xff\xfe", Err(Charset)),
            ("Bearer tökn".as_bytes(), Err(Charset)),
            (long.as_bytes(), Err(TooLong)),
        ];
        for (value, expected) in table {
            assert_eq!(bearer(value), *expected, "{:?}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_token_is_found_again(token in "[A-Za-z0-9._~+/=-]{1,200}", upper in any::<bool>()) {
            let scheme = if upper { "BEARER" } else { "bearer" };
            let value = format!("{scheme} {token}");
            prop_assert_eq!(bearer(value.as_bytes()), Ok(token.as_str()));
        }

        #[test]
        fn whatever_is_taken_holds_token_characters_only(value in any::<Vec<u8>>()) {
            let mut header = b"Bearer ".to_vec();
            header.extend(&value);
            if let Ok(token) = bearer(&header) {
                prop_assert!(!token.is_empty() && token.bytes().all(is_token_byte));
            }
            let _ = bearer(&value);
        }
    }
}
