//! What to do when: one entry for every line that sends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::units::Nanos;

/// The coming moments of all lines, soonest first.
#[derive(Default)]
pub struct DepartureQueue {
    entries: BinaryHeap<Reverse<(Nanos, usize)>>,
}

impl DepartureQueue {
    /// Notes that `line` wants to act at `when`. A line may have one entry only.
    pub fn add(&mut self, when: Nanos, line: usize) {
        self.entries.push(Reverse((when, line)));
    }

    /// The soonest moment.
    pub fn next(&self) -> Option<Nanos> {
        self.entries.peek().map(|Reverse((when, _))| *when)
    }

    /// Takes out the soonest entry.
    pub fn pop(&mut self) -> Option<(Nanos, usize)> {
        self.entries.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_comes_first() {
        let mut departures = DepartureQueue::default();
        for (when, line) in [(30, 0), (10, 1), (20, 2)] {
            departures.add(Nanos(when), line);
        }
        assert_eq!(departures.next(), Some(Nanos(10)));
        assert_eq!(std::iter::from_fn(|| departures.pop()).map(|(_, line)| line).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(departures.next(), None);
    }
}
