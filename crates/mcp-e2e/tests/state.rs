//! What the agent keeps, and what becomes of containers when it cannot: they run on.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread;

use mcp_e2e::{Agent, AgentOptions, Alerts, Component, Workstation, definition, until};
use rusqlite::Connection;

struct Stage {
    agent: Agent,
    workstation: Workstation,
    alerts: Alerts,
}

impl Stage {
    /// A service of two components that run.
    fn deployed() -> Self {
        let alerts = Alerts::new();
        let options = AgentOptions::default().alert_command(&alerts.command());
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        let stage = Self {
            agent,
            workstation,
            alerts,
        };
        stage.define("v1");
        stage.workstation.mcp(&["deploy", "hello"]).ok();
        stage
    }

    fn define(&self, tag: &str) {
        let image = format!("localhost/hello:{tag}");
        let components = ["web", "worker"].map(|name| Component::new(name, &image));
        self.workstation
            .define("hello", &definition("hello", "rift", &components));
    }

    /// Id and start of each container.
    #[track_caller]
    fn lives(&self) -> [String; 2] {
        ["hello-web", "hello-worker"].map(|name| {
            let container = self.agent.podman().inspect(name).expect("it is there");
            format!("{} {}", container["Id"], container["State"]["StartedAt"])
        })
    }

    /// What every component is seen as.
    #[track_caller]
    fn observed(&self) -> Vec<String> {
        let status = self.workstation.json(&["status"]);
        let components = status["nodes"][0]["services"][0]["components"].as_array();
        let components = components.expect("it is listed").iter();
        let text = |c: &serde_json::Value| c["observed"].as_str().expect("text").to_owned();
        components.map(text).collect()
    }

    /// Every kind of change is refused, and has changed nothing; reads are answered.
    #[track_caller]
    fn nothing_can_be_changed(&self, why: &[&str]) {
        let before = (self.lives(), self.agent.rows("SELECT * FROM components"));
        self.define("v2");
        for args in [
            &["sync"][..],
            &["deploy", "hello"],
            &["stop", "hello"],
            &["start", "hello"],
            &["restart", "hello"],
            &["sync", "--prune", "--yes"],
        ] {
            let said = self.workstation.mcp(args).refused(1);
            assert!(why.iter().any(|why| said.contains(why)), "{args:?}: {said}");
        }
        for args in [&["list"][..], &["status"], &["ps"]] {
            self.workstation.mcp(args).ok();
        }
        let after = (self.lives(), self.agent.rows("SELECT * FROM components"));
        assert_eq!(after, before);
        assert_eq!(self.agent.podman().names(), ["hello-web", "hello-worker"]);
    }
}

