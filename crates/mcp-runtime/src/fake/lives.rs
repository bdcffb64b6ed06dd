//! How the fake's containers live and die.

use mcp_model::{ContainerId, Exit, RuntimeState};

use super::world::{Effect, Entry, Then, World, failed, not_found};
use crate::error::{Call, RuntimeError};
use crate::hints::Hint;

impl World {
    /// Begins a life of a container, with this restart count.
    pub(super) fn launch(
        &mut self,
        call: Call,
        id: &ContainerId,
        restarts: u32,
    ) -> Result<(), RuntimeError> {
        let now = self.now();
        self.check_ports(call, id)?;
        let pid = self.reused_pid.take().unwrap_or(self.next_pid);
        self.next_pid += 1;
        let entry = self.entries.get_mut(id).expect("callers have looked");
        let behaviour = self.present.get(&entry.container.image);
        let behaviour = behaviour.cloned().unwrap_or_default();
        if let Some(words) = behaviour.fails_to_start {
            return Err(failed(call, &entry.container.name, &words));
        }
        entry.last_pid = Some(pid);
        let container = &mut entry.container;
        container.state = RuntimeState::Running;
        container.exit = None;
        container.finished_at = None;
        container.instance.pid = Some(pid);
        container.instance.started_at = Some(now);
        container.instance.restart_count = Some(restarts);
        if let Some((after, code)) = behaviour.ends {
            let life = container.instance.clone();
            let then = Then::End { life, code };
            self.effects.push(Effect::Later { after, then });
        }
        self.effects.push(Effect::Hint(Hint::Changed));
        Ok(())
    }

    fn check_ports(&self, call: Call, id: &ContainerId) -> Result<(), RuntimeError> {
        let entry = &self.entries[id];
        let running = |other: &&Entry| other.container.state == RuntimeState::Running;
        let taken = self.entries.values().filter(running).find_map(|other| {
            let pairs = entry.ports.iter();
            let mut pairs = pairs.flat_map(|a| other.ports.iter().map(move |b| (a, b)));
            pairs.find_map(|(a, b)| a.collision(b))
        });
        match taken {
            None => Ok(()),
            Some(port) => Err(failed(
                call,
                &entry.container.name,
                &format!("cannot listen on port {port}: bind: address already in use"),
            )),
        }
    }

    pub(super) fn start(&mut self, id: &ContainerId) -> Result<(), RuntimeError> {
        let container = self.by_id(id).ok_or_else(|| not_found(Call::Start, id))?;
        match container.state {
            RuntimeState::Running => Ok(()),
            RuntimeState::Initialized if container.instance.pid.is_some() => {
                let words = "cannot start an already running container";
                Err(failed(Call::Start, id.short(), words))
            }
            RuntimeState::Stopping | RuntimeState::Removing => {
                let words = "container must be in Created or Stopped state to be started";
                Err(failed(Call::Start, id.short(), words))
            }
            _ => self.launch(Call::Start, id, 0),
        }
    }

    pub(super) fn start_by_hand(&mut self, name: &str) -> bool {
        let Some(container) = self.by_name(name) else {
            return false;
        };
        let (id, was_running) = (
            container.instance.id.clone(),
            container.state == RuntimeState::Running,
        );
        !was_running && self.launch(Call::Start, &id, 0).is_ok()
    }

    /// Sends SIGTERM. Whether the container will sit out its grace.
    pub(super) fn ask_to_stop(&mut self, id: &ContainerId) -> Result<bool, RuntimeError> {
        let entry = self.entries.get_mut(id);
        let entry = entry.ok_or_else(|| not_found(Call::Stop, id))?;
        if entry.container.state == RuntimeState::Removing {
            let words = "container is running or paused, refusing to clean up";
            return Err(failed(Call::Stop, id.short(), words));
        }
        // Whatever its state is called: what was killed half way may have left another one.
        if entry.container.instance.pid.is_none() {
            return Ok(false);
        }
        let behaviour = self.present.get(&entry.container.image);
        let ignores = behaviour.is_some_and(|behaviour| behaviour.ignores_term);
        if ignores {
            entry.container.state = RuntimeState::Stopping;
        }
        Ok(ignores)
    }

    /// Ends what was asked to stop.
    pub(super) fn finish_stop(&mut self, id: &ContainerId, killed: bool) {
        if self.by_id(id).is_some_and(|c| c.instance.pid.is_some()) {
            self.end(id, if killed { 137 } else { 0 }, false);
        }
    }

    pub(super) fn crash(&mut self, name: &str, code: i32, out_of_memory: bool) -> bool {
        let Some(id) = self.running(name) else {
            return false;
        };
        self.end_by_itself(&id, code, out_of_memory);
        true
    }

    pub(super) fn kill(&mut self, name: &str, code: i32) -> bool {
        let Some(id) = self.running(name) else {
            return false;
        };
        self.end(&id, code, false);
        true
    }

    pub(super) fn running(&self, name: &str) -> Option<ContainerId> {
        let container = self.by_name(name)?;
        let lives = [RuntimeState::Running, RuntimeState::Stopping].contains(&container.state);
        lives.then(|| container.instance.id.clone())
    }

    fn end_by_itself(&mut self, id: &ContainerId, code: i32, out_of_memory: bool) {
        self.end(id, code, out_of_memory);
        let entry = &self.entries[id];
        let life = entry.container.instance.clone();
        if entry.restart.acts_after(Some(code), life.restart_count) {
            let then = Then::Restart { life };
            let after = self.restart_delay;
            self.effects.push(Effect::Later { after, then });
        }
    }

    pub(super) fn end(&mut self, id: &ContainerId, code: i32, out_of_memory: bool) {
        let now = self.now();
        let entry = self.entries.get_mut(id).expect("callers have looked");
        entry.container.state = RuntimeState::Exited;
        entry.container.exit = Some(Exit {
            code,
            out_of_memory,
        });
        entry.container.finished_at = Some(now);
        entry.container.instance.pid = None;
        // The pidfd first, the event log after it.
        let death = Hint::Container(id.clone());
        self.effects
            .extend([Effect::Hint(death), Effect::Hint(Hint::Changed)]);
    }

    /// Lets something happen that was due, if its life still is the container's.
    pub(super) fn happen(&mut self, then: &Then) {
        let (Then::End { life, .. } | Then::Restart { life }) = then;
        let Some(container) = self.by_id(&life.id) else {
            return;
        };
        let same = container.instance.is_same_life(life);
        match (then, &container.state) {
            (Then::End { code, .. }, RuntimeState::Running) if same => {
                self.end_by_itself(&life.id, *code, false);
            }
            (Then::Restart { .. }, RuntimeState::Exited) if same => {
                let restarts = life.restart_count.unwrap_or(0) + 1;
                // Who cannot be restarted stays as it is; podman tries once, too.
                let _ = self.launch(Call::Start, &life.id, restarts);
            }
            _ => {}
        }
    }
}
