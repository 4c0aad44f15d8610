//! Gaps between departures, in which housekeeping may run.

use crate::units::Nanos;

/// Housekeeping runs only if the next departure is at least this far away. Writing a status or forking takes less time.
const MIN_IDLE_GAP: Nanos = Nanos::from_millis(2);
/// Housekeeping waits no longer than this if departures are never that far apart.
const MAX_HOUSEKEEPING_DELAY: Nanos = Nanos::from_millis(500);

/// The housekeeping that waits for a gap.
#[derive(Clone, Copy, Debug, Default)]
pub struct GapWait {
    waiting_since: Option<Nanos>,
}

/// Whether the next departure is far enough away for housekeeping.
pub fn is_idle(next_departure: Option<Nanos>, now: Nanos) -> bool {
    next_departure.is_none_or(|next| next >= now + MIN_IDLE_GAP)
}

impl GapWait {
    /// Whether housekeeping may run now. The caller tries again later if not.
    pub fn has_gap(&mut self, next_departure: Option<Nanos>, now: Nanos) -> bool {
        let since = *self.waiting_since.get_or_insert(now);
        let has_gap = is_idle(next_departure, now) || now.saturating_since(since) > MAX_HOUSEKEEPING_DELAY;
        if has_gap {
            self.waiting_since = None;
        }
        has_gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn housekeeping_waits_for_a_gap_but_not_for_ever() {
        let ms = Nanos::from_millis;
        let mut gap = GapWait::default();
        assert!(gap.has_gap(None, ms(0)) && gap.has_gap(Some(ms(12)), ms(10)));
        assert!(!gap.has_gap(Some(ms(21)), ms(20)));
        assert!(!gap.has_gap(Some(ms(521)), ms(520)));
        assert!(gap.has_gap(Some(ms(522)), ms(521)), "more than half a second");
        assert!(!gap.has_gap(Some(ms(523)), ms(522)), "the next housekeeping waits again");
    }
}
