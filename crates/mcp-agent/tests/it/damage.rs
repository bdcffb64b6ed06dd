//! A registry that is damaged while the agent runs.

use std::os::unix::fs::FileExt as _;

use mcp_proto::v1;

use crate::support::{Node, deploy, hello, listed, service};

/// Spoils the first page of each of these tables, where the agent will read it next.
fn damage(node: &Node, tables: &[&str]) {
    const PAGE: [u8; 4096] = [0xff; 4096];
    let database = node.database();
    let page = |table: &&str| -> u32 {
        let query = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        database
            .query_row(query, [table], |row| row.get(0))
            .unwrap()
    };
    let pages: Vec<u32> = tables.iter().map(page).collect();
    // What the agent remembers of the file is worth nothing after that.
    database
        .execute_batch("UPDATE components SET version = version; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(&node.config.database.path)
        .unwrap();
    for page in pages {
        file.write_all_at(&PAGE, u64::from(page - 1) * 4096)
            .unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_is_damaged_under_the_agent_refuses_changes_and_is_left_as_it_is() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let before = node.fake.containers();
    damage(&node, &["audit", "operations"]);
    let spoiled = std::fs::read(&node.config.database.path).unwrap();
    node.fake.forget_calls();

    let other = service("other", &[("web", "localhost/hello:v1")]);
    let stop = v1::StopServiceRequest {
        name: "hello".to_owned(),
        ..Default::default()
    };
    for refused in [
        client.deploy(deploy(other)).await.err(),
        client.stop_service(stop).await.err(),
    ] {
        let refused = refused.expect("it is refused");
        assert!(refused.message().contains("is damaged"), "{refused}");
    }
    assert_eq!(node.fake.mutations(), []);
    assert_eq!(node.fake.containers(), before);
    // What can still be read is.
    let info = listed(&mut client, "hello", "web").await;
    assert_eq!(info.observed_state, "running");
    drop(client);
    assert!(std::fs::read(&node.config.database.path).unwrap() == spoiled);
}