/// How an agent ends, and what that is called.
type Way = (&'static str, fn(&mut Agent));

#[test]
fn an_agent_that_is_stopped_killed_or_upgraded_leaves_containers_as_they_are() {
    let mut stage = Stage::deployed();
    let before = stage.lives();
    let ways: [Way; 3] = [
        ("stopped", |agent| assert!(agent.stop().success())),
        ("killed", Agent::kill),
        ("upgraded", |agent| {
            assert!(agent.stop().success());
            agent.upgrade();
        }),
    ];
    for (what, end) in ways {
        end(&mut stage.agent);
        assert_eq!(stage.lives(), before, "{what}");
        stage.agent.start();
        let status = stage.workstation.mcp(&["status", "--live", "--exit-code"]);
        assert_eq!(status.code, Some(0), "{what}: {status:?}");
        assert_eq!(stage.lives(), before, "{what}");
    }
    assert_eq!(stage.alerts.received(), []);
    let operations = stage.agent.rows("SELECT kind, state FROM operations");
    assert_eq!(operations, ["deploy|succeeded"]);
}

#[test]
fn a_full_disk_refuses_changes_before_they_touch_anything_and_hides_no_death() {
    let stage = Stage::deployed();
    let log = stage.agent.dir().join("mcp.db-wal");
    let size = fs::metadata(log).expect("the agent writes ahead").len();
    let full = stage.agent.fill_the_disk(size);
    stage.nothing_can_be_changed(&["is the disk or a quota full", "file system is full"]);

    let killed = stage.agent.podman();
    killed.run(&["kill", "hello-worker"]);
    until("what cannot be stored is not shown as it was", || {
        (stage.observed() == ["running", "unknown"]).then_some(())
    });
    drop(full);
    assert_eq!(stage.alerts.wait_for(1)["MCP_COMPONENT"], "worker");
    until("what can be stored again is shown", || {
        (stage.observed() == ["running", "exited"]).then_some(())
    });
    stage.workstation.mcp(&["deploy", "hello"]).ok();
}

/// Where the first page of a table is in the registry: one that is in use, as not every one is.
fn page_of(table: &str, path: &Path) -> Range<usize> {
    let database = Connection::open(path).expect("it is ours");
    let query = "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?1";
    let (page, size): (u32, u32) = database
        .query_row(query, [table], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("it is a table");
    let byte = |page: u32| usize::try_from(page * size).expect("it is a small file");
    byte(page - 1)..byte(page)
}

#[test]
fn a_damaged_or_newer_registry_ends_the_agent_is_left_as_it_is_and_containers_run_on() {
    let mut stage = Stage::deployed();
    let before = stage.lives();
    assert!(stage.agent.stop().success());
    let path = stage.agent.database();
    let page = page_of("components", &path);
    let good = fs::read(&path).expect("it is ours");
    let mut flipped = good.clone();
    flipped[page].iter_mut().for_each(|byte| *byte = !*byte);
    let cut = good[..good.len() / 2].to_vec();
    let newer = {
        let database = Connection::open(&path).expect("it is ours");
        let now: u32 = database
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("it has a version");
        database
            .pragma_update(None, "user_version", now + 1)
            .expect("it is ours");
        drop(database);
        fs::read(&path).expect("it is ours")
    };
    for (bytes, why) in [(flipped, "damaged"), (cut, "damaged"), (newer, "newer")] {
        fs::write(&path, &bytes).expect("it is ours");
        let said = stage.agent.run(&["server"]).refused(1);
        assert!(said.contains(why), "{why}: {said}");
        assert!(fs::read(&path).expect("it is ours") == bytes, "{why}");
        assert_eq!(stage.lives(), before, "{why}");
    }
    fs::write(&path, good).expect("it is ours");
    stage.agent.start();
    let status = stage.workstation.mcp(&["status", "--live", "--exit-code"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert_eq!(stage.lives(), before);
}

#[test]
fn operators_at_once_get_one_order_and_whole_changes() {
    let stage = Stage::deployed();
    let wishes = [
        &["restart", "hello"][..],
        &["deploy", "hello"],
        &["stop", "hello"],
        &["start", "hello"],
        &["sync"],
        &["deploy", "hello"],
    ];
    thread::scope(|scope| {
        for wish in wishes {
            // Who was superseded is told so, with a failure: that is an answer, too.
            scope.spawn(|| stage.workstation.mcp(wish));
        }
    });
    // Somebody may have left before his turn came: operations go on without those who asked.
    let open = "SELECT count(*) FROM operation_steps WHERE state IN ('waiting', 'running')";
    until("every operation is settled", || {
        (stage.agent.rows(open) == ["0"]).then_some(())
    });
    let unfinished = "SELECT count(*) FROM audit WHERE outcome IS NULL";
    until("every outcome is on record", || {
        (stage.agent.rows(unfinished) == ["0"]).then_some(())
    });
    let intents = "SELECT DISTINCT image, desired_state FROM components";
    assert_eq!(stage.agent.rows(intents).len(), 1, "both or none");
    stage.workstation.mcp(&["deploy", "hello"]).ok();
    assert_eq!(stage.agent.podman().names(), ["hello-web", "hello-worker"]);
    assert_eq!(stage.observed(), ["running", "running"]);
}
