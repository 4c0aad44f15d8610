//! The table of the loop's timers: when each component wants to be woken.

use crate::units::Nanos;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopTimer {
    /// The next departure, or the build of its cell.
    Departure,
    /// Housekeeping, once a second.
    Tick,
    /// A reconcile job.
    Job,
    /// A name lookup.
    Lookup,
    /// The connection to the ubus broker.
    Bus,
    /// The process that makes an answer that takes long.
    SlowAnswer,
}

impl LoopTimer {
    const ALL: [LoopTimer; 6] = [
        LoopTimer::Departure,
        LoopTimer::Tick,
        LoopTimer::Job,
        LoopTimer::Lookup,
        LoopTimer::Bus,
        LoopTimer::SlowAnswer,
    ];

    /// Whether it may wait for a gap between cells. The loop handles the others at once.
    fn is_patient(self) -> bool {
        !matches!(self, LoopTimer::Departure | LoopTimer::Tick)
    }
}

/// When each timer expires; `None` for one that is not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerTable([Option<Nanos>; LoopTimer::ALL.len()]);

impl TimerTable {
    /// Sets a timer, or with `None` stops it.
    pub fn set(&mut self, timer: LoopTimer, expires: Option<Nanos>) {
        self.0[timer as usize] = expires;
    }

    /// When the loop must wake next. A timer that may wait and has expired does not count: it waits for a gap, which
    /// comes after a departure.
    pub fn next_timeout(&self, now: Nanos) -> Option<Nanos> {
        let expires = |timer: LoopTimer| self.0[timer as usize].filter(|expires| !timer.is_patient() || *expires > now);
        LoopTimer::ALL.into_iter().filter_map(expires).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_wakes_the_loop() {
        let mut timers = TimerTable::default();
        assert_eq!(timers.next_timeout(Nanos(5)), None);
        for (timer, expires) in
            [(LoopTimer::Tick, 30), (LoopTimer::Bus, 20), (LoopTimer::Departure, 40), (LoopTimer::SlowAnswer, 50)]
        {
            timers.set(timer, Some(Nanos(expires)));
        }
        assert_eq!(timers.next_timeout(Nanos(5)), Some(Nanos(20)));
        timers.set(LoopTimer::Bus, None);
        assert_eq!(timers.next_timeout(Nanos(5)), Some(Nanos(30)));
    }

    #[test]
    fn an_overdue_job_waits_for_a_departure_and_an_overdue_departure_does_not_wait() {
        let mut timers = TimerTable::default();
        timers.set(LoopTimer::Job, Some(Nanos(10)));
        timers.set(LoopTimer::Tick, Some(Nanos(90)));
        assert_eq!(timers.next_timeout(Nanos(50)), Some(Nanos(90)));
        timers.set(LoopTimer::Departure, Some(Nanos(40)));
        assert_eq!(timers.next_timeout(Nanos(50)), Some(Nanos(40)));
    }
}
