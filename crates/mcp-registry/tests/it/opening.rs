//! What an opening makes, keeps and migrates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcp_model::{DesiredState, ObservedState};
use mcp_registry::{Database, OpenError, Options};
use refinery::Target;
use rusqlite::Connection;

use crate::support::{Node, Shorthand, at, deploy, key, service, service_name};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A registry as the first schema had it, with a component that said everything.
fn first_schema(path: &Path) {
    let mut conn = Connection::open(path).unwrap();
    embedded::migrations::runner()
        .set_target(Target::Version(1))
        .run(&mut conn)
        .unwrap();
    conn.execute_batch(
        "INSERT INTO services (name) VALUES ('web');
         INSERT INTO components (service, name, image, network, user_spec, desired_state,
             observed_state, updated_at)
         VALUES ('web', 'api', 'localhost/api:v1', 'mcpnet', '1000:1000', 'stopped', 'exited',
             '2026-03-01 10:00:00');
         INSERT INTO component_ports VALUES ('web', 'api', '8080:80'), ('web', 'api', '127.0.0.1:1:1');
         INSERT INTO component_cmd VALUES ('web', 'api', 1, '--verbose'), ('web', 'api', 0, 'serve');
         INSERT INTO events (service, component, prev_state, new_state) VALUES ('web', 'api', 'running', 'exited');",
    )
    .unwrap();
}

#[test]
fn a_second_opening_changes_nothing_but_the_connection() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    let (dump, id) = (node.dump(), node.db.instance_id().unwrap());
    let node = node.reopen().reopen();
    assert_eq!(node.dump(), dump);
    assert_eq!(node.db.instance_id().unwrap(), id);
    let migrated = node.query::<u32>("SELECT MAX(version) FROM refinery_schema_history");
    assert_eq!(node.db.schema_version().unwrap(), migrated);
}

#[test]
fn each_node_has_an_instance_id_of_its_own() {
    let ids = [Node::new(), Node::new()].map(|node| node.db.instance_id().unwrap());
    assert_ne!(ids[0], ids[1]);
    assert!(
        ids.iter()
            .all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    );
}

#[test]
fn an_older_registry_is_copied_and_keeps_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.db");
    first_schema(&path);

    let db = Database::open(&path, &Options::default()).unwrap();
    let record = db
        .service(&service_name("web"))
        .unwrap()
        .unwrap()
        .components
        .remove(0);
    assert_eq!(record.spec.network.as_ref().unwrap().as_str(), "mcpnet");
    assert_eq!(record.spec.user.as_ref().unwrap().as_str(), "1000:1000");
    assert_eq!(record.spec.ports.len(), 2);
    assert_eq!(record.spec.cmd, ["serve", "--verbose"]);
    assert_eq!(
        (record.desired, record.observed),
        (DesiredState::Stopped, ObservedState::Exited)
    );
    assert_eq!(record.intent_at.wall.to_string(), "2026-03-01 10:00:00.000");
    let events = db
        .events(&mcp_registry::EventFilter {
            limit: 9,
            ..Default::default()
        })
        .unwrap();
    assert_eq!(events.len(), 1);

    let copy = folder.path().join("mcp.db.v1.bak");
    assert_eq!(mode(&copy), 0o600);
    let copy = Connection::open(copy).unwrap();
    let version: u32 = copy
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    let image: String = copy
        .query_row("SELECT image FROM components", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, image.as_str()), (1, "localhost/api:v1"));
    assert!(!folder.path().join("mcp.db.v1.bak.partial").exists());
}

#[test]
fn a_migration_that_fails_leaves_the_older_registry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.db");
    first_schema(&path);
    // The tables can be made; that they were made cannot be recorded.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER fail BEFORE INSERT ON refinery_schema_history BEGIN
                 SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();

    let error = Database::open(&path, &Options::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::Migrate { from: 1, .. }),
        "{error:?}"
    );
    let conn = Connection::open(&path).unwrap();
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('operations', 'meta')";
    assert_eq!(
        conn.query_row(tables, [], |row| row.get::<_, u32>(0))
            .unwrap(),
        0
    );
    assert_eq!(
        conn.pragma_query_value(None, "user_version", |r| r.get::<_, u32>(0))
            .unwrap(),
        1
    );
}

#[test]
fn nobody_else_can_read_the_database_whatever_the_umask() {
    let before = rustix::process::umask(rustix::fs::Mode::empty());
    let node = Node::new();
    rustix::process::umask(before);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(
            mode(&node.folder.path().join(format!("mcp.db{suffix}"))),
            0o600,
            "{suffix}"
        );
    }
    fs::set_permissions(node.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let node = node.reopen();
    assert_eq!(mode(&node.path()), 0o600);
}

#[test]
fn every_acknowledged_change_survives_a_restart() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1"), ("c", "2")]);
    node.db.accepted("op01", deploy(&wanted), at(0));
    let before: Vec<_> = wanted
        .keys()
        .map(|key| node.db.load(&key).unwrap())
        .collect();
    let node = node.reopen();
    let after: Vec<_> = wanted
        .keys()
        .map(|key| node.db.load(&key).unwrap())
        .collect();
    assert_eq!(before, after);
    assert_eq!(after[0].ticket.as_ref().unwrap().key, key("a/b"));
}

#[test]
fn an_opening_that_was_interrupted_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.db");
    fs::write(&path, b"").unwrap();
    let db = Database::open(&path, &Options::default()).unwrap();
    let current = Node::new().db.schema_version().unwrap();
    assert_eq!(db.schema_version().unwrap(), current);
    assert!(!folder.path().join("mcp.db.v0.bak").exists());
}
