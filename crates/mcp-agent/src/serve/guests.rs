//! Who is there, and who has to give way when there is no room.
//!
//! Whoever comes is taken in first and asked for a token later, so a crowd of strangers could fill
//! the house. Then the stranger who has waited longest gives way, of the address that has most
//! of them: a crowd from one place costs nobody else their connection, and one who asks at once
//! is through before it is their turn.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::Peer;
use super::guest::Guest;
use super::limits::Limits;

/// The connections of one front door, in the order in which they came.
#[derive(Debug)]
pub struct Guests {
    limits: Limits,
    /// Those of another door, who give way first where descriptors are short.
    before: Option<Arc<Guests>>,
    room: Arc<Semaphore>,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    next: u64,
    guests: BTreeMap<u64, Guest>,
    /// How many strangers had to give way so far.
    turned_out: u64,
    /// How many found no room so far.
    turned_away: u64,
    /// How often nobody could be accepted so far.
    failures: u64,
}

impl Guests {
    /// Nobody yet, and as many as `limits` says.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self::of(limits, None))
    }

    /// The same of a door for which the strangers of `other` give way when there are no descriptors
    /// left: both doors take them from one stock, and each would else hold on to its own.
    pub fn preferred_to(other: &Arc<Self>, limits: Limits) -> Arc<Self> {
        Arc::new(Self::of(limits, Some(Arc::clone(other))))
    }

    fn of(limits: Limits, before: Option<Arc<Self>>) -> Self {
        Self {
            room: Arc::new(Semaphore::new(limits.connections)),
            limits,
            before,
            present: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a connection in. Where there is no room, a stranger gives way and is waited for, so
    /// that there are never more than there may be; `None` where everybody is known.
    pub(super) async fn receive(self: &Arc<Self>, peer: Peer) -> Option<Entry> {
        let permit = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.make_room() => Arc::clone(&self.room).acquire_owned().await.ok()?,
            Err(_) => {
                let mut present = self.present();
                present.turned_away += 1;
                if present.turned_away.is_power_of_two() {
                    warn!(%peer, count = present.turned_away, "too many connections; turned away");
                }
                return None;
            }
        };
        let guest = Guest::new(peer, &self.limits);
        let mut present = self.present();
        let id = present.next;
        present.next += 1;
        present.guests.insert(id, guest.clone());
        drop(present);
        Some(Entry {
            guest,
            id,
            house: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Turns one stranger out, where there is one.
    pub(super) fn make_room(&self) -> bool {
        let mut present = self.present();
        let strangers = present
            .guests
            .iter()
            .filter(|(_, guest)| guest.is_stranger() && !guest.turned_out().is_cancelled())
            .map(|(id, guest)| (*id, Origin::of(guest.peer())));
        let Some(id) = who_gives_way(strangers) else {
            return false;
        };
        let guest = present.guests[&id].clone();
        guest.turn_out();
        present.turned_out += 1;
        // A flood must not flood the log as well.
        if present.turned_out.is_power_of_two() {
            let count = present.turned_out;
            warn!(peer = %guest.peer(), count, "too many connections; one without a token gave way");
        }
        true
    }

    /// Turns one stranger out for the sake of what all doors share.
    pub(super) fn give_back(&self) {
        let others = self.before.as_ref();
        if !others.is_some_and(|others| others.make_room()) {
            self.make_room();
        }
    }

    /// One more who could not be accepted; says how many that makes.
    pub(super) fn count_failure(&self) -> u64 {
        let mut present = self.present();
        present.failures += 1;
        present.failures
    }

    /// Waits until everybody has gone. Streams are ended by then, so a connection that has one still
    /// a while later is one on which nobody reads: it is not waited for any longer.
    pub(super) async fn leave(&self) {
        let everybody = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let mut empty = pin!(self.room.acquire_many(everybody));
        tokio::select! {
            _ = &mut empty => return,
            () = tokio::time::sleep(self.limits.last_message) => {}
        }
        let guests: Vec<Guest> = self.present().guests.values().cloned().collect();
        for guest in guests.iter().filter(|guest| guest.has_streams()) {
            debug!(peer = %guest.peer(), "nobody takes the end of a stream");
            guest.turn_out();
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where connections come from, as far as one is not to crowd out another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Address(IpAddr),
    User(u32),
}

impl Origin {
    fn of(peer: Peer) -> Self {
        match peer {
            Peer::Local { uid, .. } => Self::User(uid),
            Peer::Net(address) => Self::Address(match address.ip().to_canonical() {
                // One machine has a whole /64 of them.
                IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
                v4 @ IpAddr::V4(_) => v4,
            }),
        }
    }
}

/// The first of the origin that is there most often. `strangers` come oldest first.
fn who_gives_way(strangers: impl Iterator<Item = (u64, Origin)>) -> Option<u64> {
    let mut crowds: HashMap<Origin, (usize, u64)> = HashMap::new();
    for (id, origin) in strangers {
        crowds.entry(origin).or_insert((0, id)).0 += 1;
    }
    let largest = crowds
        .into_values()
        .max_by_key(|(size, first)| (*size, std::cmp::Reverse(*first)));
    largest.map(|(_, first)| first)
}

/// A connection's place in the house, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    guest: Guest,
    id: u64,
    house: Arc<Guests>,
    _permit: OwnedSemaphorePermit,
}

impl Entry {
    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.house.present().guests.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn net(address: &str) -> Peer {
        Peer::Net(address.parse().unwrap())
    }

    fn house(connections: usize) -> Arc<Guests> {
        Guests::new(Limits {
            connections,
            ..Limits::default()
        })
    }

    fn out(entry: &Entry) -> bool {
        entry.guest().turned_out().is_cancelled()
    }

    #[tokio::test]
    async fn a_crowd_from_one_address_costs_nobody_elses_place() {
        let house = house(4);
        let alone = house.receive(net("10.0.0.9:1")).await.unwrap();
        let mut crowd = Vec::new();
        for address in ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"] {
            crowd.push(house.receive(net(address)).await.unwrap());
        }
        assert!(house.make_room());
        assert!(out(&crowd[0]), "the first of the largest crowd");
        assert!(!out(&alone) && !out(&crowd[1]) && !out(&crowd[2]));
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_longest_waiting_stranger_and_of_nobody_known() {
        let house = house(2);
        let known = house.receive(net("10.0.0.1:1")).await.unwrap();
        let mut visit = known.guest().visit().unwrap();
        visit.admitted();
        drop(visit);
        let stranger = house.receive(net("10.0.0.1:2")).await.unwrap();
        let mut coming = Box::pin(house.receive(net("10.0.0.1:3")));
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(out(&stranger) && !out(&known));
        drop(stranger);
        let third = coming.await.unwrap();
        third.guest().visit().unwrap().admitted();
        assert!(house.receive(net("10.0.0.1:4")).await.is_none());
        drop(third);
        assert!(house.receive(net("10.0.0.1:5")).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_holds_up_the_end_for_a_moment_only() {
        let house = house(3);
        let mut entries = Vec::new();
        for port in 1..=3 {
            let entry = house
                .receive(net(&format!("10.0.0.1:{port}")))
                .await
                .unwrap();
            let mut visit = entry.guest().visit().unwrap();
            visit.admitted();
            entries.push((entry, visit));
        }
        entries[0].1.streams();
        // A stream that has ended; an operation that is waited for goes on.
        entries[1].1.streams();
        entries[1].1 = entries[1].0.guest().visit().unwrap();
        let begun = tokio::time::Instant::now();
        house.leave().await;
        assert_eq!(begun.elapsed(), house.limits().last_message);
        let outs: Vec<bool> = entries.iter().map(|(entry, _)| out(entry)).collect();
        assert_eq!(outs, [true, false, false]);
        entries.clear();
        let begun = tokio::time::Instant::now();
        house.leave().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody is there");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_call_that_was_admitted_makes_a_connection_last() {
        use super::super::guest::Due;
        use tokio::time::Instant;

        let limits = Limits::default();
        let house = house(2);
        let entry = house.receive(net("10.0.0.1:1")).await.unwrap();
        let due = || entry.guest().due(Instant::now());

        entry.guest().arrived();
        // Refused ones do not count.
        drop(entry.guest().visit());
        assert_ne!(due(), Due::Over);
        tokio::time::advance(limits.first_call).await;
        assert_eq!(due(), Due::Over);

        let mut visit = entry.guest().visit().unwrap();
        visit.admitted();
        tokio::time::advance(Duration::from_hours(2)).await;
        assert_ne!(due(), Due::Over, "a call is under way");
        visit.answered(Instant::now() + limits.call);
        tokio::time::advance(limits.call).await;
        assert_eq!(due(), Due::Over, "nobody takes the answer");
        drop(visit);
        assert_ne!(due(), Due::Over);
        tokio::time::advance(limits.idle).await;
        assert_eq!(due(), Due::Over);
    }
}
