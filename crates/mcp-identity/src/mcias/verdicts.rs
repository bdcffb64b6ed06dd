//! What the service said of tokens, for a short while. Decides purely: the time is passed in.

use std::collections::HashMap;
use std::time::Duration;

use mcp_model::{Moment, Stamp};

use crate::caller::Caller;
use crate::token::TokenHash;

/// How long a verdict holds, from the request that it answers.
pub(super) const HOLDS: Duration = Duration::from_secs(30);

/// Most verdicts that are kept.
pub(super) const MAX_VERDICTS: usize = 1024;

/// Verdicts by the hash of the token. Only those that let somebody in: a refusal costs the service
/// another request, and lets a token that has just become valid in at once.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    held: HashMap<TokenHash, Verdict>,
}

#[derive(Debug)]
struct Verdict {
    caller: Caller,
    /// On the clock that does not jump.
    until: Duration,
    /// On the one that does: it may cut a verdict short, and never prolongs one.
    expires: Stamp,
}

impl Verdicts {
    /// Who holds the token, if that is known at `now`. Looking does not prolong it.
    pub(super) fn get(&self, hash: &TokenHash, now: Moment) -> Option<Caller> {
        let verdict = self.held.get(hash)?;
        verdict.holds(now).then(|| verdict.caller.clone())
    }

    /// Keeps the answer to a request that was sent at `asked`, for a token that expires at `expires`.
    pub(super) fn put(&mut self, hash: TokenHash, caller: Caller, asked: Moment, expires: Stamp) {
        if self.held.len() >= MAX_VERDICTS {
            self.make_room(asked);
        }
        // The rest of the token's life is measured now: a wall clock that is turned back later does
        // not give it more.
        let holds = HOLDS.min(expires.since(asked.wall));
        let verdict = Verdict {
            caller,
            until: asked.boot.saturating_add(holds),
            expires,
        };
        self.held.insert(hash, verdict);
    }

    fn make_room(&mut self, now: Moment) {
        self.held.retain(|_, verdict| verdict.holds(now));
        if self.held.len() < MAX_VERDICTS {
            return;
        }
        let next = self.held.iter().min_by_key(|(_, verdict)| verdict.until);
        if let Some(hash) = next.map(|(hash, _)| *hash) {
            self.held.remove(&hash);
        }
    }
}

impl Verdict {
    fn holds(&self, now: Moment) -> bool {
        now.boot < self.until && now.wall < self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Provider;

    fn at(millis: u64) -> Moment {
        Moment {
            wall: Stamp::from_millis(1_790_000_000_000).plus(Duration::from_millis(millis)),
            boot: Duration::from_millis(millis),
            boot_id: mcp_model::BootId(1),
        }
    }

    #[test]
    fn only_so_many_verdicts_are_kept_and_the_next_to_end_makes_room() {
        let mut verdicts = Verdicts::default();
        let caller = Caller {
            subject: "bob".parse().unwrap(),
            roles: std::collections::BTreeSet::new(),
            provider: Provider::Mcias,
            account: None,
        };
        let hash = |n: u64| TokenHash::of(&n.to_string());
        let life = at(3_600_000).wall;
        let many = MAX_VERDICTS as u64 + 10;
        for n in 0..many {
            verdicts.put(hash(n), caller.clone(), at(n), life);
        }
        assert_eq!(verdicts.held.len(), MAX_VERDICTS);
        assert!(verdicts.get(&hash(9), at(many)).is_none());
        assert!(verdicts.get(&hash(10), at(many)).is_some());

        // Those that have ended go first, all at once.
        let later = 60_000;
        verdicts.put(hash(many), caller, at(later), life);
        assert_eq!(verdicts.held.len(), 1);
    }
}
