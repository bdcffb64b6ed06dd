//! The runtime commands of a deploy, in order, as they could be run by hand (S20, S46).

use mcp_controller::View;
use mcp_model::{
    ComponentKey, ComponentRecord, ComponentSpec, ContainerId, Observed, ObservedState, OperationId,
};
use mcp_plan::diff::{REDACTED, is_secret};
use mcp_proto::v1;
use mcp_runtime::{Command, MountPolicy, PodmanArgs, RunRequest};
use tonic::Status;

/// What a preview is made from.
pub(super) struct Preview<'a> {
    pub(super) runtime: &'a PodmanArgs,
    pub(super) mounts: &'a MountPolicy,
    pub(super) operation: &'a OperationId,
    pub(super) view: &'a View,
}

impl Preview<'_> {
    /// What would be run for one component.
    pub(super) fn commands(
        &self,
        key: &ComponentKey,
        spec: &ComponentSpec,
        record: Option<&ComponentRecord>,
    ) -> Result<Vec<v1::RuntimeCommand>, Status> {
        let mounts = self
            .mounts
            .permit(&spec.volumes)
            .map_err(|why| Status::invalid_argument(format!("{key}: volumes: {why}")))?;
        let request = RunRequest {
            key: key.clone(),
            spec: spec.clone(),
            revision: revision(spec, record),
            operation: self.operation.clone(),
            replace_phantom: false,
        };
        // The agent's id is a random label; by hand any other word does.
        let run = self.runtime.run(&request, "by-hand", &mounts);
        let name = key.container_name();
        let old = self.old(key, record);

        let mut commands = Vec::new();
        if !spec.image.is_local() {
            commands.push(self.runtime.pull(&spec.image));
        }
        if let Some((id, runs)) = &old {
            if *runs {
                let grace = record.map_or(spec.stop_timeout(), |r| r.spec.stop_timeout());
                commands.push(self.runtime.stop(id, grace));
            }
            commands.push(self.runtime.rename(id, &name.set_aside(self.operation)));
        }
        commands.push(run);
        commands.push(self.runtime.inspect_name(name.as_str()));
        commands.extend(old.iter().map(|(id, _)| self.runtime.remove(id)));
        Ok(commands.iter().map(shown).collect())
    }

    /// The container that would be replaced, and whether it runs.
    fn old(
        &self,
        key: &ComponentKey,
        record: Option<&ComponentRecord>,
    ) -> Option<(ContainerId, bool)> {
        match self.view.components.get(key).map(|status| &status.observed) {
            Some(Observed::Removed) => None,
            Some(Observed::Present {
                state, container, ..
            }) => Some((
                container.instance.id.clone(),
                *state == ObservedState::Running,
            )),
            Some(Observed::Unknown { .. }) | None => {
                let record = record.filter(|record| record.observed != ObservedState::Removed)?;
                Some((
                    record.container.clone()?,
                    record.observed == ObservedState::Running,
                ))
            }
        }
    }
}

fn revision(spec: &ComponentSpec, record: Option<&ComponentRecord>) -> u64 {
    match record {
        None => 1,
        Some(record) => record.revision + u64::from(record.spec != *spec),
    }
}

fn shown(command: &Command) -> v1::RuntimeCommand {
    // What follows `--` is the container's own and not looked into.
    let mut flags = true;
    let args = command.args.iter().map(|arg| {
        flags &= arg != "--";
        let env = if flags {
            arg.strip_prefix("--env=")
        } else {
            None
        };
        match env.and_then(|env| env.split_once('=')) {
            Some((name, _)) if is_secret(name) => format!("--env={name}={REDACTED}"),
            _ => arg.clone(),
        }
    });
    let env = command.env.iter().map(|(name, value)| {
        let value = if is_secret(name) { REDACTED } else { value };
        format!("{name}={value}")
    });
    v1::RuntimeCommand {
        argv: std::iter::once(command.program.clone())
            .chain(args)
            .collect(),
        env: env.collect(),
    }
}
