//! What is said of how a container ended (S33), from what podman says of it.

use mcp_model::Container;
use mcp_plan::words::death;

const CAPTURE: &str = include_str!("../../mcp-runtime/tests/captures/inspect-5.4.json");

/// The capture's container that ran out of memory, with other values in these places.
fn dead(changes: &[(&str, &str)]) -> Container {
    let mut text = CAPTURE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let all = mcp_runtime::parse::inspection(text.as_bytes()).unwrap();
    all.into_iter().next_back().unwrap()
}

#[test]
fn a_death_says_what_the_limit_was_where_memory_ran_out() {
    const LIMIT: &str = "\"Memory\": 67108864";
    const OOM: &str = "\"OOMKilled\": true";
    const CODE: &str = "\"ExitCode\": 137";
    for (changes, words) in [
        (vec![], "137: killed (SIGKILL), out of memory at 64 MiB"),
        (
            vec![(LIMIT, "\"Memory\": 268435456")],
            "137: killed (SIGKILL), out of memory at 256 MiB",
        ),
        // The node's memory, not the container's.
        (
            vec![(LIMIT, "\"Memory\": 0")],
            "137: killed (SIGKILL), out of memory",
        ),
        // One of its processes was killed, and it ended because of that.
        (
            vec![(CODE, "\"ExitCode\": 1")],
            "1: ended with an error, out of memory at 64 MiB",
        ),
        (vec![(OOM, "\"OOMKilled\": false")], "137: killed (SIGKILL)"),
        (
            vec![(OOM, "\"OOMKilled\": false"), (CODE, "\"ExitCode\": 125")],
            "125: the runtime could not start it",
        ),
        (
            vec![(OOM, "\"OOMKilled\": false"), (CODE, "\"ExitCode\": 126")],
            "126: command could not be run",
        ),
    ] {
        assert_eq!(death(&dead(&changes)), words, "{changes:?}");
    }
}
