//! Clocks, and timers for a given time of `CLOCK_MONOTONIC`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::units::Nanos;

/// The current time of `CLOCK_MONOTONIC`.
pub fn now() -> Nanos {
    // The call fails only for an unknown clock or an invalid pointer.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos::ZERO, nanos)
}

/// Unix time by the wall clock, which may jump; zero before 1970.
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Waits until `moment`, also across signals. Sleeps first and spins for the last `spin`, because the wake-up latency
/// depends on the processor's other load. Returns how late the sleep ended, `None` if there was none.
pub fn wait_until(moment: Nanos, spin: Nanos) -> io::Result<Option<Nanos>> {
    let wake_at = Nanos(moment.0.saturating_sub(spin.0));
    let mut woken = None;
    let mut time = now();
    // Skips a sleep that would end at once: it would still program the processor's timer, which is costly in a virtual
    // machine.
    while time < wake_at {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time_spec(wake_at)) {
            Ok(_) | Err(Errno::EINTR) => time = now(),
            Err(error) => return Err(error.into()),
        }
        woken = Some(time.saturating_since(wake_at));
    }
    while now() < moment {
        std::hint::spin_loop();
    }
    Ok(woken)
}

/// A descriptor that becomes readable at a given time.
#[derive(Debug)]
pub struct Timer(TimerFd);

impl Timer {
    /// A disarmed timer.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Timer(TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Sets the timer to `moment`, replacing any earlier setting. A past moment expires at once.
    pub fn set(&self, moment: Nanos) -> io::Result<()> {
        // Zero would disarm the timer.
        let moment = Expiration::OneShot(time_spec(Nanos(moment.0.max(1))));
        Ok(self.0.set(moment, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Acknowledges an expiration, so that the descriptor is not readable until the timer is set again.
    pub fn acknowledge(&self) -> io::Result<()> {
        match self.0.wait() {
            Ok(()) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn nanos(time: TimeSpec) -> Nanos {
    Nanos(Duration::from(time).as_nanos() as u64)
}

fn time_spec(moment: Nanos) -> TimeSpec {
    TimeSpec::from_duration(Duration::from_nanos(moment.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::epoll::Poll;

    #[test]
    fn sleep_and_timer_never_expire_early() {
        let start = now();
        let moment = start + Nanos::from_millis(2);
        assert!(wait_until(moment, Nanos::ZERO).unwrap() <= Some(now() - moment));
        let moment = now() + Nanos::from_millis(2);
        assert!(wait_until(moment, Nanos::from_millis(1)).unwrap().is_some());
        assert!(now() >= moment);
        let moment = now() + Nanos::from_millis(1);
        assert_eq!(wait_until(moment, Nanos::from_millis(2)).unwrap(), None, "nothing but spinning");
        assert!(now() >= moment);

        let timer = Timer::new().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(&timer, 5).unwrap();
        let moment = now() + Nanos::from_millis(2);
        timer.set(moment).unwrap();
        assert_eq!(poll.wait().unwrap().collect::<Vec<_>>(), [5]);
        assert!(now() >= moment);
        timer.acknowledge().unwrap();
        assert_eq!(poll.ready().unwrap().count(), 0);
    }

    #[test]
    fn a_past_moment_expires_at_once() {
        let timer = Timer::new().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(&timer, 0).unwrap();
        timer.set(Nanos::ZERO).unwrap();
        assert_eq!(poll.wait().unwrap().count(), 1);
    }
}
