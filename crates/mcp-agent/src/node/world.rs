//! What an agent works on: a container runtime and what hints at changes in it.

use std::sync::Arc;
use std::time::Duration;

use mcp_config::agent::AgentConfig;
use mcp_runtime::hints::{EventSource, HintHandles, HintReceiver, HintSources, Hints, channel};
use mcp_runtime::{
    Children, ContainerRuntime, Deadlines, MountPolicy, Podman, PodmanArgs, Settings,
};
use tracing::{info, warn};

/// How long the runtime is asked for its sources of hints before the agent starts without.
const DETECT: Duration = Duration::from_secs(5);

/// Hints that wait to be carried on; more become one.
const HINTS: usize = 1024;

/// A runtime and its hints.
pub struct World {
    /// Runs containers.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// How commands look that do the same by hand.
    pub podman: PodmanArgs,
    /// Hints at changes.
    pub hints: HintFeed,
}

/// Where hints come from.
pub struct HintFeed {
    /// The hints.
    pub receiver: HintReceiver,
    /// What watches processes and tells how the sources fare.
    pub handles: Option<HintHandles>,
    /// The sources themselves, which the agent runs.
    pub sources: Option<Hints>,
}

/// How the runtime is called, from the configuration (S46).
pub fn podman_args(config: &AgentConfig) -> PodmanArgs {
    PodmanArgs {
        program: config.agent.container_runtime.clone(),
        global_args: config.runtime.args.clone(),
        env: config.runtime.env.clone(),
    }
}

impl World {
    /// The configured runtime, labelling what it makes with the agent's instance id. What its calls
    /// may change is on record with `children`.
    pub async fn podman(
        config: &AgentConfig,
        instance: String,
        mounts: MountPolicy,
        children: Children,
    ) -> Self {
        let args = podman_args(config);
        let podman = Podman::new(Settings {
            deadlines: Deadlines::of_look(config.runtime.timeout),
            children: Some(children),
            ..Settings::new(args.clone(), instance, mounts)
        });
        let sources = detect(&podman).await;
        let directories: Vec<_> = sources
            .directories
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let events = match sources.events {
            EventSource::File => "file",
            EventSource::Follower => "podman-events",
            EventSource::None => "none",
        };
        info!(
            events,
            directories = directories.join(" "),
            "sources of hints"
        );
        let (sender, receiver) = channel(HINTS);
        let (hints, handles) = Hints::new(args.clone(), sources, sender);
        let hints = HintFeed {
            receiver,
            handles: Some(handles),
            sources: Some(hints),
        };
        Self {
            runtime: Arc::new(podman),
            podman: args,
            hints,
        }
    }
}

/// A runtime that does not answer does not keep the agent from starting: its state is unknown
/// then, and says so.
async fn detect(podman: &Podman) -> HintSources {
    let why = match tokio::time::timeout(DETECT, HintSources::detect(podman)).await {
        Ok(Ok(sources)) => return sources,
        Ok(Err(error)) => error.in_words(),
        Err(_) => "no answer in time".to_owned(),
    };
    warn!(error = %why, "cannot ask the runtime where its events go; following them by command");
    HintSources {
        directories: Vec::new(),
        events: EventSource::Follower,
    }
}
