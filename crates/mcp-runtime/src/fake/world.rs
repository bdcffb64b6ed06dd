//! The containers of the fake and how they change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcp_model::spec::Restart;
use mcp_model::{Container, ContainerId, Exit, ImageRef, Instance, Labels, RuntimeState, Stamp};
use tokio::time::Instant;

use super::ports::HostPorts;
use crate::error::{Call, RuntimeError};
use crate::hints::Hint;
use crate::runtime::{Listing, RunRequest};

/// What the containers of an image do.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// They end by themselves after so long, with this code.
    pub ends: Option<(Duration, i32)>,
    /// They cannot be started; the runtime says why.
    pub fails_to_start: Option<String>,
    /// They ignore SIGTERM, and are killed after the grace.
    pub ignores_term: bool,
}

/// What follows from a change.
pub(super) enum Effect {
    Hint(Hint),
    Later { after: Duration, then: Then },
}

/// Something that happens later, unless the life that it belongs to is over by then.
pub(super) enum Then {
    End { life: Instance, code: i32 },
    Restart { life: Instance },
}

pub(super) struct Entry {
    pub(super) container: Container,
    pub(super) restart: Restart,
    pub(super) ports: Vec<HostPorts>,
    output: Vec<String>,
    hidden: bool,
    pub(super) last_pid: Option<u32>,
}

pub(super) struct World {
    agent: String,
    began: Instant,
    began_at: Stamp,
    pub(super) entries: BTreeMap<ContainerId, Entry>,
    phantoms: BTreeSet<String>,
    pullable: BTreeMap<String, Behaviour>,
    pub(super) present: BTreeMap<String, Behaviour>,
    next_id: u64,
    pub(super) next_pid: u32,
    pub(super) reused_pid: Option<u32>,
    pub(super) restart_delay: Duration,
    pub(super) runaways: Vec<ContainerId>,
    pub(super) effects: Vec<Effect>,
}

