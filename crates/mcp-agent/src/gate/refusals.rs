//! Refusals, counted per peer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use crate::serve::Peer;

/// Most peers that are told apart; whoever comes with more addresses does not get more memory.
const MAX_PEERS: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    User(u32),
}

/// How often each peer was refused since the agent started.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: Mutex<HashMap<Source, u64>>,
}

impl Refusals {
    /// Counts one more; says how many it makes for this peer.
    pub fn count(&self, peer: Peer) -> u64 {
        let source = match peer {
            Peer::Net(address) => Source::Address(address.ip().to_canonical()),
            Peer::Local { uid, .. } => Source::User(uid),
        };
        let mut counts = self
            .counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if counts.len() >= MAX_PEERS && !counts.contains_key(&source) {
            forget_the_mildest(&mut counts);
        }
        let count = counts.entry(source).or_default();
        *count += 1;
        *count
    }

    /// How many peers are told apart now.
    pub fn peers(&self) -> usize {
        self.counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .len()
    }
}

fn forget_the_mildest(counts: &mut HashMap<Source, u64>) {
    if let Some(mildest) = counts
        .iter()
        .min_by_key(|(_, count)| **count)
        .map(|(source, _)| *source)
    {
        counts.remove(&mildest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> Peer {
        Peer::Net((std::net::Ipv4Addr::from(n), 1).into())
    }

    #[test]
    fn refusals_are_counted_per_address_whatever_the_port() {
        let refusals = Refusals::default();
        assert_eq!(refusals.count(Peer::Net("10.0.0.1:1".parse().unwrap())), 1);
        assert_eq!(refusals.count(Peer::Net("10.0.0.1:2".parse().unwrap())), 2);
        assert_eq!(refusals.count(Peer::Net("10.0.0.2:1".parse().unwrap())), 1);
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_the_worst_is_remembered() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            refusals.count(peer(7));
        }
        for n in 1000..5000 {
            refusals.count(peer(n));
        }
        assert_eq!(refusals.peers(), MAX_PEERS);
        assert_eq!(refusals.count(peer(7)), 4);
    }
}
