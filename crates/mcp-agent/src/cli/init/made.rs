//! What this run made, so that a run that fails leaves nothing behind.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::lock::Lock;

/// Paths in the order in which they were made. Dropped, it takes them away again.
#[derive(Debug, Default)]
pub(super) struct Made {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
    byproducts: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory of mode 0700 and its missing parents; leaves one that is there alone.
    pub(super) fn dir(&mut self, path: &Path) -> anyhow::Result<()> {
        self.dir_of(path, 0o700)
    }

    /// As [`Self::dir`], for what others must be able to walk through.
    pub(super) fn shared_dir(&mut self, path: &Path) -> anyhow::Result<()> {
        self.dir_of(path, 0o755)
    }

    fn dir_of(&mut self, path: &Path, mode: u32) -> anyhow::Result<()> {
        let missing: Vec<_> = path.ancestors().take_while(|p| !p.exists()).collect();
        for path in missing.into_iter().rev() {
            std::fs::DirBuilder::new()
                .mode(mode)
                .create(path)
                .with_context(|| format!("cannot make the directory {}", path.display()))?;
            self.dirs.push(path.to_owned());
        }
        Ok(())
    }

    /// Says that a file is being made that was not there before.
    pub(super) fn file(&mut self, path: &Path) {
        self.files.push(path.to_owned());
    }

    /// Says that a database is being made.
    pub(super) fn database(&mut self, path: &Path) {
        self.file(path);
        for suffix in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            self.byproducts.push(name.into());
        }
        self.byproducts.push(Lock::path_beside(path));
    }

    /// Everything went well; what was made stays.
    pub(super) fn keep(mut self) -> Vec<PathBuf> {
        self.dirs.clear();
        self.byproducts.clear();
        std::mem::take(&mut self.files)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // As far as possible: the error that led here is the one to tell.
        for path in self.files.iter().chain(&self.byproducts) {
            let _ = std::fs::remove_file(path);
        }
        for path in self.dirs.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}
