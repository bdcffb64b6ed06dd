use std::path::PathBuf;

use mcp_model::{ComponentSpec, ImageRef};

use super::*;
use crate::argv::PodmanArgs;
use crate::mount::MountPolicy;

const INSPECT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/captures/inspect-4.3.1.json"
);
const WEB: &str = "0dd5dad6ddf793229620ccff594384b721355f721b509ff660f6b1c18a1eaca6";
const GONE: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// A podman that is a shell script: `$*` is what it was asked, `$DIR` is its own place.
struct Scripted {
    dir: tempfile::TempDir,
    podman: Podman,
}

fn scripted(script: &str) -> Scripted {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("podman.sh");
    std::fs::write(&path, format!("echo \"$*\" >>\"$DIR/asked\"\n{script}\n")).unwrap();
    let args = PodmanArgs {
        program: "sh".into(),
        global_args: vec![path.to_str().unwrap().into()],
        env: [
            ("DIR".to_owned(), dir.path().to_str().unwrap().to_owned()),
            ("CAPTURE".to_owned(), INSPECT.to_owned()),
        ]
        .into(),
    };
    let mounts = MountPolicy {
        prefixes: vec![dir.path().canonicalize().unwrap()],
        denied: vec![],
        denied_beginnings: vec![],
    };
    let podman = Podman::new(Settings::new(args, "agent".into(), mounts));
    Scripted { dir, podman }
}

impl Scripted {
    fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.dir.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }
}

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

fn request() -> RunRequest {
    RunRequest {
        key: "hello/web".parse().unwrap(),
        spec: ComponentSpec::of_image("localhost/hello:1".parse().unwrap()),
        revision: 1,
        operation: "op1234".parse().unwrap(),
        replace_phantom: true,
    }
}

#[tokio::test]
async fn a_container_is_absent_only_if_podman_says_so_of_this_very_id() {
    let other = WEB;
    for (script, is_absent) in [
        (
            format!("echo '[]'; echo 'Error: no such container {GONE}' >&2; exit 125"),
            true,
        ),
        (
            format!("echo '[]'; echo 'Error: no such container {other}' >&2; exit 125"),
            false,
        ),
        (
            format!("echo '[]'; echo 'Error: database of {GONE} is locked' >&2; exit 125"),
            false,
        ),
        ("echo '[]'; exit 125".into(), false),
        ("echo '[]'".into(), false),
        ("cat $CAPTURE".into(), false),
        ("head -c 300 $CAPTURE".into(), false),
        ("exit 0".into(), false),
        ("kill -9 $$".into(), false),
    ] {
        let answer = scripted(&script).podman.inspect(&id(GONE)).await;
        match answer {
            Ok(found) => assert!(is_absent && found.is_none(), "{script}"),
            Err(_) => assert!(!is_absent, "{script}"),
        }
    }
}

#[tokio::test]
async fn a_container_whose_removal_was_cut_off_is_there_as_the_listing_says() {
    let script = |listed: &str| {
        format!(
            "case \"$1\" in ps) echo '[{listed}]';; *) echo 'Error: getting container from store \
             \"{WEB}\": container not known' >&2; exit 125;; esac"
        )
    };
    let row = format!(
        r#"{{"Id": "{WEB}", "Names": ["hello-web"], "Image": "a", "State": "exited", "Pid": 0}}"#
    );
    let it = scripted(&script(&row));
    let found = it.podman.inspect(&id(WEB)).await.unwrap().unwrap();
    assert_eq!(found.name, "hello-web");
    let found = it.podman.inspect_name("hello-web").await.unwrap();
    assert!(found.is_some());

    // Where the listing does not know it either, nobody knows: it is not absent.
    let it = scripted(&script(""));
    assert!(it.podman.inspect(&id(WEB)).await.is_err());
}

