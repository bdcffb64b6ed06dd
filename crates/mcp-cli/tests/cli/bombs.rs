//! Files that would take memory or a stack if they were read before they were measured.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::World;

/// What a child may allocate, in KiB. It is the kernel that holds it to that, so that there is
/// nothing to sample: who needs more is not there any more to say what is wrong.
const MOST: u32 = 192 * 1024;

/// Files that are refused, by what they hold, and a word of what is said of each.
fn bombs(dir: &Path) -> Vec<(std::path::PathBuf, &'static str)> {
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let endless = dir.join("endless");
    symlink("/dev/zero", &endless).unwrap();
    vec![
        (
            write("large", format!("a = [{}]", "[],".repeat(20_000_000))),
            "too large",
        ),
        (endless, "too large"),
        (write("brackets", "[".repeat(20_000)), ":1:"),
        (
            write("lists", format!("a = {}", "[".repeat(1_000_000))),
            ":1:",
        ),
        (
            write("tables", format!("a = {}", "{a=".repeat(300_000))),
            ":1:",
        ),
        (
            write("dots", format!("{}a = 1", "a.".repeat(500_000))),
            ":1:",
        ),
        (
            write("dense", format!("a = [{}]", "[],".repeat(340_000))),
            "unknown",
        ),
    ]
}

/// Runs the binary within [`MOST`]; its exit code and what it says.
fn run(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -d \"$1\" && shift && exec \"$@\"", "sh"])
        .args([&MOST.to_string(), env!("CARGO_BIN_EXE_mcp")])
        .args(args)
        .env_clear()
        .env("HOME", world.home())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn a_file_that_would_blow_up_is_refused_within_a_bound_of_memory() {
    let world = World::new();
    world.configure("rift", 1, "token", Path::new("/none"), "");
    let folder = world.folder("bombs");
    for (bomb, word) in bombs(&folder) {
        let path = bomb.to_str().unwrap();
        let asked: [&[&str]; 2] = [
            &["deploy", "hello", "--file", path],
            &["--config", path, "list"],
        ];
        for args in asked {
            let (code, said) = run(&world, args);
            assert!(
                matches!(code, Some(1 | 2)),
                "{args:?} ended with {code:?}: {said:.600}"
            );
            assert!(said.contains(word), "{args:?}: {said:.600}");
            assert!(said.len() < 16 * 1024, "{args:?} says {} bytes", said.len());
        }
    }
}

#[test]
fn one_bomb_among_the_definitions_refuses_the_sync_and_is_named() {
    let world = World::new();
    world.configure("rift", 1, "token", Path::new("/none"), "");
    world.define("good", "rift");
    world.define_text("bomb", &format!("a = [{}]", "[],".repeat(20_000_000)));
    let (code, said) = run(&world, &["sync"]);
    assert_eq!(code, Some(1), "{said:.600}");
    assert!(
        said.contains("bomb.toml") && said.contains("too large"),
        "{said:.600}"
    );
}
