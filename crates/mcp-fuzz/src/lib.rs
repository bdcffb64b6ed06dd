//! What must hold whatever comes in.
//!
//! A [`Target`] is a function that takes any bytes and panics where a promise about them is
//! broken: not only where the code under it panics, but where what it accepted is not what the
//! grammar allows, does not come back the same, or shows a control character. Three callers share
//! the targets: the fuzzer (`make fuzz`), the tests that replay `corpus/<target>/` and every
//! finding in it, and the property tests.
//!
//! ```text
//! corpus/<target>/* ──┬──► tests/corpus.rs (cargo test)
//!                     └──► libFuzzer (scripts/fuzz.sh) ──finding──► corpus/<target>/
//! ```

mod argv;
mod config;
mod definition;
mod flags;
mod grammar;
mod header;
mod request;
mod runtime;
mod terminal;

/// One kind of input, and what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called: the name of its corpus directory.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
}

const fn of(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    of("definition", definition::check),
    of("agent-config", config::check_agent),
    of("cli-config", config::check_cli),
    of("listing", runtime::check_listing),
    of("inspection", runtime::check_inspection),
    of("event", runtime::check_event),
    of("authorization", header::check),
    of("argv", argv::check),
    of("request", request::check),
    of("terminal", terminal::check),
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
