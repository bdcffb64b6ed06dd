//! A registry of container images on loopback.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Daemon, Podman, free_port, repository};

/// A real registry, empty at first, that forgets everything when it is dropped.
#[derive(Debug)]
pub struct ImageRegistry {
    _process: Daemon,
    address: String,
    _dir: TempDir,
}

impl ImageRegistry {
    /// Starts one and waits until it answers.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let address = format!("127.0.0.1:{}", free_port());
        let storage = dir.path().join("images");
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            storage.display()
        );
        let file = dir.path().join("config.yml");
        fs::write(&file, config).expect("the folder is writable");

        let mut serve = Command::new(program());
        serve.arg("serve").arg(&file);
        let mut process = Daemon::start(&mut serve, &dir.path().join("log"));
        process.wait_until("the registry answers", || TcpStream::connect(&address).ok());
        Self {
            _process: process,
            address,
            _dir: dir,
        }
    }

    /// Its `host:port`, the first part of its images' names.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts a local image of `podman` here as `name` (`hello:v1`), and forgets the copy; the full
    /// name to pull it by.
    #[track_caller]
    pub fn push(&self, podman: &Podman, image: &str, name: &str) -> String {
        let full = format!("{}/{name}", self.address);
        podman.run(&["push", "--quiet", "--tls-verify=false", image, &full]);
        full
    }
}

fn program() -> PathBuf {
    let own = repository().join(".tools/bin/docker-registry");
    if own.exists() {
        own
    } else {
        "docker-registry".into()
    }
}
