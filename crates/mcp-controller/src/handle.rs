//! How the rest of the agent talks to the controller.

use std::sync::Arc;

use mcp_model::{ComponentKey, ContainerId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::explain::Explanation;
use crate::port::Failure;
use crate::view::View;

/// Why a key should be looked at. Never what is to be believed about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// Something may have happened. Does not defeat a back-off.
    Hint,
    /// Intent changed, or an operation was accepted: bypasses a back-off.
    Intent,
}

/// What the controller is told from outside.
#[derive(Debug)]
pub(crate) enum Message {
    Keys(Vec<ComponentKey>, Trigger),
    Container(ContainerId),
    Changed,
    Look(oneshot::Sender<Result<(), Failure>>),
    Rest(Vec<ComponentKey>, oneshot::Sender<Result<(), Failure>>),
    Explain(
        ComponentKey,
        oneshot::Sender<Result<Option<Explanation>, Failure>>,
    ),
}

/// A cheap handle on a running controller.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) progress: watch::Receiver<u64>,
    pub(crate) acts_on_drift: bool,
}

impl Handle {
    /// Asks for a reconciliation of these keys.
    pub async fn trigger(&self, keys: Vec<ComponentKey>, trigger: Trigger) {
        self.send(Message::Keys(keys, trigger)).await;
    }

    /// Says that something may have happened to a container: its key is looked at without delay.
    pub async fn container_hint(&self, id: ContainerId) {
        self.send(Message::Container(id)).await;
    }

    /// Says that something may have happened somewhere: the runtime is listed soon.
    pub async fn change_hint(&self) {
        self.send(Message::Changed).await;
    }

    /// Lists the runtime once and waits until every key that changed is reconciled (S27).
    /// Callers that come together share one look.
    pub async fn look(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Look(reply)).await;
        answer
            .await
            .unwrap_or_else(|_| Err(Failure("the controller has stopped".to_owned())))
    }

    /// Waits until whatever is known to have happened to these keys was looked at. A key to which
    /// something happens all the time is not waited for for ever.
    pub async fn rest(&self, keys: Vec<ComponentKey>) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Rest(keys, reply)).await;
        answer
            .await
            .unwrap_or_else(|_| Err(Failure("the controller has stopped".to_owned())))
    }

    /// Says what is planned for a component, from what, and who may carry it out. `None` for what
    /// has no record.
    pub async fn explain(&self, key: ComponentKey) -> Result<Option<Explanation>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Explain(key, reply)).await;
        answer
            .await
            .unwrap_or_else(|_| Err(Failure("the controller has stopped".to_owned())))
    }

    /// Whether drift may be acted on without being asked (S35).
    pub fn acts_on_drift(&self) -> bool {
        self.acts_on_drift
    }

    /// The reconciler's cache, for those who follow it.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// The reconciler's cache as it is now.
    pub fn seen(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Changes whenever a step of an operation was stored or intent came: look into the registry
    /// again.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.clone()
    }

    async fn send(&self, message: Message) {
        // A stopped controller needs no hints; whoever waits for an answer sees the closed channel.
        let _ = self.messages.send(message).await;
    }
}
