use proptest::prelude::*;

use super::*;

const PS_3: &[u8] = include_bytes!("../tests/captures/ps-3.4.json");
const PS_4: &[u8] = include_bytes!("../tests/captures/ps-4.3.1.json");
const PS_5: &[u8] = include_bytes!("../tests/captures/ps-5.4.json");
const PS_EXTERNAL: &[u8] = include_bytes!("../tests/captures/ps-external-4.3.1.json");
const INSPECT_3: &[u8] = include_bytes!("../tests/captures/inspect-3.4.json");
const INSPECT_4: &[u8] = include_bytes!("../tests/captures/inspect-4.3.1.json");
const INSPECT_5: &[u8] = include_bytes!("../tests/captures/inspect-5.4.json");

/// One line per container: what MCP understood.
fn summary(containers: &[Container]) -> Vec<String> {
    let line = |c: &Container| {
        format!(
            "{} {} {:?} pid={:?} since={} restarts={:?} exit={:?} ended={} memory={:?} agent={:?}",
            c.name,
            c.image,
            c.state,
            c.instance.pid,
            c.instance
                .started_at
                .map_or("never".into(), |s| s.to_string()),
            c.instance.restart_count,
            c.exit.map(|e| (e.code, e.out_of_memory)),
            c.finished_at.map_or("never".into(), |s| s.to_string()),
            c.memory_limit,
            c.labels.agent,
        )
    };
    containers.iter().map(line).collect()
}

#[test]
fn listings_of_every_major_are_understood() {
    insta::assert_debug_snapshot!("ps_3_4", summary(&listing(PS_3).unwrap()));
    insta::assert_debug_snapshot!("ps_4_3", summary(&listing(PS_4).unwrap()));
    insta::assert_debug_snapshot!("ps_5_4", summary(&listing(PS_5).unwrap()));
}

#[test]
fn inspections_of_every_major_are_understood() {
    insta::assert_debug_snapshot!("inspect_3_4", summary(&inspection(INSPECT_3).unwrap()));
    insta::assert_debug_snapshot!("inspect_4_3", summary(&inspection(INSPECT_4).unwrap()));
    insta::assert_debug_snapshot!("inspect_5_4", summary(&inspection(INSPECT_5).unwrap()));
}

#[test]
fn labels_are_read_whole() {
    let web = listing(PS_4).unwrap().remove(0);
    assert_eq!(web.labels, inspection(INSPECT_4).unwrap().remove(0).labels);
    assert_eq!(web.labels.service.as_deref(), Some("web"));
    assert_eq!(web.labels.component.as_deref(), Some("web"));
    assert_eq!(web.labels.revision, Some(3));
    assert_eq!(web.labels.operation.unwrap().as_str(), "op12");
}

#[test]
fn a_listing_and_an_inspection_of_one_life_agree() {
    let rows = listing(PS_4).unwrap();
    for detail in inspection(INSPECT_4).unwrap() {
        let row = rows.iter().find(|r| r.instance.id == detail.instance.id);
        assert!(row.unwrap().instance.is_same_life(&detail.instance));
    }
}

#[test]
fn an_answer_cut_anywhere_is_an_error_or_whole() {
    for (whole, parse) in [
        (PS_3, listing as fn(&[u8]) -> _),
        (PS_4, listing),
        (PS_5, listing),
        (INSPECT_3, inspection),
        (INSPECT_4, inspection),
        (INSPECT_5, inspection),
    ] {
        let all = parse(whole).unwrap();
        for end in 0..whole.len() {
            if let Ok(some) = parse(&whole[..end]) {
                assert_eq!(some, all, "cut at {end}");
            }
        }
    }
}

#[test]
fn one_unreadable_entry_makes_the_whole_answer_unreadable() {
    let listed = String::from_utf8(PS_4.to_vec()).unwrap();
    for (from, to) in [
        ("\"Id\": \"0dd5", "\"Id\": \"0DD5"),
        ("\"Id\": \"0dd5", "\"Id\": \"-dd5"),
        ("\"Pid\": 0", "\"Pid\": \"0\""),
        ("\"State\": \"exited\"", "\"State\": 7"),
        ("\"StartedAt\": 1795164661", "\"StartedAt\": \"soon\""),
        ("\"StartedAt\": 1795164661", "\"StartedAt\": []"),
        ("\"Labels\": {", "\"Labels\": [], \"Was\": {"),
        ("\"Names\": [", "\"Names\": {}, \"Was\": ["),
    ] {
        assert!(listed.contains(from), "{from}");
        let broken = listed.replacen(from, to, 1);
        assert!(listing(broken.as_bytes()).is_err(), "{to}");
    }
    for garbage in [
        "", " ", "null", "{}", "[{}]", "[null]", "[[]]", "7", "[] []",
    ] {
        assert!(listing(garbage.as_bytes()).is_err(), "{garbage:?}");
        assert!(inspection(garbage.as_bytes()).is_err(), "{garbage:?}");
    }
    assert_eq!(listing(b"[]\n"), Ok(vec![]));
}

