//! How long the loop spins before a departure.

use super::session::Session;
use crate::units::Nanos;

/// The longest. A sleep that ends later than this would not have been helped by spinning.
const LONGEST: Nanos = Nanos::from_micros(200);
/// What a processor takes from the end of the sleep to the first look at the clock, at least.
const SHORTEST: Nanos = Nanos::from_micros(10);
/// The latest end of a sleep loses this part with each departure: after 4 s at 40 a second it counts half.
const FORGOTTEN_PART: u64 = 256;

/// The time to spin, from how late sleeps have ended. It grows at once and shrinks slowly, so that a load which comes
/// and goes does not show in the moments of departures.
#[derive(Clone, Copy, Debug)]
pub struct SpinWindow {
    latest: Nanos,
}

impl SpinWindow {
    /// The longest time, because nothing is known yet.
    pub const fn new() -> SpinWindow {
        SpinWindow { latest: LONGEST }
    }

    /// The time to spin before a departure. Trains of a fast line come so often that spinning before each would take
    /// the time for their cells. With several sessions another cell is always about to leave, and the processor seldom
    /// enters a deep sleep state.
    pub fn before(&self, sessions: &[Box<Session>]) -> Nanos {
        match sessions {
            [session] if session.engine().train() > 1 => self.length().min(Nanos(session.engine().pace().mean.0 / 16)),
            [_] => self.length(),
            _ => Nanos::ZERO,
        }
    }

    /// A quarter more than sleeps have lately been late.
    fn length(&self) -> Nanos {
        Nanos(self.latest.0 + self.latest.0 / 4).clamp(SHORTEST, LONGEST)
    }

    /// Takes into account that a sleep has ended this late.
    pub fn note(&mut self, late: Nanos) {
        self.latest.0 -= self.latest.0 / FORGOTTEN_PART;
        if late <= LONGEST {
            self.latest = self.latest.max(late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_spins_a_little_longer_than_sleeps_are_late() {
        let us = Nanos::from_micros;
        let mut window = SpinWindow::new();
        assert_eq!(window.length(), us(200), "nothing is known yet");
        (0..10_000).for_each(|_| window.note(us(20)));
        assert!((us(20)..us(26)).contains(&window.length()), "{:?}", window.length());
        window.note(us(100));
        assert_eq!(window.length(), us(125), "it grows at once");
        (0..200).for_each(|_| window.note(us(20)));
        assert!(window.length() > us(50), "and shrinks slowly: {:?}", window.length());
        let before = window.length();
        window.note(us(5000));
        assert!(window.length() <= before, "no spinning helps against this");
        (0..10_000).for_each(|_| window.note(us(190)));
        assert_eq!(window.length(), us(200));
        (0..10_000).for_each(|_| window.note(Nanos::ZERO));
        assert_eq!(window.length(), us(10));
    }
}
