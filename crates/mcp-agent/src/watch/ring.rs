//! The last changes, in order; bounded by their number and by their size.

use std::collections::VecDeque;

use mcp_model::ServiceName;
use mcp_proto::v1::WatchResponse;
use prost::Message as _;

use super::{Change, Told, concerns};

/// A place in the order of changes. It belongs to one life of the agent: the upper half is drawn
/// anew at every start, the lower half counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    epoch: u32,
    count: u32,
}

impl Cursor {
    /// Where a life begins. 0 is nobody's epoch: no cursor reads as "none".
    fn fresh() -> Self {
        Self {
            epoch: rand::random::<u32>().max(1),
            count: 0,
        }
    }

    /// As it goes over the wire; never 0.
    pub fn to_wire(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.count)
    }

    /// As it came over the wire; `None` for 0.
    pub fn from_wire(wire: u64) -> Option<Self> {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        (wire != 0).then(|| Self {
            epoch: half(wire >> 32),
            count: half(wire),
        })
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most so many changes.
    pub changes: usize,
    /// Of at most so many bytes together, as they are sent.
    pub bytes: usize,
}

impl Default for Limits {
    /// A deploy of a hundred components makes less than a thousand changes.
    fn default() -> Self {
        Self {
            changes: 1024,
            bytes: 512 * 1024,
        }
    }
}

/// What followed a place is not remembered, or the place is not of this life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// A change as it is remembered: as it is sent. So it takes the memory that is counted, and not what
/// its parts have reserved, which is many times as much.
#[derive(Debug)]
pub(super) struct Entry {
    service: Option<ServiceName>,
    message: Box<[u8]>,
}

impl Entry {
    fn of(told: Told) -> Self {
        let message = WatchResponse {
            cursor: 0,
            change: Some(told.change),
        };
        Self {
            service: told.service,
            message: message.encode_to_vec().into_boxed_slice(),
        }
    }

    pub(super) fn concerns(&self, service: Option<&ServiceName>) -> bool {
        concerns(self.service.as_ref(), service)
    }

    pub(super) fn change(&self) -> Change {
        let message = WatchResponse::decode(&*self.message);
        let change = message.ok().and_then(|message| message.change);
        change.expect("it was encoded here")
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    limits: Limits,
    /// The place after the newest entry.
    head: Cursor,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            head: Cursor::fresh(),
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The place after everything.
    pub(super) fn head(&self) -> Cursor {
        self.head
    }

    pub(super) fn push(&mut self, told: Told) {
        let entry = Entry::of(told);
        if self.head.count == u32::MAX {
            // Counting begins again as another life, so that no place ever has two meanings.
            *self = Self::new(self.limits);
        }
        self.head.count += 1;
        self.bytes += entry.message.len();
        self.entries.push_back(entry);
        while self.entries.len() > self.limits.changes || self.bytes > self.limits.bytes {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.message.len();
        }
    }

    /// The change that follows `place`, and the place after it; `None` where nothing does yet.
    pub(super) fn after(&self, place: Cursor) -> Result<Option<(Cursor, &Entry)>, Gone> {
        if place.epoch != self.head.epoch {
            return Err(Gone);
        }
        let behind = self.head.count.checked_sub(place.count).ok_or(Gone)?;
        if behind == 0 {
            return Ok(None);
        }
        let behind = usize::try_from(behind).map_err(|_| Gone)?;
        let index = self.entries.len().checked_sub(behind).ok_or(Gone)?;
        let entry = self.entries.get(index).ok_or(Gone)?;
        let next = Cursor {
            count: place.count + 1,
            ..place
        };
        Ok(Some((next, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        Told {
            service: None,
            change: Change::Removed(mcp_proto::v1::ComponentRemoved {
                service: text.to_owned(),
                component: String::new(),
            }),
        }
    }

    fn ring(changes: usize, bytes: usize) -> Ring {
        Ring::new(Limits { changes, bytes })
    }

    /// Everything that follows a place.
    fn read(ring: &Ring, mut place: Cursor) -> Result<Vec<String>, Gone> {
        let mut all = Vec::new();
        while let Some((next, entry)) = ring.after(place)? {
            let Change::Removed(removed) = entry.change() else {
                panic!("{entry:?}");
            };
            all.push(removed.service);
            place = next;
        }
        Ok(all)
    }

    #[test]
    fn what_followed_a_place_is_told_exactly_as_long_as_it_is_remembered() {
        let mut ring = ring(4, usize::MAX);
        let mut places = vec![ring.head()];
        for n in 0..10 {
            ring.push(told(&n.to_string()));
            places.push(ring.head());
        }
        for (passed, place) in places.iter().enumerate() {
            let expected: Vec<String> = (passed..10).map(|n| n.to_string()).collect();
            let expected = if expected.len() > 4 {
                Err(Gone)
            } else {
                Ok(expected)
            };
            assert_eq!(read(&ring, *place), expected, "after {passed}");
        }
    }

    #[test]
    fn places_of_another_life_and_of_the_future_are_unknown() {
        let mut ring = ring(4, usize::MAX);
        ring.push(told("a"));
        let head = ring.head();
        let future = Cursor { count: 2, ..head };
        let other = Cursor {
            epoch: head.epoch ^ 1,
            count: 0,
        };
        assert_eq!(read(&ring, future), Err(Gone));
        assert_eq!(read(&ring, other), Err(Gone));
    }

    #[test]
    fn many_large_changes_take_no_more_memory_than_is_set() {
        let mut ring = ring(1000, 10_000);
        let begin = ring.head();
        for _ in 0..1000 {
            ring.push(told(&"x".repeat(900)));
            let held: usize = ring.entries.iter().map(|entry| entry.message.len()).sum();
            assert_eq!(ring.bytes, held);
            assert!(held <= 10_000 && ring.entries.len() <= 11);
        }
        assert_eq!(read(&ring, begin), Err(Gone));
        // One that is larger than everything is remembered by nobody, and blocks nothing.
        ring.push(told(&"x".repeat(20_000)));
        let head = ring.head();
        ring.push(told("after"));
        assert_eq!(read(&ring, head), Ok(vec!["after".to_owned()]));
    }

    #[test]
    fn a_count_that_is_used_up_begins_another_life() {
        let mut ring = ring(4, usize::MAX);
        ring.head.count = u32::MAX - 1;
        let before = ring.head();
        ring.push(told("last"));
        assert_eq!(read(&ring, before).unwrap(), ["last"]);
        ring.push(told("first"));
        assert_eq!(read(&ring, before), Err(Gone));
        assert_eq!(ring.head().count, 1);
    }

    #[test]
    fn a_cursor_survives_the_wire_and_is_never_nothing() {
        for _ in 0..100 {
            let cursor = Cursor::fresh();
            assert_eq!(Cursor::from_wire(cursor.to_wire()), Some(cursor));
        }
        assert_eq!(Cursor::from_wire(0), None);
    }
}
