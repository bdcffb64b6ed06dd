//! Tokens: their files, their bundles, and that they show nowhere else.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use mcp_identity::private_file::{self, WriteError};
use mcp_identity::token::MAX_TOKEN;
use mcp_identity::{
    Bundle, BundleError, Token, TokenError, TokenFileError, TokenHash, read_token_file,
    write_token_file,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Everything that an error or value shows, its sources included.
fn shown(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text = format!("{text}\n{error}");
        next = error.source();
    }
    text
}

fn bundle() -> Bundle {
    Bundle {
        node: "rift".parse().unwrap(),
        address: "10.0.0.5:9444".into(),
        server_name: Some("rift.example".into()),
        ca_cert_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        token: Token::generate(),
        expires: "2027-01-02 03:04:05.678".parse().unwrap(),
    }
}

#[test]
fn every_generated_token_is_another_and_has_the_local_form() {
    let (one, other) = (Token::generate(), Token::generate());
    assert_ne!(one.secret(), other.secret());
    for token in [&one, &other] {
        assert!(Token::is_local_form(token.secret()));
        assert_eq!(token.secret().parse::<Token>().unwrap(), *token);
    }
    let hex = "0".repeat(64);
    for form in [
        hex.clone(),
        format!("mcp_{}", &hex[1..]),
        format!("mcp_{hex}0"),
        format!("mcp_{}", "G".repeat(64)),
    ] {
        assert!(!Token::is_local_form(&form), "{form}");
    }
}

#[test]
fn a_hash_is_the_sha_256_of_the_text() {
    let hash = TokenHash::of("abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash.to_string(), text);
    assert_eq!(text.parse::<TokenHash>().unwrap(), hash);
    for bad in [
        "",
        &text[1..],
        &text.to_uppercase(),
        &format!("{text}0"),
        &text.replace('b', "+"),
    ] {
        assert!(bad.parse::<TokenHash>().is_err(), "{bad}");
    }
}

#[test]
fn a_token_file_that_others_can_open_is_refused_with_the_remedy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    let token = Token::generate();
    write_token_file(&path, &token).unwrap();
    for (mode, safe) in [
        (0o600, true),
        (0o400, true),
        (0o700, true),
        (0o640, false),
        (0o620, false),
        (0o604, false),
        (0o644, false),
        (0o601, false),
        (0o666, false),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        match read_token_file(&path) {
            Ok(read) => {
                assert!(safe, "{mode:o}");
                assert_eq!(read, token);
            }
            Err(error) => {
                assert!(
                    !safe && matches!(error, TokenFileError::Exposed { .. }),
                    "{mode:o}"
                );
                assert!(
                    error
                        .to_string()
                        .contains(&format!("chmod 600 {}", path.display()))
                );
            }
        }
    }
}

#[test]
fn a_token_file_is_written_closed_whatever_was_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "an older token that everybody can read").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let token = Token::generate();
    write_token_file(&path, &token).unwrap();
    assert_eq!(
        path.metadata().unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert_eq!(read_token_file(&path).unwrap(), token);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays behind");

    let nowhere = folder.path().join("no-such-folder/token");
    let error = write_token_file(&nowhere, &token).unwrap_err();
    assert!(error.to_string().contains("no-such-folder/token"));
}

#[test]
fn a_token_is_one_word_with_blanks_around_it_at_most() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    let long = "x".repeat(MAX_TOKEN + 1);
    let longest = format!("{}\n", "x".repeat(MAX_TOKEN));
    let giant = "x".repeat(1 << 20);
    for (content, expected) in [
        ("abc", None),
        ("abc\n", None),
        ("  abc\r\n\n", None),
        (longest.as_str(), None),
        ("", Some(TokenError::Empty)),
        ("\n \n", Some(TokenError::Empty)),
        ("abc def", Some(TokenError::Charset)),
        ("abc\ndef\n", Some(TokenError::Charset)),
        ("Bearer abc", Some(TokenError::Charset)),
        ("\"abc\"", Some(TokenError::Charset)),
        ("tökn", Some(TokenError::Charset)),
        (long.as_str(), Some(TokenError::TooLong)),
        (giant.as_str(), Some(TokenError::TooLong)),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let found = match read_token_file(&path) {
            Ok(token) => {
                assert_eq!(token.secret(), content.trim());
                None
            }
            Err(TokenFileError::Content { source, .. }) => Some(source),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(found, expected, "{content:.20}");
    }
}

