//! The binary on a terminal of its own.

use std::fs::File;
use std::process::{Child, Command};

use rustix::pty::OpenptFlags;

use crate::world::World;

/// Both ends of a terminal.
fn open() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
    let mut options = File::options();
    options.read(true).write(true);
    let theirs = options.open(name.to_str().unwrap()).unwrap();
    (File::from(ours), theirs)
}

/// Runs the binary in a new session, whose terminal is ours to read and to type on. Reading fails
/// once the binary is gone: nobody else has the other end.
pub(crate) fn run(world: &World, args: &[&str]) -> (Child, File) {
    run_on(world, args, |_| {})
}

/// The same on a terminal that was prepared.
pub(crate) fn run_on(world: &World, args: &[&str], prepare: impl FnOnce(&File)) -> (Child, File) {
    let (ours, theirs) = open();
    prepare(&ours);
    let child = Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_mcp")])
        .args(args)
        .env_clear()
        .env("HOME", world.home())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TERM", "xterm-256color")
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .spawn()
        .unwrap();
    (child, ours)
}