#[tokio::test]
async fn who_is_missing_from_a_shared_look_is_confirmed_alone() {
    // As podman does it: what is found is printed, and the exit code is 125 all the same.
    let script = format!(
        "case \"$*\" in *{WEB}*) cat $CAPTURE;; *) echo '[]';; esac\n\
         case \"$*\" in *{GONE}*) echo 'Error: no such container {GONE}' >&2; exit 125;; esac"
    );
    let it = scripted(&script);
    let all = it.podman.slots.acquire_many(4).await.unwrap();
    let (web, gone) = (id(WEB), id(GONE));
    let asks = async { tokio::join!(it.podman.inspect(&web), it.podman.inspect(&gone)) };
    let ((found, missing), ()) = tokio::join!(asks, async { drop(all) });
    assert_eq!(found.unwrap().unwrap().name, "web");
    assert!(missing.unwrap().is_none());
    let expected = [
        format!("container inspect -- {WEB} {GONE}"),
        format!("container inspect -- {GONE}"),
    ];
    assert_eq!(it.asked(), expected);
}

#[tokio::test]
async fn a_name_is_held_only_by_a_container_of_exactly_that_name() {
    let it = scripted("cat $CAPTURE");
    assert!(it.podman.inspect_name("web").await.unwrap().is_some());
    // podman also finds `0dd5`, which is how the id begins.
    assert!(it.podman.inspect_name("0dd5").await.unwrap().is_none());
    let gone = scripted("echo '[]'; echo 'Error: no such container x' >&2; exit 125");
    assert!(gone.podman.inspect_name("x").await.unwrap().is_none());
}

#[tokio::test]
async fn a_name_that_reads_like_the_beginning_of_ids_is_looked_up_in_the_listing() {
    let it = scripted(
        "case \"$*\" in ps*) echo '[]';; \
         *) echo 'Error: more than one result for container name or ID db' >&2; exit 125;; esac",
    );
    assert!(it.podman.inspect_name("db").await.unwrap().is_none());
    assert_eq!(it.asked().len(), 2);
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_whole_is_a_failed_listing() {
    let capture = "${CAPTURE%/*}/ps-4.3.1.json";
    let whole = scripted(&format!("cat {capture}"));
    assert_eq!(whole.podman.list().await.unwrap().containers.len(), 4);
    for script in [
        format!("head -c 900 {capture}"),
        format!("cat {capture}; exit 125"),
        "exit 0".into(),
    ] {
        let answer = scripted(&script).podman.list().await;
        assert!(answer.is_err(), "{script}");
    }
}

#[tokio::test]
async fn an_answer_of_unbounded_length_is_refused() {
    let mut it = scripted("yes");
    it.podman.settings.answer_limit = 1 << 16;
    let error = it.podman.list().await.unwrap_err();
    assert_eq!(
        error.in_words(),
        "cannot list the containers of sh: its answer is not usable: it is longer than 65536 bytes"
    );
}

#[tokio::test]
async fn a_hanging_podman_is_a_time_out_that_names_the_call() {
    let mut it = scripted("sleep 1000000");
    it.podman.settings.deadlines.look = Duration::from_millis(50);
    let error = it.podman.inspect(&id(WEB)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::TimedOut { .. }));
    let expected = "cannot inspect 0dd5dad6ddf7: no answer within 0.05 s";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_look_and_a_stop_get_through_while_others_take_their_time() {
    let it = scripted(
        "case $1 in stop|pull) mkfifo $DIR/$$; mv $DIR/$$ $DIR/waits-$1-$$; cat $DIR/waits-$1-$$;; \
         *) echo '[]';; esac",
    );
    let web = id(WEB);
    let image: ImageRef = "docker.io/library/a:1".parse().unwrap();
    let grace = Duration::from_hours(1);
    let waiting = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(it.dir.path()).unwrap().flatten();
        let paths = entries.map(|entry| entry.path());
        paths
            .filter(|path| path.to_string_lossy().contains("waits-"))
            .collect()
    };
    let slow = async {
        tokio::join!(
            // Pulls first: they alone never hold every place that a stop could have.
            it.podman.pull(&image, grace),
            it.podman.pull(&image, grace),
            it.podman.pull(&image, grace),
            it.podman.stop(&web, grace),
            it.podman.stop(&web, grace),
        )
    };
    let look = async {
        while waiting().len() < LONG_SLOTS {
            tokio::task::yield_now().await;
        }
        assert!(it.podman.list().await.unwrap().containers.is_empty());
        assert_eq!(waiting().len(), LONG_SLOTS, "no more of them at once");
        let stops = waiting()
            .iter()
            .filter(|p| p.to_string_lossy().contains("-stop-"))
            .count();
        assert_eq!(
            stops,
            LONG_SLOTS - PULL_SLOTS,
            "a stop does not wait for pulls"
        );
    };
    tokio::select! {
        ended = slow => panic!("they wait: {ended:?}"),
        () = look => {}
    }
}

