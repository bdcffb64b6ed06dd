//! Words that were made to deceive, and mounts that were spelled to get past the rules: on real
//! podman, through both real binaries.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use mcp_e2e::{Agent, AgentOptions, Component, Lie, LyingPodman, Workstation, definition};

/// What clears a screen, forges a line, reverses what is read and hides in it.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\nerror: forged\u{202e}\u{200b}\u{9b}31m";

/// Whether a text holds nothing but lines of characters that are shown as they are.
#[track_caller]
fn assert_lines_plain(what: &str, text: &str) {
    let hostile = |c: char| {
        c != '\n'
            && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'))
    };
    let found: Vec<_> = text.chars().filter(|c| hostile(*c)).collect();
    assert!(found.is_empty(), "{what} shows {found:?}: {text:?}");
    let forged = text.lines().any(|line| line.starts_with("error: forged"));
    assert!(!forged, "{what} shows a forged line: {text}");
}

#[test]
fn what_a_stranger_calls_itself_is_shown_escaped_and_breaks_nothing() {
    let podman = LyingPodman::new();
    let options = AgentOptions::default().podman(&podman.program(), "10s");
    let agent = Agent::running("rift", options);
    let workstation = Workstation::of(&[&agent]);
    let label = format!("--label=note={HOSTILE}");
    let env = format!("--env=NOTE={HOSTILE}");
    let run = ["run", "--detach", "--name=stranger", &label, &env];
    agent
        .podman()
        .run(&[&run[..], &["localhost/hello:v2", "--", HOSTILE]].concat());
    // podman refuses such names; another runtime, or a later podman, may not.
    let id = agent.podman().inspect("stranger").expect("it is there")["Id"].clone();
    let listed = serde_json::json!([{
        "Id": id, "Names": [HOSTILE], "Image": HOSTILE, "State": HOSTILE, "Command": [HOSTILE],
        "Labels": { HOSTILE: HOSTILE, "mcp.service": HOSTILE },
    }]);
    for lie in [None, Some(Lie::Say(listed.to_string().into_bytes()))] {
        if let Some(lie) = &lie {
            podman.lie("ps", lie);
        }
        for args in [
            &["ps"][..],
            &["status", "--live"],
            &["ps", "--output", "json"],
        ] {
            let reply = workstation.mcp(args);
            assert_eq!(reply.code, Some(0), "{args:?}: {reply:?}");
            assert_lines_plain(&format!("{args:?}"), &reply.stdout);
            assert_lines_plain(&format!("{args:?}"), &reply.stderr);
        }
        let ps = workstation.json(&["ps"]);
        let name = ps["nodes"][0]["foreign"][0]["name"].as_str();
        let expected = if lie.is_some() { HOSTILE } else { "stranger" };
        assert_eq!(name, Some(expected), "a program gets the name as it is");
    }
    assert_lines_plain("the log", &agent.log());
}

#[test]
fn hostile_words_of_podman_are_escaped_wherever_they_are_shown() {
    let podman = LyingPodman::new();
    let options = AgentOptions::default().podman(&podman.program(), "10s");
    let agent = Agent::running("rift", options);
    let workstation = Workstation::of(&[&agent]);
    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("hello", &definition("hello", "rift", &web));
    let refuse = Lie::Refuse(
        125,
        format!("Error: {}", HOSTILE.replace(['\r', '\n'], " ")),
    );

    podman.lie("run", &refuse);
    let deploy = workstation.mcp(&["deploy", "hello"]);
    assert_eq!(deploy.code, Some(1), "{deploy:?}");
    assert!(
        deploy.stderr.contains("forged"),
        "podman is quoted: {deploy:?}"
    );
    podman.lie("ps", &refuse);
    let status = workstation.mcp(&["status", "--live"]);
    for (what, reply) in [("deploy", deploy), ("status", status)] {
        assert_lines_plain(what, &reply.stdout);
        assert_lines_plain(what, &reply.stderr);
    }
    assert_lines_plain("the log", &agent.log());
    for text in agent.rows("SELECT error FROM operation_steps") {
        assert_lines_plain("the registry", &text);
    }
}

#[test]
fn no_spelling_of_a_mount_gets_past_the_prefixes() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    let root = agent.service_root();
    fs::create_dir_all(root.join("hello")).expect("it is ours");
    let within = |name: &str| root.join("hello").join(name);
    symlink("/etc", within("etc")).expect("it is ours");
    symlink(agent.dir().join("run"), within("run")).expect("it is ours");
    symlink("../../mcp.db", within("registry")).expect("it is ours");
    let _listener = UnixListener::bind(within("a.sock")).expect("it is ours");
    let (srv, dir) = (root.display(), agent.dir().display());
    for (volume, why) in [
        ("/:/data".to_owned(), "prefixes"),
        ("/etc:/data".to_owned(), "prefixes"),
        (format!("{dir}:/data"), "prefixes"),
        (format!("{dir}/run:/data"), "prefixes"),
        (format!("{dir}/run/agent.sock:/data"), "prefixes"),
        (format!("{dir}/mcp.db:/data"), "prefixes"),
        (format!("{srv}/hello/etc:/data"), "prefixes"),
        (format!("{srv}/hello/etc/shadow:/data"), "prefixes"),
        (format!("{srv}/hello/run:/data"), "prefixes"),
        (format!("{srv}/hello/run/agent.sock:/data"), "prefixes"),
        (format!("{srv}/hello/registry:/data"), "prefixes"),
        (format!("{srv}/hello/a.sock:/data"), "socket"),
        (format!("{srv}/../mcp.db:/data"), "'..'"),
        (format!("{srv}/hello/../../run:/data"), "'..'"),
        (format!("{srv}//hello:/data"), "'//'"),
        (format!("{srv}/./hello:/data"), "'.'"),
        ("./hello:/data".to_owned(), "absolute path"),
        ("../run:/data".to_owned(), "absolute path"),
        (format!("{srv}/hello:/data:suid"), "options"),
        (format!("{srv}/hello:/data:rw,dev"), "options"),
        ("cache:/data:suid,dev".to_owned(), "options"),
        (format!("{srv}/hello:/"), "root"),
    ] {
        let web = Component::new("web", "localhost/hello:v1");
        let web = [web.line(&format!("volumes = [{volume:?}]"))];
        workstation.define("hello", &definition("hello", "rift", &web));
        let reply = workstation.mcp(&["deploy", "hello"]);
        assert_ne!(reply.code, Some(0), "{volume} was mounted");
        assert!(reply.stderr.contains(why), "{volume}: {}", reply.stderr);
        assert_eq!(agent.podman().names(), Vec::<String>::new(), "{volume}");
    }
    // A slash at the end is the same directory, and a link that stays within is no way out.
    symlink(root.join("hello"), within("here")).expect("it is ours");
    for volume in [
        format!("{srv}/hello/:/data"),
        format!("{srv}/hello/here:/data"),
    ] {
        let web = Component::new("web", "localhost/hello:v1");
        let web = [web.line(&format!("volumes = [{volume:?}]"))];
        workstation.define("hello", &definition("hello", "rift", &web));
        workstation.mcp(&["deploy", "hello"]).ok();
        let mounts = agent.podman().inspect("hello-web").expect("it is there")["Mounts"].clone();
        assert_eq!(mounts[0]["Destination"], "/data", "{mounts}");
    }
}
