//! The departure queue: one entry for each session that sends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::units::Nanos;

/// The next departure, or the next build of a cell, of every session, earliest first.
#[derive(Default)]
pub struct DepartureQueue {
    entries: BinaryHeap<Reverse<(Nanos, usize)>>,
}

impl DepartureQueue {
    /// Adds that the session with index `session` is due at `when`. A session may have only one entry.
    pub fn add(&mut self, when: Nanos, session: usize) {
        self.entries.push(Reverse((when, session)));
    }

    /// The time of the earliest entry.
    pub fn next(&self) -> Option<Nanos> {
        self.entries.peek().map(|Reverse((when, _))| *when)
    }

    /// Removes the entry of a session, if there is one.
    pub fn remove(&mut self, session: usize) {
        self.entries.retain(|Reverse((_, index))| *index != session);
    }

    /// Removes the earliest entry and returns its time and session index.
    pub fn pop(&mut self) -> Option<(Nanos, usize)> {
        self.entries.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_entry_comes_first() {
        let mut departures = DepartureQueue::default();
        for (when, session) in [(30, 0), (10, 1), (20, 2)] {
            departures.add(Nanos(when), session);
        }
        assert_eq!(departures.next(), Some(Nanos(10)));
        assert_eq!(std::iter::from_fn(|| departures.pop()).map(|(_, session)| session).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(departures.next(), None);
    }
}
