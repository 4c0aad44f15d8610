//! The times of reconcile jobs: soon after a change in the kernel, rate-limited, and periodically.

use crate::units::Nanos;

/// Changes come in groups: a job starts once no change has come for this long.
const QUIET_PERIOD: Nanos = Nanos::from_millis(100);
/// A job starts at most this long after the first change, even if changes continue.
const MAX_DEBOUNCE: Nanos = Nanos::from_millis(500);
/// Minimum time between the starts of two jobs. A change has to be repaired within 2 s; the limits here leave enough of
/// that for the repair itself.
const MIN_RUN_INTERVAL: Nanos = Nanos::from_secs(1);
/// Period of the checks for changes without a notification: sysctls and WireGuard's peers.
const CHECK_PERIOD: Nanos = Nanos::from_secs(30);
/// Delay after the first failure. It doubles with each further failure, up to [`CHECK_PERIOD`].
const FIRST_RETRY: Nanos = Nanos::from_secs(2);

/// Debounces changes and spaces retries.
#[derive(Debug)]
pub struct Debounce {
    /// The times of the first and the last change since a job started.
    changed: Option<(Nanos, Nanos)>,
    started: Option<Nanos>,
    due: Nanos,
    /// Whether the daemon itself asked for the next job.
    triggered: bool,
    failures: u32,
}

impl Debounce {
    /// A debounce whose first job is due at once.
    pub fn new(now: Nanos) -> Debounce {
        Debounce { changed: None, started: None, due: now, triggered: true, failures: 0 }
    }

    /// Records a possible change in the kernel.
    pub fn note_change(&mut self, now: Nanos) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// Records a change in the kernel that must not wait: the next job is due at once.
    pub fn note_urgent_change(&mut self, now: Nanos) {
        self.due = self.due.min(now);
    }

    /// Makes the next job due at once, and resets the backoff.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.due = now;
        self.triggered = true;
        self.failures = 0;
    }

    /// Records the start of a job, which covers every change recorded so far. Returns whether [`Debounce::trigger_now`]
    /// asked for it.
    pub fn note_start(&mut self, now: Nanos) -> bool {
        self.changed = None;
        self.started = Some(now);
        self.due = Nanos(u64::MAX);
        std::mem::take(&mut self.triggered)
    }

    /// Records a successful job. Changes since its start still count.
    pub fn note_success(&mut self, now: Nanos) {
        self.failures = 0;
        self.due = self.due.min(now + CHECK_PERIOD);
    }

    /// Records a failed job. Changes since its start are dropped: most come from the job itself.
    pub fn note_failure(&mut self, now: Nanos) {
        self.changed = None;
        self.due = self.due.min(now + backoff(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// When the next job is due.
    pub fn due(&self) -> Nanos {
        let Some((first, last)) = self.changed else { return self.due };
        let spaced = self.started.map_or(Nanos::ZERO, |started| started + MIN_RUN_INTERVAL);
        let quiet = (last + QUIET_PERIOD).min(first + MAX_DEBOUNCE);
        self.due.min(quiet.max(spaced))
    }
}

/// The delay after `failures` earlier failures (0 for the first).
pub fn backoff(failures: u32) -> Nanos {
    Nanos(FIRST_RETRY.0 << failures.min(8)).min(CHECK_PERIOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Nanos {
        Nanos::from_millis(n)
    }

    fn after_a_success() -> Debounce {
        let mut debounce = Debounce::new(Nanos::ZERO);
        debounce.note_start(Nanos::ZERO);
        debounce.note_success(ms(200));
        debounce
    }

    #[test]
    fn changes_in_a_row_cause_one_job() {
        let mut debounce = after_a_success();
        assert_eq!(debounce.due(), ms(30_200));
        debounce.note_change(ms(5_000));
        assert_eq!(debounce.due(), ms(5_100));
        for at in (5_050..6_000).step_by(50) {
            debounce.note_change(ms(at));
        }
        assert_eq!(debounce.due(), ms(5_500), "a storm of changes does not postpone the job for ever");
    }

    #[test]
    fn a_storm_of_changes_causes_one_job_a_second() {
        let mut debounce = after_a_success();
        let mut jobs = 0;
        for at in (1_000..61_000).step_by(10) {
            debounce.note_change(ms(at));
            if debounce.due() <= ms(at) {
                debounce.note_start(ms(at));
                debounce.note_success(ms(at + 5));
                jobs += 1;
            }
        }
        assert!((55..=61).contains(&jobs), "{jobs} jobs in a minute");
    }

    #[test]
    fn a_change_during_a_job_causes_another_job() {
        let mut debounce = after_a_success();
        debounce.note_start(ms(40_000));
        debounce.note_change(ms(40_050));
        debounce.note_success(ms(40_100));
        assert_eq!(debounce.due(), ms(41_000));
    }

    #[test]
    fn an_urgent_change_waits_for_nothing() {
        let mut debounce = after_a_success();
        debounce.note_start(ms(40_000));
        debounce.note_success(ms(40_100));
        debounce.note_change(ms(40_150));
        assert_eq!(debounce.due(), ms(41_000));
        debounce.note_urgent_change(ms(40_200));
        assert_eq!(debounce.due(), ms(40_200));
        debounce.note_start(ms(40_200));
        debounce.note_urgent_change(ms(40_250));
        debounce.note_success(ms(40_300));
        assert_eq!(debounce.due(), ms(40_250), "a change during a job is not covered by it");
    }

    #[test]
    fn failures_back_off_and_their_own_changes_do_not_count() {
        let mut debounce = Debounce::new(Nanos::ZERO);
        let mut now = Nanos::ZERO;
        let waits: Vec<u64> = (0..6)
            .map(|_| {
                debounce.note_start(now);
                debounce.note_change(now + ms(10));
                debounce.note_failure(now + ms(20));
                let wait = debounce.due().saturating_since(now + ms(20));
                now = debounce.due();
                wait.0 / 1_000_000_000
            })
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        debounce.note_change(now);
        assert!(debounce.due() <= now + MIN_RUN_INTERVAL, "a later change may have removed the cause");
        debounce.trigger_now(now);
        assert_eq!(debounce.due(), now);
    }
}
