//! Looks that wait for a slot travel together.
//!
//! After a burst of deaths every key wants an inspect. Ten containers in one call cost podman 30
//! ms, ten calls 250: so whoever gets a slot takes along everyone who is waiting by then. Nobody
//! is given an answer that began before the question (S24): a call takes only those who asked
//! before it began.

use std::collections::HashMap;
use std::sync::Mutex;

use mcp_model::{Container, ContainerId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Call, RuntimeError};
use crate::parse::ParseError;

/// Most containers in one call: an argument list and an answer of comfortable size.
pub(crate) const MOST: usize = 64;

/// What a look found; `None` where the absence was confirmed.
pub(crate) type Answer = Result<Option<Container>, RuntimeError>;

struct Waiter {
    ticket: u64,
    id: ContainerId,
    reply: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiter>,
    next_ticket: u64,
}

/// The looks that wait for a slot.
#[derive(Default)]
pub(crate) struct Batcher {
    queue: Mutex<Queue>,
}

impl Batcher {
    /// Asks for one container: waits for a slot from `enter` or for somebody else's, then lets
    /// `look` answer for everybody who waits.
    pub(crate) async fn ask<E, L>(
        &self,
        id: &ContainerId,
        enter: impl Fn() -> E,
        look: impl Fn(Vec<ContainerId>) -> L,
    ) -> Answer
    where
        E: Future<Output = Vec<OwnedSemaphorePermit>>,
        L: Future<Output = HashMap<ContainerId, Answer>>,
    {
        loop {
            let (ticket, mut reply) = self.join(id);
            let answer = loop {
                if !self.is_waiting(ticket) {
                    // Somebody else's call carries the question.
                    break (&mut reply).await;
                }
                tokio::select! {
                    biased;
                    answer = &mut reply => break answer,
                    slot = enter() => {
                        self.lead(&look).await;
                        drop(slot);
                    }
                }
            };
            // Without an answer, the one whose call carried the question has left: ask again.
            if let Ok(answer) = answer {
                return answer;
            }
        }
    }

    async fn lead<L>(&self, look: &impl Fn(Vec<ContainerId>) -> L)
    where
        L: Future<Output = HashMap<ContainerId, Answer>>,
    {
        let batch = self.take();
        if batch.is_empty() {
            return;
        }
        let mut ids: Vec<ContainerId> = batch.iter().map(|w| w.id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let answers = look(ids).await;
        for waiter in batch {
            let answer = answers.get(&waiter.id).cloned();
            // Whoever asked may have left.
            let _ = waiter
                .reply
                .send(answer.unwrap_or_else(|| unanswered(&waiter.id)));
        }
    }

    fn join(&self, id: &ContainerId) -> (u64, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let mut queue = self.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push(Waiter {
            ticket,
            id: id.clone(),
            reply,
        });
        (ticket, answer)
    }

    fn is_waiting(&self, ticket: u64) -> bool {
        self.lock().waiting.iter().any(|w| w.ticket == ticket)
    }

    fn take(&self) -> Vec<Waiter> {
        let mut queue = self.lock();
        queue.waiting.retain(|waiter| !waiter.reply.is_closed());
        let count = queue.waiting.len().min(MOST);
        queue.waiting.drain(..count).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // Nothing panics under this lock, and a poisoned queue would still be a queue.
        self.queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn unanswered(id: &ContainerId) -> Answer {
    Err(RuntimeError::Output {
        call: Call::Inspect,
        object: id.short().to_owned(),
        source: ParseError::Unexpected("it says nothing about this container".to_owned()),
    })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
