//! An OCI runtime that stops where a test wants podman to be killed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::{Podman, until};

/// Stands before the OCI runtime of the containers that are made from now on, and passes every call
/// on but the one that it is to hang at. It hangs as part of the podman that called it, and is killed
/// with it.
#[derive(Debug)]
pub struct HeldRuntime {
    hold: PathBuf,
    reached: PathBuf,
}

/// Before or after a call reaches the OCI runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It has not been done.
    Before,
    /// It has been done, and podman has not heard of it.
    After,
}

impl HeldRuntime {
    /// Puts it before the OCI runtime that this podman would use.
    #[track_caller]
    pub fn of(podman: &Podman) -> Self {
        let real = podman.run(&["info", "--format={{.Host.OCIRuntime.Path}}"]);
        let path = podman.dir().join("held-runtime");
        let (hold, reached) = (podman.dir().join("hold"), podman.dir().join("reached"));
        let script = format!(
            "#!/bin/sh\n\
             for word; do case $word in start | kill) break ;; *) word= ;; esac; done\n\
             [ -n \"$word\" ] && read -r side verb id 2>/dev/null <'{hold}' &&\n\
             [ \"$verb\" = \"$word\" ] && case \" $* \" in *\" $id\"*) ;; *) side= ;; esac || side=\n\
             hang() {{ rm '{hold}'; touch '{reached}'; exec sleep 1000000; }}\n\
             [ \"$side\" != before ] || hang\n\
             [ \"$side\" = after ] || exec '{real}' \"$@\"\n\
             '{real}' \"$@\" && hang\n",
            hold = hold.display(),
            reached = reached.display(),
        );
        fs::write(&path, script).expect("a folder of ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        podman.use_runtime(&path);
        Self { hold, reached }
    }

    /// Hangs at the next call of this kind on a container whose id begins like this.
    pub fn hold(&self, side: Side, verb: &str, id: &str) {
        let side = match side {
            Side::Before => "before",
            Side::After => "after",
        };
        let _ = fs::remove_file(&self.reached);
        let part = self.hold.with_extension("part");
        fs::write(&part, format!("{side} {verb} {id}\n")).expect("a folder of ours");
        fs::rename(part, &self.hold).expect("a folder of ours");
    }

    /// Until it hangs.
    #[track_caller]
    pub fn wait(&self) {
        until("the OCI runtime hangs", || {
            self.reached.exists().then_some(())
        });
    }
}

impl Podman {
    /// Until every container that has a process is one that podman knows.
    #[track_caller]
    pub fn until_no_runaways(&self) {
        until("no process outlives its container", || {
            let ids = self.run(&["ps", "--all", "--quiet", "--no-trunc"]);
            let known: BTreeSet<&str> = ids.lines().collect();
            let monitored = self.monitored();
            monitored
                .iter()
                .all(|id| known.contains(id.as_str()))
                .then_some(())
        });
    }

    /// Ids of containers whose monitor runs.
    fn monitored(&self) -> Vec<String> {
        let ours = self.dir().join("r").display().to_string();
        let processes = fs::read_dir("/proc").expect("there are processes");
        let of = |process: fs::DirEntry| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let words: Vec<&str> = line.split('\0').collect();
            let is_one = words.first()?.ends_with("conmon") && line.contains(&ours);
            let id = words.iter().position(|word| *word == "-c")? + 1;
            is_one.then(|| words[id].to_owned())
        };
        processes.flatten().filter_map(of).collect()
    }
}
