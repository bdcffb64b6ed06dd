//! Files that are refused, and left byte for byte as they are.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mcp_model::StepState;
use mcp_registry::{AcceptError, Database, OpenError, Options, RegistryError};
use rusqlite::Connection;

use crate::support::{Node, Shorthand, at, bytes, deploy, key, outcome, request, service};

/// A closed registry with enough rows to fill pages.
fn filled() -> Node {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    node.sql()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO events (service, component, prev_state, new_state)
             SELECT 'a', 'b', 'running', 'exited' FROM n;",
        )
        .unwrap();
    node
}

/// Opens a changed registry and returns the error; its file must be the same before and after.
fn refused(change: impl FnOnce(&Path)) -> OpenError {
    let Node { db, folder } = filled();
    drop(db);
    let path = folder.path().join("mcp.db");
    change(&path);
    let before = bytes(&path);
    let error = Database::open(&path, &Options::default()).expect_err("must be refused");
    assert_eq!(bytes(&path), before, "{error}");
    error
}

fn with_sql(change: &'static str) -> impl FnOnce(&Path) {
    move |path| {
        Connection::open(path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
    }
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    for change in [
        "PRAGMA user_version = 98",
        "INSERT INTO refinery_schema_history VALUES (98, 'later', '2027-01-01T00:00:00Z', '1')",
        // Even one whose history this release cannot read at all.
        "PRAGMA user_version = 99; UPDATE refinery_schema_history SET checksum = 'x'",
    ] {
        let error = refused(with_sql(change));
        assert!(
            matches!(error, OpenError::NewerSchema { found: 98 | 99, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_newer_schema_that_is_still_in_the_log_is_refused_untouched() {
    let node = filled();
    // A copy of file and log while both are in use: as after a kill.
    node.sql()
        .execute_batch("PRAGMA user_version = 98")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("mcp.db");
    for suffix in ["", "-wal"] {
        let name = format!("mcp.db{suffix}");
        fs::copy(node.folder.path().join(&name), folder.path().join(&name)).unwrap();
    }
    let log = folder.path().join("mcp.db-wal");
    let before = (bytes(&copy), bytes(&log));
    assert!(!before.1.is_empty());
    let error = Database::open(&copy, &Options::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 98, .. }),
        "{error}"
    );
    assert_eq!((bytes(&copy), bytes(&log)), before);
}

#[test]
fn a_damaged_file_is_refused_untouched() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 3] = [
        ("no database at all", |file| file[..100].fill(b'x')),
        ("cut in the middle", |file| file.truncate(file.len() / 2)),
        ("flipped pages", |file| {
            let middle = file.len() / 2 / 4096 * 4096;
            file[middle..middle + 3 * 4096]
                .iter_mut()
                .for_each(|byte| *byte = !*byte);
        }),
    ];
    for (what, damage) in damage {
        let error = refused(|path| {
            let mut file = bytes(path);
            damage(&mut file);
            fs::write(path, file).unwrap();
        });
        assert!(
            matches!(error, OpenError::Corrupt { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn what_is_not_our_registry_is_refused_untouched() {
    for change in [
        "DROP TABLE refinery_schema_history; PRAGMA user_version = 0",
        "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1",
        "UPDATE refinery_schema_history SET name = 'other' WHERE version = 2",
        "DELETE FROM refinery_schema_history WHERE version = 1",
        "UPDATE refinery_schema_history SET checksum = NULL",
    ] {
        let error = refused(with_sql(change));
        assert!(
            matches!(error, OpenError::Divergent { .. }),
            "{change}: {error}"
        );
    }
}

#[test]
fn a_lock_of_another_process_is_told_apart_and_stores_nothing() {
    let node = Node::new();
    let options = Options {
        busy_timeout: Duration::from_millis(2),
    };
    let mut db = Database::open(&node.path(), &options).unwrap();
    let before = node.dump();
    let holder = node.sql();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let wanted = service("a", &[("b", "1")]);
    let error = db
        .accept(&request("op01", deploy(&wanted), at(0)))
        .unwrap_err();
    assert!(
        matches!(
            error,
            AcceptError::Registry(RegistryError::Busy {
                operation: "accept an operation",
                ..
            })
        ),
        "{error:?}"
    );
    let error = db
        .settle(&outcome("op01", &key("a/b"), StepState::Failed))
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Busy {
                operation: "settle a step",
                ..
            }
        ),
        "{error:?}"
    );
    // Reads go on.
    assert!(db.keys().unwrap().is_empty());

    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(node.dump(), before);
    db.accept(&request("op01", deploy(&wanted), at(0))).unwrap();
}

#[test]
fn a_stored_value_that_is_none_is_an_error_that_names_its_column() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    let sql = node.sql();
    for (column, value) in [
        ("desired_state", "'Running'"),
        ("observed_state", "''"),
        ("spec", "'{}'"),
        ("generation", "-1"),
        ("intent_at", "'soon'"),
        ("container_id", "'12'"),
    ] {
        let keep = format!("SELECT {column} FROM components");
        let good: rusqlite::types::Value = sql.query_row(&keep, [], |row| row.get(0)).unwrap();
        sql.execute(&format!("UPDATE components SET {column} = {value}"), [])
            .unwrap();
        let error = node.db.load(&key("a/b")).unwrap_err();
        assert!(
            matches!(error, RegistryError::Stored { .. }),
            "{column}: {error:?}"
        );
        let source = error.source().unwrap();
        assert!(source.to_string().contains(column), "{source}");
        sql.execute(&format!("UPDATE components SET {column} = ?1"), [good])
            .unwrap();
        node.db.load(&key("a/b")).unwrap();
    }
}