#[test]
fn every_state_word_of_podman_is_known_and_others_are_kept() {
    let id = "a".repeat(64);
    for (word, expected) in [
        ("created", RuntimeState::Created),
        ("configured", RuntimeState::Configured),
        ("initialized", RuntimeState::Initialized),
        ("Running", RuntimeState::Running),
        ("paused", RuntimeState::Paused),
        ("stopping", RuntimeState::Stopping),
        ("stopped", RuntimeState::Stopped),
        ("exited", RuntimeState::Exited),
        ("removing", RuntimeState::Removing),
        ("restarting", RuntimeState::Restarting),
        ("dead", RuntimeState::Other("dead".into())),
        ("bad", RuntimeState::Other("bad".into())),
        ("", RuntimeState::Other(String::new())),
    ] {
        let row = format!(r#"[{{"Id":"{id}","State":"{word}"}}]"#);
        assert_eq!(listing(row.as_bytes()).unwrap()[0].state, expected);
    }
}

#[test]
fn times_are_read_in_either_form_and_zero_means_never() {
    let id = "a".repeat(64);
    let at = |value: &str| {
        let row = format!(r#"[{{"Id":"{id}","State":"running","StartedAt":{value}}}]"#);
        let row = listing(row.as_bytes()).unwrap().remove(0);
        row.instance.started_at.map(Stamp::as_millis)
    };
    assert_eq!(at("1795164661"), Some(1_795_164_661_000));
    assert_eq!(
        at(r#""2026-11-20T10:51:01.25+02:00""#),
        Some(1_795_164_661_250)
    );
    for never in ["-62135596800", "0", r#""0001-01-01T00:00:00Z""#, "null"] {
        assert_eq!(at(never), None, "{never}");
    }
}

#[test]
fn a_phantom_is_told_by_its_exact_name_and_never_a_builds_container() {
    assert_eq!(has_phantom(PS_EXTERNAL, "ph10"), Ok(true));
    for other in ["ph1", "ph100", "web", ""] {
        assert_eq!(has_phantom(PS_EXTERNAL, other), Ok(false), "{other}");
    }
    let text = String::from_utf8(PS_EXTERNAL.to_vec()).unwrap();
    let build = text.replace("\"storage\"\n", "\"buildah\"\n");
    assert_ne!(build, text);
    assert_eq!(has_phantom(build.as_bytes(), "ph10"), Ok(false));
}

#[test]
fn only_the_id_of_an_event_is_read() {
    let id = "b".repeat(64);
    let line = format!(r#"{{"ID":"{id}","Status":"died","ContainerExitCode":"?"}}"#);
    assert_eq!(event(line.as_bytes()).unwrap().as_str(), id);
    for line in [
        "",
        "{}",
        r#"{"ID":"x"}"#,
        r#"{"ID":7}"#,
        r#"{"Type":"image"}"#,
    ] {
        assert_eq!(event(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn settings_are_read_from_info() {
    let json = br#"{"host":{"eventLogger":"file","security":{"rootless":true}},"store":{}}"#;
    let expected = Info {
        event_logger: "file".into(),
        rootless: true,
    };
    assert_eq!(info(json), Ok(expected));
    assert!(info(b"[]").is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (listing(&bytes), inspection(&bytes), has_phantom(&bytes, "a"), info(&bytes), event(&bytes));
    }

    #[test]
    fn a_damaged_listing_never_panics_and_never_gets_shorter(
        at in 0..PS_4.len(),
        with in any::<u8>(),
    ) {
        let mut damaged = PS_4.to_vec();
        damaged[at] = with;
        if let Ok(containers) = listing(&damaged) {
            prop_assert_eq!(containers.len(), listing(PS_4).unwrap().len());
        }
    }
}
