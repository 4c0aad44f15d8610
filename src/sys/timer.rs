//! Clocks, and waking at a given moment of `CLOCK_MONOTONIC`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::units::Nanos;

/// The moment now, of `CLOCK_MONOTONIC`.
pub fn now() -> Nanos {
    // The call fails only for a clock that does not exist or a bad pointer.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos::ZERO, nanos)
}

/// Seconds since the epoch by the wall clock, which may jump; zero before the epoch.
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Waits until `moment`, however often signals come: asleep, but for the last `awake` of it, because how long it takes to
/// wake depends on what else the processor does.
pub fn wait_until(moment: Nanos, awake: Nanos) -> io::Result<()> {
    let woken = Nanos(moment.0.saturating_sub(awake.0));
    // A sleep that is over before it begins sets the processor's timer all the same, which is dear in a virtual machine.
    while now() < woken {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time_spec(woken)) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    while now() < moment {
        std::hint::spin_loop();
    }
    Ok(())
}

/// A descriptor that can be read once a given moment has come.
#[derive(Debug)]
pub struct Timer(TimerFd);

impl Timer {
    /// A timer that is not set.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Timer(TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Sets the timer to `moment`, in place of any other; a moment that has passed comes at once.
    pub fn set(&self, moment: Nanos) -> io::Result<()> {
        // Zero would disarm it.
        let moment = Expiration::OneShot(time_spec(Nanos(moment.0.max(1))));
        Ok(self.0.set(moment, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Takes note that the moment has come, so that the descriptor is quiet until it is set again.
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
    fn neither_sleep_nor_timer_is_early() {
        let start = now();
        let moment = start + Nanos::from_millis(2);
        wait_until(moment, Nanos::ZERO).unwrap();
        assert!(now() >= moment);
        let moment = now() + Nanos::from_millis(2);
        wait_until(moment, Nanos::from_millis(1)).unwrap();
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
    fn a_moment_that_has_passed_comes_at_once() {
        let timer = Timer::new().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(&timer, 0).unwrap();
        timer.set(Nanos::ZERO).unwrap();
        assert_eq!(poll.wait().unwrap().count(), 1);
    }
}
