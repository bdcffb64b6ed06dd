//! Refusals: counted per peer, and told in the log as far as the log can bear it.
//!
//! A stranger makes a refusal with one small request, and each is a line: without a bound the log
//! would be his to fill. So the first ones of a peer within a minute are told one by one, then only
//! those at which their number has doubled; the same again of all peers together. Whatever was left
//! out is said by the next line that is told, or after a minute by a line of its own, so that no
//! refusal is lost from the count.
//!
//! What strangers cannot make is always told: the refusal of a caller who is known, and whatever
//! comes from the node itself. It takes no part in the bounds either, so that nobody can use them up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::record::TARGET;
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
    /// That there is something to tell which was left out.
    left_out: Notify,
}

#[derive(Debug)]
struct Book {
    peers: HashMap<Source, Tally>,
    all: Window,
    /// How many were left out since the last line that said so.
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
            left_out: Notify::new(),
        }
    }

    /// Counts one more; says what to tell, if it is to be told.
    pub(super) fn refused(&self, peer: Peer, caller_is_known: bool) -> Option<Told> {
        self.count(peer, 1, caller_is_known)
    }

    /// For one who left before it was known who called: no refusal, and a line all the same.
    pub(super) fn left(&self, peer: Peer) -> Option<Told> {
        self.count(peer, 0, false)
    }

    /// Tells what was left out, a minute at most after it was, and the rest at `stop`.
    pub async fn tell_what_was_left_out(self: Arc<Self>, stop: CancellationToken) {
        let telling = async {
            loop {
                self.left_out.notified().await;
                tokio::time::sleep(WINDOW).await;
                self.tell();
            }
        };
        stop.run_until_cancelled(telling).await;
        self.tell();
    }

    fn tell(&self) {
        let mut book = self.book();
        let suppressed = std::mem::take(&mut book.suppressed);
        if suppressed == 0 {
            return;
        }
        let of_strangers = book
            .peers
            .iter()
            .filter_map(|(source, tally)| match source {
                Source::Address(address) => Some((tally.refusals, *address)),
                Source::User(_) => None,
            });
        let (refusals, worst) = of_strangers.max().unzip();
        let worst = worst.map(|address| address.to_string());
        drop(book);
        info!(
            target: TARGET,
            suppressed, worst, refusals, "rpcs of strangers were not told one by one"
        );
    }

    fn count(&self, peer: Peer, refusals: u64, always_told: bool) -> Option<Told> {
        let always_told = always_told || matches!(peer, Peer::Local { .. });
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
        tally.refusals += refusals;
        if always_told || (tally.window.tells(now, self.of_peer) && all.tells(now, self.of_all)) {
            Some(Told {
                refusals: tally.refusals,
                suppressed: std::mem::take(suppressed),
            })
        } else {
            *suppressed += 1;
            self.left_out.notify_one();
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
    use crate::logging::captured::Written;

    fn peer(n: u32) -> Peer {
        Peer::Net((std::net::Ipv4Addr::from(n), 1).into())
    }

    fn refusals() -> Refusals {
        Refusals::new(&Limits::default())
    }

    /// Of so many refusals, the lines.
    fn lines(refusals: &Refusals, peers: impl Iterator<Item = Peer>) -> Vec<Told> {
        let told = peers.filter_map(|peer| refusals.refused(peer, false));
        told.collect()
    }

    fn accounted(lines: &[Told]) -> u64 {
        lines.iter().map(|told| 1 + told.suppressed).sum()
    }

    #[test]
    fn refusals_are_counted_per_address_whatever_the_port() {
        let refusals = refusals();
        let count = |address: &str| {
            let told = refusals.refused(Peer::Net(address.parse().unwrap()), false);
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
        assert!(refusals.refused(peer(7), false).is_none());
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

    #[tokio::test(start_paused = true)]
    async fn no_flood_hides_the_refusal_of_who_is_known_or_on_the_node_and_neither_uses_the_bounds_up()
     {
        let refusals = refusals();
        let local = Peer::Local {
            uid: 7,
            pid: Some(1),
        };
        for _ in 0..1000 {
            assert!(refusals.refused(local, false).is_some());
            assert!(refusals.refused(peer(9), true).is_some());
        }
        assert_eq!(lines(&refusals, (100..300).map(peer)).len(), 200);
        let flood = lines(&refusals, (0..5000).map(peer));
        assert!(flood.len() < 10);
        for _ in 0..1000 {
            assert!(refusals.refused(local, false).is_some());
            assert!(refusals.left(local).is_some());
            assert!(refusals.refused(peer(1), true).is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_after_a_minute_and_the_rest_at_the_end() {
        let (log, _guard) = Written::of_this_thread();
        let (refusals, stop) = (Arc::new(refusals()), CancellationToken::new());
        let mut left_out = 0;
        let flood = async {
            let told = lines(&refusals, (0..20).map(peer)).len()
                + lines(&refusals, std::iter::repeat_n(peer(7), 30)).len();
            left_out = 50 - u64::try_from(told).unwrap();
            tokio::time::sleep(2 * WINDOW).await;
            lines(&refusals, std::iter::repeat_n(peer(7), 21));
            stop.cancel();
        };
        let telling = Arc::clone(&refusals).tell_what_was_left_out(stop.clone());
        tokio::join!(flood, telling);
        assert!(left_out > 0);
        let audit = log.audit();
        let said: Vec<_> = audit
            .iter()
            .map(|line| line["suppressed"].as_u64())
            .collect();
        assert_eq!(said, [Some(left_out), Some(1)]);
        assert_eq!(
            (&audit[0]["worst"], audit[0]["refusals"].as_u64()),
            (&"0.0.0.7".into(), Some(31))
        );
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_the_worst_is_remembered() {
        let refusals = refusals();
        for _ in 0..3 {
            refusals.refused(peer(7), false);
        }
        for n in 1000..1000 + 4 * u32::try_from(MAX_PEERS).unwrap() {
            refusals.refused(peer(n), false);
        }
        assert_eq!(refusals.peers(), MAX_PEERS);
        let source = Source::Address(std::net::Ipv4Addr::from(7).into());
        assert_eq!(refusals.book().peers[&source].refusals, 3);
    }
}
