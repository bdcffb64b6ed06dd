//! The corpora as plain tests: what a fuzzer has found stays found.

use std::fs;
use std::path::{Path, PathBuf};

use mcp_fuzz::{TARGETS, Target};
use proptest::prelude::*;

fn corpus(target: &Target) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn check(target: &Target, input: &[u8], what: &dyn std::fmt::Display) {
    let checked = std::panic::catch_unwind(|| (target.check)(input));
    assert!(checked.is_ok(), "{}: {what}", target.name);
}

#[test]
fn whatever_the_corpora_hold_is_answered_as_promised() {
    for target in &TARGETS {
        let files = corpus(target);
        assert!(
            files.len() >= 3,
            "{} has nothing to begin with",
            target.name
        );
        for file in files {
            check(target, &fs::read(&file).unwrap(), &file.display());
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target_and_is_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let target = mcp_fuzz::target(&name).unwrap_or_else(|| panic!("no target for {name}"));
        let size: u64 = corpus(target)
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum();
        assert!(size <= 64 * 1024, "{name} has {size} bytes");
    }
}

/// What a fuzzer would begin with: every input of the corpora, cut, doubled and spoiled.
fn spoiled() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let inputs = |index: usize| {
        let files = corpus(&TARGETS[index]);
        let texts: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        (Just(index), proptest::sample::select(texts))
    };
    let places = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4);
    let end = any::<proptest::sample::Index>();
    ((0..TARGETS.len()).prop_flat_map(inputs), places, end).prop_map(
        |((index, mut input), places, end)| {
            for (place, byte) in places {
                if !input.is_empty() {
                    let at = place.index(input.len());
                    input[at] = byte;
                }
            }
            if end.index(2) == 0 && !input.is_empty() {
                input.truncate(end.index(input.len()));
            }
            (index, input)
        },
    )
}

proptest! {
    #[test]
    fn spoiled_inputs_are_answered_as_promised((index, input) in spoiled()) {
        (TARGETS[index].check)(&input);
    }

    #[test]
    fn any_bytes_are_answered_as_promised(input in any::<Vec<u8>>()) {
        for target in &TARGETS {
            (target.check)(&input);
        }
    }
}
