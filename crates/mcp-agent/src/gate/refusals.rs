//! Refusals: counted per peer, and told in the log as far as the log can bear it.
//!
//! A stranger makes a refusal with one small request, and each is a line: without a bound the log
//! would be his to fill. So the first ones of a peer within a minute are told one by one, then only
//! those at which their number has doubled; the same again of all peers together. Whatever was left
//! out is said by the next line that is told, so that no refusal is lost from the count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::serve::Peer;
use crate::serve::limits::Limits;

/// Most peers that are told apart; whoever comes with more addresses does not get more memory.
const MAX_PEERS: usize = 1024;

/// After this time telling begins anew.
const WINDOW: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    User(u32),
}

/// How often each peer was refused since the agent started.
#[derive(Debug)]
pub struct Refusals {
    of_peer: u64,
    of_all: u64,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    peers: HashMap<Source, Tally>,
    all: Window,
    /// How many were left out since a line was told.
    suppressed: u64,
}

#[derive(Debug)]
struct Tally {
    refusals: u64,
    window: Window,
}

/// What there was within a while.
#[derive(Debug)]
struct Window {
    until: Instant,
    count: u64,
}

/// What a line about a refusal says besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// How many this peer had since the agent started.
    pub(super) refusals: u64,
    /// How many, of whomever, were left out since the last line.
    pub(super) suppressed: u64,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            until: now + WINDOW,
            count: 0,
        }
    }

    /// Counts one more; says whether it is to be told.
    fn tells(&mut self, now: Instant, each: u64) -> bool {
        if now >= self.until {
            *self = Self::new(now);
        }
        self.count += 1;
        self.count <= each || self.count.is_power_of_two()
    }
}

impl Refusals {
    /// Tells as many as `limits` says.
    pub fn new(limits: &Limits) -> Self {
        Self {
            of_peer: limits.told_of_peer,
            of_all: limits.told,
            book: Mutex::new(Book {
                peers: HashMap::new(),
                all: Window::new(Instant::now()),
                suppressed: 0,
            }),
        }
    }

    /// Counts one more; says what to tell, if it is to be told.
    pub(super) fn count(&self, peer: Peer) -> Option<Told> {
        let source = match peer {
            Peer::Net(address) => Source::Address(address.ip().to_canonical()),
            Peer::Local { uid, .. } => Source::User(uid),
        };
        let now = Instant::now();
        let mut book = self.book();
        let Book {
            peers,
            all,
            suppressed,
        } = &mut *book;
        if peers.len() >= MAX_PEERS && !peers.contains_key(&source) {
            forget_the_mildest(peers);
        }
        let tally = peers.entry(source).or_insert_with(|| Tally {
            refusals: 0,
            window: Window::new(now),
        });
        tally.refusals += 1;
        if tally.window.tells(now, self.of_peer) && all.tells(now, self.of_all) {
            Some(Told {
                refusals: tally.refusals,
                suppressed: std::mem::take(suppressed),
            })
        } else {
            *suppressed += 1;
            None
        }
    }

    /// How many peers are told apart now.
    pub fn peers(&self) -> usize {
        self.book().peers.len()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_the_mildest(peers: &mut HashMap<Source, Tally>) {
    if let Some(mildest) = peers
        .iter()
        .min_by_key(|(_, tally)| tally.refusals)
        .map(|(source, _)| *source)
    {
        peers.remove(&mildest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> Peer {
        Peer::Net((std::net::Ipv4Addr::from(n), 1).into())
    }

    fn refusals() -> Refusals {
        Refusals::new(&Limits::default())
    }

    /// Of so many refusals, the lines.
    fn lines(refusals: &Refusals, peers: impl Iterator<Item = Peer>) -> Vec<Told> {
        peers.filter_map(|peer| refusals.count(peer)).collect()
    }

    fn accounted(lines: &[Told]) -> u64 {
        lines.iter().map(|told| 1 + told.suppressed).sum()
    }

    #[test]
    fn refusals_are_counted_per_address_whatever_the_port() {
        let refusals = refusals();
        let count = |address: &str| {
            let told = refusals.count(Peer::Net(address.parse().unwrap()));
            told.unwrap().refusals
        };
        assert_eq!(count("10.0.0.1:1"), 1);
        assert_eq!(count("10.0.0.1:2"), 2);
        assert_eq!(count("10.0.0.2:1"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_takes_few_lines_of_the_log_and_none_is_lost_from_the_count() {
        let refusals = refusals();
        let flood = lines(&refusals, std::iter::repeat_n(peer(7), 100_000));
        // Twenty, then 32, 64, … 65,536.
        assert_eq!(flood.len(), 20 + 12);
        assert!(flood[..20].iter().all(|told| told.suppressed == 0));
        assert_eq!((flood[31].refusals, flood[31].suppressed), (65_536, 32_767));
        // Somebody else is told all the same, and what was left out with him.
        let other = lines(&refusals, std::iter::once(peer(8)));
        assert_eq!(accounted(&flood) + accounted(&other), 100_001);
        // After a minute one by one again.
        assert!(refusals.count(peer(7)).is_none());
        tokio::time::advance(WINDOW).await;
        let again = lines(&refusals, std::iter::repeat_n(peer(7), 3));
        let told = |refusals, suppressed| Told {
            refusals,
            suppressed,
        };
        assert_eq!(
            again,
            [told(100_002, 1), told(100_003, 0), told(100_004, 0)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_many_addresses_takes_few_lines_as_well() {
        let refusals = refusals();
        let flood = lines(&refusals, (0..100_000).map(peer));
        // Two hundred, then 256, 512, … 65,536.
        assert_eq!(flood.len(), 200 + 9);
        tokio::time::advance(WINDOW).await;
        let last = lines(&refusals, std::iter::once(peer(1)));
        assert_eq!(accounted(&flood) + accounted(&last), 100_001);
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_the_worst_is_remembered() {
        let refusals = refusals();
        for _ in 0..3 {
            refusals.count(peer(7));
        }
        for n in 1000..1000 + 4 * u32::try_from(MAX_PEERS).unwrap() {
            refusals.count(peer(n));
        }
        assert_eq!(refusals.peers(), MAX_PEERS);
        let source = Source::Address(std::net::Ipv4Addr::from(7).into());
        assert_eq!(refusals.book().peers[&source].refusals, 3);
    }
}
