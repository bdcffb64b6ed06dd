//! Certificates and keys as files: what is issued, and what is said of files that cannot be used.
#![cfg(all(feature = "client", feature = "server"))]

use std::time::Duration;

use mcp_identity::issue::CertPaths;
use mcp_identity::{
    CaSource, CertificateProblem, ClientTlsError, Pems, SanName, ServerTlsError, Validity,
    check_certificate, client_config, issue_ca_and_cert, server_config,
};
use mcp_model::Stamp;
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);

fn now() -> Stamp {
    Stamp::new(jiff::Timestamp::now())
}

fn issue_at(names: &[&str], now: Stamp) -> Pems {
    let names: Vec<SanName> = names.iter().map(|name| name.parse().unwrap()).collect();
    issue_ca_and_cert(&"rift".parse().unwrap(), &names, Validity::default(), now).unwrap()
}

#[test]
fn a_client_without_a_usable_authority_is_told_which_file_and_why() {
    assert!(matches!(client_config(None), Err(ClientTlsError::NoCa)));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ca.pem");
    let source = CaSource::File(path.clone());
    let attempt = |content: Option<&str>| {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = client_config(Some(&source)).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        error
    };
    assert!(matches!(attempt(None), ClientTlsError::Read { .. }));
    assert!(matches!(
        attempt(Some("")),
        ClientTlsError::NoCertificate { .. }
    ));
    let key = issue_at(&["a"], now()).key;
    assert!(matches!(
        attempt(Some(&key)),
        ClientTlsError::NoCertificate { .. }
    ));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(attempt(Some(cut)), ClientTlsError::Pem { .. }));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        attempt(Some(nonsense)),
        ClientTlsError::Unusable { .. }
    ));
}

#[test]
fn a_server_that_cannot_serve_is_told_which_file_and_why() {
    let folder = TempDir::new().unwrap();
    let paths = CertPaths::within(folder.path());
    let pems = issue_at(&["localhost"], now());
    let attempt = |cert: &str, key: &str| {
        std::fs::write(&paths.cert, cert).unwrap();
        std::fs::write(&paths.key, key).unwrap();
        server_config(&paths.cert, &paths.key).unwrap_err()
    };
    let missing = server_config(&paths.cert, &paths.key).unwrap_err();
    assert!(matches!(&missing, ServerTlsError::Read { path, .. } if *path == paths.cert));

    let error = attempt(&pems.key, &pems.key);
    assert!(matches!(&error, ServerTlsError::NoCertificate { path } if *path == paths.cert));
    let error = attempt(&pems.cert, &pems.cert);
    assert!(matches!(&error, ServerTlsError::NoKey { path } if *path == paths.key));
    let error = attempt(&pems.cert, "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    assert!(matches!(&error, ServerTlsError::Pem { path, .. } if *path == paths.key));
    let error = attempt(&pems.cert, &issue_at(&["localhost"], now()).key);
    assert!(
        matches!(&error, ServerTlsError::Mismatch { .. }),
        "{error:?}"
    );
}

#[test]
fn a_certificate_that_clients_will_refuse_is_seen_beforehand() {
    let folder = TempDir::new().unwrap();
    let paths = CertPaths::within(folder.path());
    let issued = now();
    issue_at(&["localhost"], issued).write(&paths).unwrap();
    let expires = issued.plus(Validity::default().cert);

    assert!(check_certificate(&paths.cert, issued).is_ok());
    let late = check_certificate(&paths.cert, expires.plus(DAY));
    assert!(
        matches!(&late, Err(CertificateProblem::Expired { at, .. }) if *at == expires.whole_seconds()),
        "{late:?}"
    );
    let early = check_certificate(&paths.cert, Stamp::from_millis(0));
    assert!(
        matches!(early, Err(CertificateProblem::NotYetValid { .. })),
        "{early:?}"
    );
    let authority = check_certificate(&paths.ca_cert, issued);
    assert!(
        matches!(authority, Err(CertificateProblem::Unusable { .. })),
        "{authority:?}"
    );
}

#[test]
fn an_identity_that_is_there_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let paths = CertPaths::within(folder.path());
    issue_at(&["localhost"], now()).write(&paths).unwrap();
    for (path, mode) in [
        (&paths.ca_key, 0o600),
        (&paths.key, 0o600),
        (&paths.ca_cert, 0o644),
        (&paths.cert, 0o644),
    ] {
        let found = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{}", path.display());
    }
    std::fs::remove_file(&paths.ca_key).unwrap();
    let before = std::fs::read(&paths.key).unwrap();
    issue_at(&["localhost"], now()).write(&paths).unwrap_err();
    assert!(
        !paths.ca_key.exists(),
        "nothing is written beside a part of an older identity"
    );
    assert_eq!(std::fs::read(&paths.key).unwrap(), before);
}

#[test]
fn names_are_hosts_or_addresses() {
    for good in ["localhost", "node.example", "10.0.0.5", "fd00::5", "a-b.c"] {
        assert_eq!(good.parse::<SanName>().unwrap().to_string(), good);
    }
    for bad in ["", "*.example", "a b", "-a", "http://a", "a:1", "a,b"] {
        assert!(bad.parse::<SanName>().is_err(), "{bad:?}");
    }
    let nobody = issue_ca_and_cert(&"rift".parse().unwrap(), &[], Validity::default(), now());
    assert!(nobody.is_err(), "a certificate without names");
    let long = "x".repeat(63);
    let names = ["localhost".parse().unwrap()];
    let far = Stamp::from_millis(i64::MAX);
    issue_ca_and_cert(&long.parse().unwrap(), &names, Validity::default(), far).unwrap();
}