#[test]
fn no_more_of_a_token_file_is_read_than_a_token_needs() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    // Not UTF-8, but only behind where reading must have stopped.
    let mut content = vec![b'x'; 2 * MAX_TOKEN];
    content.push(0xff);
    private_file::replace(&path, &content).unwrap();
    let error = read_token_file(&path).unwrap_err();
    assert!(
        matches!(
            &error,
            TokenFileError::Content {
                source: TokenError::TooLong,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_new_private_file_never_replaces_another() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bundle");
    private_file::create(&path, b"one").unwrap();
    let error = private_file::create(&path, b"two").unwrap_err();
    assert!(matches!(error, WriteError::Exists { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"one");
    private_file::replace(&path, b"three").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"three");
}

#[test]
fn a_bundle_says_what_it_is_and_reads_back_the_same() {
    let bundle = bundle();
    let text = bundle.to_text();
    assert!(text.starts_with("# How to reach MCP node rift"));
    assert!(
        text.lines()
            .nth(1)
            .unwrap()
            .contains("mcp node add --bundle -")
    );
    assert_eq!(Bundle::parse(&text).unwrap(), bundle);
    assert_eq!(Bundle::read(text.as_bytes()).unwrap(), bundle);
    // What a terminal or a mail does to it.
    assert_eq!(
        Bundle::parse(&text.replace('\n', "\r\n")).unwrap().token,
        bundle.token
    );
}

#[test]
fn a_text_that_is_no_bundle_is_refused_with_what_is_wrong() {
    let text = bundle().to_text();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Bundle::parse(&text.replace(from, to))
            .expect_err("no bundle")
            .to_string()
    };
    for (from, to, says) in [
        ("version = 1", "version = 2", "version 2"),
        ("version = 1", "", "no version"),
        ("version = 1", "version = \"x\"", "version is wrong"),
        ("node = \"rift\"", "", "no node"),
        ("node = \"rift\"", "node = \"No Name\"", "node is wrong"),
        ("node = \"rift\"", "node = 7", "node is wrong"),
        ("2027-01-02 03:04:05.678", "soon", "expires is wrong"),
        ("token = ", "tokens = ", "no token"),
        ("token = \"", "token = \"x ", "token cannot be used"),
        ("server_name = ", "server-name = ", "\"server-name\""),
        ("address = ", "address ", "line 5"),
    ] {
        let error = with(from, to);
        assert!(error.contains(says), "{from} -> {to}: {error}");
    }
    assert!(matches!(Bundle::parse(" \n"), Err(BundleError::Empty)));
    assert!(matches!(
        Bundle::read(&b"\xff\xfe"[..]),
        Err(BundleError::Read(_))
    ));
    let endless = std::io::repeat(b'#');
    assert!(matches!(Bundle::read(endless), Err(BundleError::TooLong)));
}

#[test]
fn no_error_or_debug_text_ever_shows_a_token() {
    let bundle = bundle();
    let secret = bundle.token.secret();
    // Short of the whole: a quoted line that is cut must not carry most of it either.
    let canary = &secret[4..24];
    let mut all = vec![
        format!("{:?}", bundle.token),
        format!("{bundle:?} {bundle:#?}"),
    ];

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    for (content, mode) in [(format!("{secret} x"), 0o600), (secret.to_owned(), 0o644)] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        all.push(shown(&read_token_file(&path).unwrap_err()));
    }
    let nowhere = folder.path().join("none/token");
    all.push(shown(
        &write_token_file(&nowhere, &bundle.token).unwrap_err(),
    ));

    let text = bundle.to_text();
    let mut broken: Vec<String> = (0..text.len()).map(|end| text[..end].to_owned()).collect();
    for key in ["version", "node", "expires", "ca_cert", "nonsense"] {
        let line = format!("{key} = \"{secret}\"\n");
        let rest = text.lines().filter(|l| !l.starts_with(key));
        broken.push(rest.fold(line, |all, l| all + l + "\n"));
    }
    broken.push(text.replace(&format!("\"{secret}\""), secret));
    broken.push(text.replace(secret, &format!("{secret} ")));
    broken.push(format!("{secret} = 1\n{}", &**text));
    broken.push(secret.to_owned());
    all.extend(
        broken
            .iter()
            .filter_map(|text| Bundle::parse(text).err())
            .map(|e| shown(&e)),
    );

    for text in &all {
        assert!(!text.contains(canary), "{text}");
    }
    assert!(all.len() > text.len() / 2, "most of them are refused");
}

#[cfg(feature = "server")]
#[test]
fn no_debug_text_ever_shows_a_private_key() {
    let names = ["localhost".parse().unwrap()];
    let now = "2026-11-20 00:00:00".parse().unwrap();
    let node = "rift".parse().unwrap();
    let pems =
        mcp_identity::issue_ca_and_cert(&node, &names, mcp_identity::Validity::default(), now);
    let pems = pems.unwrap();
    let text = format!("{pems:?}");
    for key in [&pems.ca_key, &pems.key] {
        assert!(!text.contains(key.lines().nth(1).unwrap()), "{text}");
    }
}

proptest! {
    #[test]
    fn a_bundle_survives_its_text(
        address in "\\PC{1,40}",
        server_name in proptest::option::of("\\PC{0,40}"),
        ca_cert_pem in "[ -~\n'\"\\\\]{0,200}",
        millis in 0i64..4_000_000_000_000,
    ) {
        let expires = mcp_model::Stamp::from_millis(millis);
        let made = Bundle { address, server_name, ca_cert_pem, expires, ..bundle() };
        prop_assert_eq!(Bundle::parse(&made.to_text()).unwrap(), made);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Bundle::parse(&text);
        let _ = text.parse::<Token>();
    }
}
