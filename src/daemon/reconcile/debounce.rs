//! When the kernel is looked at: soon after somebody changed something, never all the time, and now and then anyway.

use crate::units::Nanos;

/// A change seldom comes alone: others are waited for until it has been quiet for so long…
const QUIET_PERIOD: Nanos = Nanos::from_millis(100);
/// …but no longer than this.
const MAX_DEBOUNCE: Nanos = Nanos::from_millis(500);
/// Whatever others do, looks begin at least so far apart. All three together leave most of 2 s for the mending itself.
const MIN_RUN_INTERVAL: Nanos = Nanos::from_secs(1);
/// For what the kernel does not tell of: sysctls, WireGuard's peers.
const CHECK_PERIOD: Nanos = Nanos::from_secs(30);
/// After a failure, then twice as long each time, at most [`CHECK_PERIOD`].
const FIRST_RETRY: Nanos = Nanos::from_secs(2);

/// Debounces changes and spaces retries.
#[derive(Debug)]
pub struct Debounce {
    /// The first change that nobody has looked at, and the last.
    changed: Option<(Nanos, Nanos)>,
    started: Option<Nanos>,
    due: Nanos,
    /// Whether the next look is one that we want for reasons of our own.
    triggered: bool,
    failures: u32,
}

impl Debounce {
    /// The first look is due at once.
    pub fn new(now: Nanos) -> Debounce {
        Debounce { changed: None, started: None, due: now, triggered: true, failures: 0 }
    }

    /// Notes that something may have changed.
    pub fn note_change(&mut self, now: Nanos) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// Makes the next look due at once, and forgets earlier failures.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.due = now;
        self.triggered = true;
        self.failures = 0;
    }

    /// Notes that a look begins, which sees every change noted so far. Says whether [`Debounce::trigger_now`] asked for it.
    pub fn note_start(&mut self, now: Nanos) -> bool {
        self.changed = None;
        self.started = Some(now);
        self.due = Nanos(u64::MAX);
        std::mem::take(&mut self.triggered)
    }

    /// Notes that all is as it should be. What changed since the look began counts.
    pub fn note_success(&mut self, now: Nanos) {
        self.failures = 0;
        self.due = self.due.min(now + CHECK_PERIOD);
    }

    /// Notes that it could not be made so. What has changed since was mostly the attempt itself.
    pub fn note_failure(&mut self, now: Nanos) {
        self.changed = None;
        self.due = self.due.min(now + backoff(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// When to look next.
    pub fn due(&self) -> Nanos {
        let Some((first, last)) = self.changed else { return self.due };
        let spaced = self.started.map_or(Nanos::ZERO, |started| started + MIN_RUN_INTERVAL);
        let quiet = (last + QUIET_PERIOD).min(first + MAX_DEBOUNCE);
        self.due.min(quiet.max(spaced))
    }
}

/// How long to wait after the first failure (0), the second, and so on.
pub fn backoff(failures: u32) -> Nanos {
    Nanos(FIRST_RETRY.0 << failures.min(8)).min(CHECK_PERIOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Nanos {
        Nanos::from_millis(n)
    }

    fn settled() -> Debounce {
        let mut debounce = Debounce::new(Nanos::ZERO);
        debounce.note_start(Nanos::ZERO);
        debounce.note_success(ms(200));
        debounce
    }

    #[test]
    fn changes_in_a_row_are_one() {
        let mut debounce = settled();
        assert_eq!(debounce.due(), ms(30_200));
        debounce.note_change(ms(5_000));
        assert_eq!(debounce.due(), ms(5_100));
        for at in (5_050..6_000).step_by(50) {
            debounce.note_change(ms(at));
        }
        assert_eq!(debounce.due(), ms(5_500), "a storm does not put it off for ever");
    }

    #[test]
    fn a_storm_is_looked_at_once_a_second() {
        let mut debounce = settled();
        let mut looks = 0;
        for at in (1_000..61_000).step_by(10) {
            debounce.note_change(ms(at));
            if debounce.due() <= ms(at) {
                debounce.note_start(ms(at));
                debounce.note_success(ms(at + 5));
                looks += 1;
            }
        }
        assert!((55..=61).contains(&looks), "{looks} looks in a minute");
    }

    #[test]
    fn a_change_during_a_look_is_looked_at_again() {
        let mut debounce = settled();
        debounce.note_start(ms(40_000));
        debounce.note_change(ms(40_050));
        debounce.note_success(ms(40_100));
        assert_eq!(debounce.due(), ms(41_000));
    }

    #[test]
    fn failures_wait_longer_and_longer_and_what_they_stir_up_does_not_count() {
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
        assert!(debounce.due() <= now + MIN_RUN_INTERVAL, "a change from outside may have removed the cause");
        debounce.trigger_now(now);
        assert_eq!(debounce.due(), now);
    }
}
