//! The node's own socket (S40, S41): break-glass, and how offline commands reach a running agent.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::FrontError;
use super::connection::{Connection, Peer};
use super::guests::Guests;
use super::shortage::recover;

/// The listener of the node's front door.
#[derive(Debug)]
pub struct UnixFront {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixFront {
    /// The socket's path within a run directory.
    pub fn path_in(run_dir: &Path) -> PathBuf {
        run_dir.join("agent.sock")
    }

    /// Listens in `run_dir`, which becomes 0700. The caller holds the agent's lock, so a socket
    /// that is there is a dead agent's.
    pub fn bind(run_dir: &Path) -> Result<Self, FrontError> {
        private_dir(run_dir)?;
        let path = Self::path_in(run_dir);
        let failed = |source| FrontError::Listen {
            address: path.display().to_string(),
            source,
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Accepts until `stop` is cancelled, then removes the socket and sees those who are there out.
    pub async fn accept(
        self,
        guests: Arc<Guests>,
        ready: mpsc::Sender<Connection<UnixStream>>,
        stop: CancellationToken,
    ) {
        loop {
            let connection = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                connection = self.next(&guests) => connection,
            };
            if let Some(connection) = connection {
                let _ = ready.send(connection).await;
            }
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(%error, "cannot remove the socket");
        }
        drop((self.listener, ready));
        guests.leave().await;
    }

    async fn next(&self, guests: &Arc<Guests>) -> Option<Connection<UnixStream>> {
        let stream = match self.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                recover(guests, &self.listener, "node", &error).await;
                return None;
            }
        };
        match stream.peer_cred() {
            Ok(who) => {
                let peer = Peer::Local {
                    uid: who.uid(),
                    pid: who.pid(),
                };
                Some(Connection::new(stream, guests.receive(peer).await?))
            }
            Err(error) => {
                debug!(%error, "cannot tell who connected locally");
                None
            }
        }
    }
}

/// Makes `path` a directory that only this user can enter.
pub(crate) fn private_dir(path: &Path) -> Result<(), FrontError> {
    let failed = |source| FrontError::RunDir {
        path: path.display().to_string(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let meta = std::fs::symlink_metadata(path).map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != own {
        return Err(FrontError::Foreign {
            path: path.display().to_string(),
            owner: meta.uid(),
        });
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_that_is_a_link_is_refused_and_what_it_leads_to_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (there, link) = (dir.path().join("there"), dir.path().join("link"));
        std::fs::create_dir(&there).unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&there, &link).unwrap();
        assert!(matches!(
            UnixFront::bind(&link),
            Err(FrontError::Foreign { .. })
        ));
        assert_eq!(std::fs::metadata(&there).unwrap().mode() & 0o777, 0o755);
    }
}
