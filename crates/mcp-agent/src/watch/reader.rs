//! One who follows: a place, and what comes next from there.

use std::collections::VecDeque;

use mcp_model::ServiceName;
use mcp_proto::v1::WatchResponse;
use tokio::sync::watch;

use super::journal::{Journal, Pages};
use super::picture::Walk;
use super::ring::{Cursor, Gone};
use super::{Change, Told};

/// Reads the journal at its own pace. Holds a place and one component's messages, whatever
/// happens meanwhile.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    written: watch::Receiver<()>,
    service: Option<ServiceName>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Everything is to be told, from the beginning.
    Anew,
    /// Everything is being told. What changes meanwhile follows from `from` on.
    Walking {
        from: Cursor,
        walk: Walk,
        next: VecDeque<Told>,
    },
    /// What happened is being told. While `catching_up`, it still belongs to everything, and no
    /// cursor is given out: whoever breaks off there has not been told everything.
    Following { at: Cursor, catching_up: bool },
}

impl Reader {
    pub(super) fn new(
        journal: Journal,
        from: Option<Cursor>,
        service: Option<ServiceName>,
    ) -> Self {
        let place = match from {
            None => Place::Anew,
            Some(at) => Place::Following {
                at,
                catching_up: false,
            },
        };
        Self {
            written: journal.written(),
            journal,
            service,
            place,
        }
    }

    /// The next message, once there is one. May be dropped while it waits.
    pub async fn next(&mut self) -> WatchResponse {
        loop {
            self.written.borrow_and_update();
            if let Some(message) = self.try_next() {
                return message;
            }
            if self.written.changed().await.is_err() {
                // There is no more to come, and that is no reason to say anything.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next message, where there is one.
    pub fn try_next(&mut self) -> Option<WatchResponse> {
        let journal = self.journal.clone();
        let pages = journal.pages();
        loop {
            match self.step(&pages) {
                Step::Say(change, cursor) => {
                    return Some(WatchResponse {
                        cursor: cursor.map(Cursor::to_wire).unwrap_or_default(),
                        change: Some(*change),
                    });
                }
                Step::Wait => return None,
                Step::On => {}
            }
        }
    }

    fn step(&mut self, pages: &Pages) -> Step {
        let service = self.service.as_ref();
        match &mut self.place {
            Place::Anew => {
                if pages.picture.is_none() {
                    return Step::Wait;
                }
                self.place = Place::Walking {
                    from: pages.ring.head(),
                    walk: Walk::default(),
                    next: VecDeque::new(),
                };
                Step::Say(Box::new(Change::Resync(true)), None)
            }
            Place::Walking { from, walk, next } => {
                if let Some(told) = next.pop_front() {
                    return if told.concerns(service) {
                        Step::Say(Box::new(told.change), None)
                    } else {
                        Step::On
                    };
                }
                match pages.picture.as_ref().and_then(|all| all.next(walk)) {
                    Some((further, told)) => (*walk, *next) = (further, told.into()),
                    None => {
                        self.place = Place::Following {
                            at: *from,
                            catching_up: true,
                        }
                    }
                }
                Step::On
            }
            Place::Following { at, catching_up } => match pages.ring.after(*at) {
                Err(Gone) => {
                    self.place = Place::Anew;
                    Step::On
                }
                Ok(None) if *catching_up => {
                    *catching_up = false;
                    Step::Say(Box::new(Change::Complete(true)), Some(*at))
                }
                Ok(None) => Step::Wait,
                Ok(Some((next, entry))) => {
                    *at = next;
                    if entry.concerns(service) {
                        Step::Say(Box::new(entry.change()), (!*catching_up).then_some(next))
                    } else {
                        Step::On
                    }
                }
            },
        }
    }
}

/// What a reader does next.
enum Step {
    Say(Box<Change>, Option<Cursor>),
    On,
    Wait,
}
