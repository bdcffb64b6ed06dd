//! The calls of [`ContainerRuntime`], one by one.

use std::time::Duration;

use async_trait::async_trait;
use mcp_model::{Container, ContainerId, ImageRef};

use super::{About, LOG_LIMIT, Podman, check};
use crate::error::{Call, RuntimeError};
use crate::parse::{self, ParseError};
use crate::process::{self, Limits};
use crate::runtime::{ContainerRuntime, Listing, RunRequest};
use crate::words;

#[async_trait]
impl ContainerRuntime for Podman {
    async fn version(&self) -> Result<String, RuntimeError> {
        let about = self.itself(Call::Version);
        let finished = self.look(about, &self.args().version()).await?;
        let said = String::from_utf8_lossy(&finished.stdout);
        let version = said.split_whitespace().next_back();
        version
            .map(|version| mcp_model::text::escape(version).into_owned())
            .ok_or_else(|| about.unreadable(ParseError::Unexpected("it is empty".to_owned())))
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        let about = self.itself(Call::List);
        let finished = self.look(about, &self.args().list()).await?;
        let containers = parse::listing(&finished.stdout).map_err(|e| about.unreadable(e))?;
        Ok(Listing { containers })
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError> {
        self.looks
            .ask(id, || self.slot(), |ids| self.inspect_batch(ids))
            .await
    }

    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeError> {
        let about = About {
            call: Call::InspectName,
            object: name,
        };
        match self.look(about, &self.args().inspect_name(name)).await {
            Ok(finished) => {
                let found = parse::inspection(&finished.stdout).map_err(|e| about.unreadable(e))?;
                // An exact name wins over a prefix of an id: another name means nobody holds it.
                Ok(found.into_iter().find(|container| container.name == name))
            }
            Err(RuntimeError::NotFound { .. }) => Ok(None),
            Err(RuntimeError::Failed { words, .. }) if words.contains("more than one result") => {
                self.find_name(name).await
            }
            Err(error) if words::is_half_removed(&error) => self.find_name(name).await,
            Err(error) => Err(error),
        }
    }

    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeError> {
        let about = About {
            call: Call::Phantom,
            object: name,
        };
        let finished = self.look(about, &self.args().list_name(name)).await?;
        parse::has_phantom(&finished.stdout, name).map_err(|e| about.unreadable(e))
    }

    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeError> {
        if image.is_local() {
            return Ok(());
        }
        let about = About {
            call: Call::Pull,
            object: image.as_str(),
        };
        let _slot = self.pull_slot().await;
        self.change(about, &self.args().pull(image), limit).await?;
        Ok(())
    }

    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeError> {
        let name = request.key.container_name();
        let about = About {
            call: Call::Run,
            object: name.as_str(),
        };
        let command = self.run_command(request)?;
        let finished = self.act(about, &command).await?;
        // With --replace, the name of what was replaced comes first.
        let said = String::from_utf8_lossy(&finished.stdout);
        let id = said.lines().rev().find_map(|line| line.trim().parse().ok());
        id.ok_or_else(|| about.unreadable(ParseError::Unexpected("it holds no id".to_owned())))
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let about = About {
            call: Call::Start,
            object: id.short(),
        };
        self.act(about, &self.args().start(id)).await?;
        Ok(())
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let about = About {
            call: Call::Stop,
            object: id.short(),
        };
        let deadline = grace.saturating_add(self.settings.deadlines.stop);
        let _slot = self.long_slot().await;
        self.change(about, &self.args().stop(id, grace), deadline)
            .await?;
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let about = About {
            call: Call::Remove,
            object: id.short(),
        };
        self.act(about, &self.args().remove(id)).await?;
        Ok(())
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeError> {
        let about = About {
            call: Call::Rename,
            object: id.short(),
        };
        self.act(about, &self.args().rename(id, name)).await?;
        Ok(())
    }

    async fn last_lines(&self, id: &ContainerId, lines: u32) -> Result<Vec<String>, RuntimeError> {
        // The file costs microseconds, the command 25 ms, right when somebody waits to be told.
        if let Some(found) = self.logs.last_lines(id, lines).await {
            return Ok(found);
        }
        let about = About {
            call: Call::Logs,
            object: id.short(),
        };
        let command = self.args().logs(id, lines);
        let limits = Limits {
            deadline: self.settings.deadlines.look,
            stdout: LOG_LIMIT,
        };
        let _slot = self.slot().await;
        let finished = process::run_merged(&command, &limits)
            .await
            .map_err(|error| about.failed(&command, error))?;
        let finished = check(about, &command, finished)?;
        let text = String::from_utf8_lossy(&finished.stdout);
        let all: Vec<&str> = text.lines().collect();
        let skipped = all.len().saturating_sub(lines as usize);
        Ok(all[skipped..].iter().map(|&line| line.to_owned()).collect())
    }
}