impl World {
    pub(super) fn new(now: Stamp, agent: &str) -> Self {
        Self {
            agent: agent.to_owned(),
            began: Instant::now(),
            began_at: now,
            entries: BTreeMap::new(),
            phantoms: BTreeSet::new(),
            pullable: BTreeMap::new(),
            present: BTreeMap::new(),
            next_id: 1,
            next_pid: 1000,
            reused_pid: None,
            restart_delay: Duration::from_millis(100),
            runaways: Vec::new(),
            effects: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Stamp {
        self.began_at.plus(self.began.elapsed())
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn listing(&self) -> Listing {
        let containers = self.entries.values().map(|e| e.container.clone());
        Listing {
            containers: containers.collect(),
        }
    }

    /// What a listing shows: whole seconds, and neither restart counts, memory nor its want.
    pub(super) fn visible_listing(&self) -> Listing {
        let seen = self.entries.values().filter(|entry| !entry.hidden);
        let containers = seen.map(|entry| {
            let mut row = entry.container.clone();
            row.instance.restart_count = None;
            row.instance.started_at = row.instance.started_at.map(Stamp::whole_seconds);
            row.finished_at = row.finished_at.map(Stamp::whole_seconds);
            row.exit = row.exit.map(|exit| Exit {
                out_of_memory: false,
                ..exit
            });
            row.memory_limit = None;
            row
        });
        Listing {
            containers: containers.collect(),
        }
    }

    pub(super) fn by_id(&self, id: &ContainerId) -> Option<&Container> {
        self.entries.get(id).map(|entry| &entry.container)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Container> {
        let mut all = self.entries.values().map(|entry| &entry.container);
        all.find(|container| container.name == name)
    }

    fn named(&mut self, name: &str) -> Option<&mut Entry> {
        let mut all = self.entries.values_mut();
        all.find(|entry| entry.container.name == name)
    }

    pub(super) fn is_phantom(&self, name: &str) -> bool {
        self.phantoms.contains(name)
    }

    pub(super) fn add_phantom(&mut self, name: &str) {
        self.phantoms.insert(name.to_owned());
    }

    pub(super) fn hide(&mut self, name: &str, hidden: bool) {
        if let Some(entry) = self.named(name) {
            entry.hidden = hidden;
        }
    }

    pub(super) fn write_line(&mut self, name: &str, line: &str) {
        if let Some(entry) = self.named(name) {
            entry.output.push(line.to_owned());
        }
    }

    pub(super) fn last_lines(
        &self,
        id: &ContainerId,
        lines: u32,
    ) -> Result<Vec<String>, RuntimeError> {
        let entry = self.entries.get(id);
        let output = &entry.ok_or_else(|| not_found(Call::Logs, id))?.output;
        Ok(output[output.len().saturating_sub(lines as usize)..].to_vec())
    }

    pub(super) fn add_image(&mut self, image: &ImageRef, behaviour: Behaviour) {
        let images = if image.is_local() || self.present.contains_key(image.as_str()) {
            &mut self.present
        } else {
            &mut self.pullable
        };
        images.insert(image.to_string(), behaviour);
    }

    pub(super) fn pull(&mut self, image: &ImageRef) -> Result<(), RuntimeError> {
        if let Some(behaviour) = self.pullable.get(image.as_str()) {
            self.present.insert(image.to_string(), behaviour.clone());
        }
        if self.present.contains_key(image.as_str()) {
            return Ok(());
        }
        Err(failed(Call::Pull, image.as_str(), "manifest unknown"))
    }

    pub(super) fn run(&mut self, request: &RunRequest) -> Result<ContainerId, RuntimeError> {
        let name = request.key.container_name().to_string();
        let spec = &request.spec;
        if !self.present.contains_key(spec.image.as_str()) {
            return Err(RuntimeError::ImageMissing {
                call: Call::Run,
                object: name,
                words: format!("{}: image not known", spec.image),
            });
        }
        if request.replace_phantom {
            // As podman's --replace: whoever holds the name, not phantoms alone.
            self.phantoms.remove(&name);
            self.remove_by_name(&name);
        }
        self.check_name(Call::Run, &name, &name)?;
        let id = self.make(name, spec.image.as_str());
        let entry = self.entries.get_mut(&id).expect("just made");
        entry.restart = spec.restart();
        entry.ports = spec.ports.iter().map(HostPorts::of).collect();
        entry.container.labels = Labels {
            agent: Some(self.agent.clone()),
            service: Some(request.key.service.to_string()),
            component: Some(request.key.component.to_string()),
            revision: Some(request.revision),
            operation: Some(request.operation.clone()),
        };
        // What cannot be started stays behind, made and holding its name.
        self.launch(Call::Run, &id, 0)?;
        Ok(id)
    }

    fn check_name(&self, call: Call, object: &str, name: &str) -> Result<(), RuntimeError> {
        if self.by_name(name).is_none() && !self.phantoms.contains(name) {
            return Ok(());
        }
        Err(RuntimeError::NameTaken {
            call,
            object: object.to_owned(),
            words: format!("the container name \"{name}\" is already in use"),
        })
    }

    fn make(&mut self, name: String, image: &str) -> ContainerId {
        let id: ContainerId = format!("{:064x}", self.next_id).parse().expect("hex");
        self.next_id += 1;
        let container = Container {
            instance: Instance {
                id: id.clone(),
                pid: None,
                started_at: None,
                restart_count: Some(0),
            },
            name,
            state: RuntimeState::Created,
            exit: None,
            finished_at: None,
            image: image.to_owned(),
            memory_limit: None,
            labels: Labels::default(),
        };
        let entry = Entry {
            container,
            restart: Restart::No,
            ports: Vec::new(),
            output: Vec::new(),
            hidden: false,
            last_pid: None,
        };
        self.entries.insert(id.clone(), entry);
        id
    }

    /// Removes a container, running or not; one that is gone already is no error.
    pub(super) fn remove(&mut self, id: &ContainerId) {
        match self.by_id(id) {
            Some(c) if c.state == RuntimeState::Stopping => self.runaways.push(id.clone()),
            Some(c) if c.instance.pid.is_some() => self.end(id, 137, false),
            _ => {}
        }
        if self.entries.remove(id).is_some() {
            self.effects.push(Effect::Hint(Hint::Changed));
        }
    }

    pub(super) fn remove_by_name(&mut self, name: &str) -> bool {
        let Some(id) = self.by_name(name).map(|c| c.instance.id.clone()) else {
            return false;
        };
        if self.running(name).is_some() {
            self.end(&id, 137, false);
        }
        self.entries.remove(&id);
        self.effects.push(Effect::Hint(Hint::Changed));
        true
    }

    pub(super) fn rename(&mut self, id: &ContainerId, name: &str) -> Result<(), RuntimeError> {
        if !self.entries.contains_key(id) {
            return Err(not_found(Call::Rename, id));
        }
        self.check_name(Call::Rename, id.short(), name)?;
        let entry = self.entries.get_mut(id).expect("looked up above");
        name.clone_into(&mut entry.container.name);
        self.effects.push(Effect::Hint(Hint::Changed));
        Ok(())
    }

    pub(super) fn add_foreign(&mut self, name: &str, image: &str) -> ContainerId {
        let id = self.make(name.to_owned(), image);
        self.launch(Call::Run, &id, 0)
            .expect("it publishes no ports");
        id
    }

    pub(super) fn reuse_pid_of(&mut self, name: &str) {
        self.reused_pid = self.named(name).and_then(|entry| entry.last_pid);
    }
}

pub(super) fn failed(call: Call, object: &str, words: &str) -> RuntimeError {
    RuntimeError::Failed {
        call,
        object: object.to_owned(),
        exit: Some(125),
        words: words.to_owned(),
    }
}

pub(super) fn not_found(call: Call, id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound {
        call,
        object: id.short().to_owned(),
        words: format!("no container with name or ID \"{id}\" found"),
    }
}
