//! What this node allows, whatever the grammar does: whose directory a service gets and what its
//! containers may mount.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use mcp_config::agent::AgentConfig;
use mcp_identity::issue::CertPaths;
use mcp_model::{ComponentName, ServiceName, ServiceSpec};
use mcp_runtime::MountPolicy;
use tonic::Status;

/// The node's policy, from its configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    service_root: PathBuf,
    own: Vec<PathBuf>,
    /// What may be mounted.
    pub mounts: MountPolicy,
}

/// What lies beside the files that the configuration names, and no configuration names itself.
fn companions(config: &AgentConfig) -> impl Iterator<Item = PathBuf> {
    let database = &config.database.path;
    // As SQLite names them, and the agent its lock.
    let beside_database =
        ["-wal", "-shm", "-journal", ".lock"].map(|suffix| beside(database, suffix));
    let beside_key = config.server.tls_key.parent().map(CertPaths::within);
    let authority = beside_key.map(|paths| [paths.ca_cert, paths.ca_key]);
    beside_database
        .into_iter()
        .chain(authority.into_iter().flatten())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

impl Policy {
    /// The policy that a configuration says.
    pub fn of(config: &AgentConfig) -> Self {
        let service_root = config.agent.service_root.clone();
        let files = [
            &config.server.tls_cert,
            &config.server.tls_key,
            &config.database.path,
        ];
        // The whole directory of such a file is the agent's, unless services live in it.
        let dirs = files
            .into_iter()
            .filter_map(|file| file.parent())
            .filter(|dir| !service_root.starts_with(dir))
            .map(Path::to_owned);
        let named = config.own_paths().map(Path::to_owned);
        let own: Vec<PathBuf> = named.chain(companions(config)).chain(dirs).collect();
        let mounts = MountPolicy {
            prefixes: config.agent.volume_prefixes.clone(),
            denied: own.clone(),
            // The copies that the registry makes before it migrates, one per version.
            denied_beginnings: vec![beside(&config.database.path, ".v")],
        };
        Self {
            service_root,
            own,
            mounts,
        }
    }

    /// Refuses a service that this node must not run; of its components only `only`, where that
    /// is the one meant.
    pub(super) fn admit(
        &self,
        service: &ServiceSpec,
        only: Option<&ComponentName>,
    ) -> Result<(), Status> {
        self.admit_name(&service.name)?;
        let meant = |name: &ComponentName| only.is_none_or(|only| only == name);
        for (name, spec) in service.components.iter().filter(|(name, _)| meant(name)) {
            self.mounts.permit(&spec.volumes).map_err(|why| {
                Status::invalid_argument(format!("{}/{name}: volumes: {why}", service.name))
            })?;
        }
        Ok(())
    }

    /// Refuses a service whose directory would hold the agent's own files (S1).
    fn admit_name(&self, service: &ServiceName) -> Result<(), Status> {
        let root = self.root_of(service);
        match self.own.iter().find(|own| own.starts_with(&root)) {
            None => Ok(()),
            Some(own) => Err(Status::invalid_argument(format!(
                "name: a service called {service} would have the directory {}, which holds the agent's own {}",
                root.display(),
                own.display()
            ))),
        }
    }

    /// A service's directory.
    pub(super) fn root_of(&self, service: &ServiceName) -> PathBuf {
        self.service_root.join(service.as_str())
    }

    /// Makes a service's directory, 0750, where it is not there (S48). Says why where it cannot.
    pub(super) fn make_root(&self, service: &ServiceName) -> Result<(), String> {
        let root = self.root_of(service);
        match std::fs::DirBuilder::new().mode(0o750).create(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(format!(
                "cannot make the service's directory {}: {error}",
                root.display()
            )),
            _ if !root.is_dir() => Err(format!("{} is not a directory", root.display())),
            _ => Ok(()),
        }
    }
}
