//! Whether this machine is too small for its homes.

use crate::units::Nanos;
use crate::units::decimals::with_decimals;

/// Departures and missed slots are added up over this time.
const WINDOW: Nanos = Nanos::from_secs(10);
/// A machine that misses a larger part of the departures, in a thousand, is too small. A few are missed while another
/// program is busy.
const MAX_MISSED: u64 = 10;
/// A machine that was too small and misses less of them no longer is.
const FEW_MISSED: u64 = 2;
/// Fewer departures say nothing.
const MIN_SLOTS: u64 = 1_000;

/// Departures of all homes: those that took place, and those that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Cells that left.
    pub used: u64,
    /// Departures whose time had passed before a cell was built.
    pub missed: u64,
}

/// Compares departures with missed slots.
#[derive(Debug, Default)]
pub struct OverloadWatch {
    window: Slots,
    since: Option<Nanos>,
    /// Missed slots in a thousand, while they are too many.
    missed: Option<u64>,
}

impl OverloadWatch {
    /// Counts more slots.
    pub fn note(&mut self, slots: Slots, now: Nanos) {
        self.since.get_or_insert(now);
        self.window.used += slots.used;
        self.window.missed += slots.missed;
    }

    /// The problem in words, if there is one.
    pub fn problem(&mut self, now: Nanos) -> Option<String> {
        if self.since.is_some_and(|since| now.saturating_since(since) >= WINDOW) {
            let Slots { used, missed } = std::mem::take(&mut self.window);
            self.since = None;
            let all = used + missed;
            let thousandths = missed * 1000 / all.max(1);
            let limit = if self.missed.is_some() { FEW_MISSED } else { MAX_MISSED };
            self.missed = (all >= MIN_SLOTS && thousandths > limit).then_some(thousandths);
        }
        self.missed.map(|thousandths| {
            let percent = with_decimals(thousandths as f64 / 10.0, 1);
            format!(
                "this machine is too small for its homes: {percent} % of the cells were left out, of every home alike"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Nanos {
        Nanos::from_secs(n)
    }

    fn after(watch: &mut OverloadWatch, seconds: std::ops::Range<u64>, slots: Slots) -> Option<String> {
        seconds.fold(None, |_, second| {
            watch.note(slots, s(second));
            watch.problem(s(second))
        })
    }

    #[test]
    fn only_many_missed_slots_for_long_are_an_overload() {
        let mut watch = OverloadWatch::default();
        assert_eq!(after(&mut watch, 0..30, Slots { used: 1000, missed: 9 }), None);
        let mut watch = OverloadWatch::default();
        assert_eq!(after(&mut watch, 0..9, Slots { used: 800, missed: 200 }), None, "too short");
        let text = after(&mut watch, 9..11, Slots { used: 800, missed: 200 }).unwrap();
        assert!(text.contains(": 20.0 % of the cells"), "{text}");
        assert!(
            after(&mut watch, 11..33, Slots { used: 1000, missed: 5 }).is_some(),
            "it ends only when few are missed"
        );
        assert_eq!(after(&mut watch, 33..60, Slots { used: 1000, missed: 1 }), None);
        let mut watch = OverloadWatch::default();
        assert_eq!(after(&mut watch, 0..30, Slots { used: 8, missed: 2 }), None, "one slow home at the start");
    }
}
