//! Requests as argument vectors. Pure.
//!
//! Every value stands behind `--flag=` or after `--`, so that none can be read as a flag, whatever
//! it says (`podman rm -f -a` removes every container). What follows the image belongs to the
//! container and is podman's no more.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_model::{ContainerId, ImageRef, Labels};

use crate::mount::MountArg;
use crate::runtime::RunRequest;

/// How podman is called on this node (S46).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodmanArgs {
    /// The program: a name to be found in `PATH`, or a path.
    pub program: String,
    /// Arguments before the subcommand, as the operator configured them.
    pub global_args: Vec<String>,
    /// Environment on top of what every child gets (`process::INHERITED`).
    pub env: BTreeMap<String, String>,
}

impl Default for PodmanArgs {
    fn default() -> Self {
        Self {
            program: "podman".to_owned(),
            global_args: Vec::new(),
            env: BTreeMap::new(),
        }
    }
}

/// One program to run, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment on top of what every child gets.
    pub env: BTreeMap<String, String>,
}

/// A duration as whole seconds, rounded up: a grace is never cut short.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl PodmanArgs {
    fn command(&self, fixed: &[&str], rest: impl IntoIterator<Item = String>) -> Command {
        let mut args = self.global_args.clone();
        args.extend(fixed.iter().map(|&word| word.to_owned()));
        args.extend(rest);
        Command {
            program: self.program.clone(),
            args,
            env: self.env.clone(),
        }
    }

    /// The version of the program.
    pub fn version(&self) -> Command {
        self.command(&["--version"], [])
    }

    /// The runtime's settings, as JSON.
    pub fn info(&self) -> Command {
        self.command(&["info", "--format=json"], [])
    }

    /// Every container, as JSON, in one call.
    pub fn list(&self) -> Command {
        self.command(&["ps", "-a", "--no-trunc", "--format=json"], [])
    }

    /// Full descriptions of some containers, as JSON.
    pub fn inspect<'a>(&self, ids: impl IntoIterator<Item = &'a ContainerId>) -> Command {
        let ids = ids.into_iter().map(ToString::to_string);
        self.command(&["container", "inspect", "--"], ids)
    }

    /// The full description of the holder of a name, as JSON. podman takes a prefix of an id for
    /// a name, too: compare the name in the answer.
    pub fn inspect_name(&self, name: &str) -> Command {
        self.command(&["container", "inspect", "--"], [name.to_owned()])
    }

    /// The containers whose name matches, storage-only ones too, as JSON. The filter is a regular
    /// expression that podman may loosen: compare the names in the answer.
    pub fn list_name(&self, name: &str) -> Command {
        let filter = format!("--filter=name=^{}$", escape_regex(name));
        self.command(
            &["ps", "-a", "--external", "--no-trunc", "--format=json"],
            [filter],
        )
    }

    /// Fetches an image.
    pub fn pull(&self, image: &ImageRef) -> Command {
        self.command(&["pull", "-q", "--"], [image.to_string()])
    }

    /// Makes and starts a container for `agent` with the mounts that the policy allowed.
    ///
    /// `--pull=never`, because the image was fetched before anything was taken down (S16): what
    /// starts is what was fetched.
    pub fn run(&self, request: &RunRequest, agent: &str, mounts: &[MountArg]) -> Command {
        let spec = request.spec.effective();
        let mut args = vec![format!("--name={}", request.key.container_name())];
        args.extend(labels(request, agent));
        args.push(format!("--network={}", spec.network));
        if !spec.user.is_empty() {
            args.push(format!("--user={}", spec.user));
        }
        args.push(format!("--restart={}", spec.restart));
        args.extend(spec.ports.iter().map(|port| format!("--publish={port}")));
        args.extend(mounts.iter().map(|m| format!("--volume={}", m.as_str())));
        args.extend(spec.env.iter().map(|(k, v)| format!("--env={k}={v}")));
        let grace = whole_seconds(request.spec.stop_timeout());
        args.push(format!("--stop-timeout={grace}"));
        args.push("--pull=never".to_owned());
        if request.replace_phantom {
            args.push("--replace".to_owned());
        }
        args.push("--".to_owned());
        args.push(spec.image.to_string());
        args.extend(spec.cmd.iter().cloned());
        self.command(&["run", "-d"], args)
    }

    /// Starts a container.
    pub fn start(&self, id: &ContainerId) -> Command {
        self.command(&["start", "--"], [id.to_string()])
    }

    /// Stops a container.
    pub fn stop(&self, id: &ContainerId, grace: Duration) -> Command {
        let time = format!("--time={}", whole_seconds(grace));
        self.command(&["stop"], [time, "--".to_owned(), id.to_string()])
    }

    /// Removes a container, by id. By force: it was stopped before, and if its restart policy brought
    /// it back meanwhile it must not live on beside what replaced it.
    pub fn remove(&self, id: &ContainerId) -> Command {
        self.command(&["rm", "--force", "--"], [id.to_string()])
    }

    /// Renames a container.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Command {
        self.command(&["rename", "--"], [id.to_string(), name.to_owned()])
    }

    /// The last lines of a container's output.
    pub fn logs(&self, id: &ContainerId, lines: u32) -> Command {
        let tail = format!("--tail={lines}");
        self.command(&["logs"], [tail, "--".to_owned(), id.to_string()])
    }

    /// Follows events as lines of JSON, from now on.
    pub fn events(&self) -> Command {
        self.command(&["events", "--format=json", "--stream=true"], [])
    }
}

fn labels(request: &RunRequest, agent: &str) -> impl Iterator<Item = String> {
    let values = [
        agent.to_owned(),
        request.key.service.to_string(),
        request.key.component.to_string(),
        request.revision.to_string(),
        request.operation.to_string(),
    ];
    Labels::NAMES
        .into_iter()
        .zip(values)
        .map(|(name, value)| format!("--label={name}={value}"))
}

fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
#[path = "argv_tests.rs"]
mod tests;
