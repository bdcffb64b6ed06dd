//! The CA certificate and the token of a node that came in a bundle: files of mode 0600 in
//! `nodes/<name>/` beside the configuration.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use mcp_config::cli::Node;
use mcp_identity::{Bundle, private_file, write_token_file};
use mcp_model::NodeName;

use crate::problem::Problem;

/// Where they are.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    pub(super) ca_cert: PathBuf,
    pub(super) token: PathBuf,
}

impl Files {
    /// Of the node `name`, beside the configuration file `config`.
    pub(super) fn of(config: &Path, name: &NodeName) -> Self {
        let dir = config
            .parent()
            .unwrap_or(Path::new("."))
            .join("nodes")
            .join(name.as_str());
        // The configuration must hold whatever directory the next command is called from.
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        Self {
            ca_cert: dir.join("ca.pem"),
            token: dir.join("token"),
            dir,
        }
    }
}

/// Writes them, replacing those of an earlier bundle.
pub(super) fn store(config: &Path, name: &NodeName, bundle: &Bundle) -> Result<()> {
    let files = Files::of(config, name);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&files.dir);
    made.map_err(|error| {
        Problem::new(format!("cannot make {}", files.dir.display())).because(error)
    })?;
    private_file::replace(&files.ca_cert, bundle.ca_cert_pem.as_bytes())?;
    write_token_file(&files.token, &bundle.token)?;
    Ok(())
}

/// Deletes what [`store`] wrote for `node`; a token that nobody needs only waits to be stolen.
/// Files that the operator put elsewhere are theirs. Returns whether anything was deleted.
pub(super) fn forget(config: &Path, node: &Node) -> Result<bool> {
    let files = Files::of(config, &node.name);
    let mut deleted = false;
    for (ours, used) in [
        (&files.token, &node.token_path),
        (&files.ca_cert, &node.ca_cert),
    ] {
        if used.as_ref() == Some(ours) {
            deleted |= delete(ours)?;
        }
    }
    // Still there where the operator keeps something else in it.
    let _ = fs::remove_dir(&files.dir);
    Ok(deleted)
}

fn delete(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Problem::new(format!("cannot delete {}", path.display()))
            .because(error)
            .into()),
    }
}