#[tokio::test]
async fn the_id_of_a_new_container_is_the_last_line() {
    let it = scripted(&format!("echo hello-web; echo {WEB}"));
    assert_eq!(it.podman.run(&request()).await.unwrap().as_str(), WEB);
    let silent = scripted("true").podman.run(&request()).await;
    assert!(matches!(silent, Err(RuntimeError::Output { .. })));
}

#[tokio::test]
async fn a_taken_name_and_a_missing_image_are_told_apart_from_other_failures() {
    let fail = |words: &str| scripted(&format!("echo 'Error: {words}' >&2; exit 125"));
    let taken = fail("the container name \"hello-web\" is already in use by 1");
    assert!(matches!(
        taken.podman.run(&request()).await,
        Err(RuntimeError::NameTaken { .. })
    ));
    let missing = fail("localhost/hello:1: image not known");
    assert!(matches!(
        missing.podman.run(&request()).await,
        Err(RuntimeError::ImageMissing { .. })
    ));
    let port = fail("listen tcp4 127.0.0.1:80: bind: address already in use");
    let error = port.podman.run(&request()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot run hello-web: listen tcp4 127.0.0.1:80: bind: address already in use"
    );
}

#[tokio::test]
async fn a_refused_mount_runs_nothing() {
    let it = scripted("true");
    let mut request = request();
    request.spec.volumes = ["/etc:/x".parse().unwrap()].into();
    let error = it.podman.run(&request).await.unwrap_err();
    assert!(
        error
            .in_words()
            .starts_with("cannot run hello-web: the mount of /etc is refused")
    );
    assert!(it.asked().is_empty());
}

#[tokio::test]
async fn a_local_image_is_not_pulled() {
    let it = scripted("exit 1");
    let limit = Duration::from_hours(1);
    let local: ImageRef = "localhost/a:1".parse().unwrap();
    it.podman.pull(&local, limit).await.unwrap();
    assert!(it.asked().is_empty());
    let remote: ImageRef = "docker.io/library/a:1".parse().unwrap();
    assert!(it.podman.pull(&remote, limit).await.is_err());
}

#[tokio::test]
async fn last_lines_come_from_both_streams_in_order() {
    let it = scripted("echo 1; echo 2 >&2; echo 3; echo 4 >&2");
    let lines = it.podman.last_lines(&id(WEB), 3).await.unwrap();
    assert_eq!(lines, ["2", "3", "4"]);
    let gone = scripted("echo 'Error: no container with name or ID \"x\" found' >&2; exit 125");
    assert!(matches!(
        gone.podman.last_lines(&id(WEB), 3).await,
        Err(RuntimeError::NotFound { .. })
    ));
}

#[tokio::test]
async fn the_version_is_podmans_own_word() {
    let it = scripted("echo podman version 4.3.1");
    assert_eq!(it.podman.version().await.unwrap(), "4.3.1");
    assert_eq!(it.asked(), ["--version"]);
}
