//! Detects whether the peer is up by its cells, which never stop.

use crate::daemon::state::State;
use crate::units::Nanos;

/// A silence up to this long does not count, however high the rate.
const MIN_SILENCE: Nanos = Nanos::from_secs(1);

/// The time of the peer's last cell.
#[derive(Debug, Default)]
pub struct Liveness {
    last_cell: Option<Nanos>,
}

impl Liveness {
    /// Records a cell from the peer.
    pub fn note_cell(&mut self, now: Nanos) {
        self.last_cell = Some(now);
    }

    /// Time since the last cell; `None` if no cell has ever come.
    pub fn silence(&self, now: Nanos) -> Option<Nanos> {
        self.last_cell.map(|last| now.saturating_since(last))
    }

    /// The state, if a cell is expected every `interval` on average.
    pub fn state(&self, now: Nanos, interval: Nanos) -> State {
        match self.silence(now) {
            None => State::Starting,
            Some(silence) if silence <= MIN_SILENCE.max(Nanos(interval.0.saturating_mul(3))) => State::Shaping,
            Some(_) => State::Degraded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_three_intervals_is_degraded() {
        let interval = Nanos::from_secs(2);
        let mut liveness = Liveness::default();
        assert_eq!(liveness.state(Nanos::from_secs(100), interval), State::Starting);
        liveness.note_cell(Nanos::from_secs(100));
        assert_eq!(liveness.state(Nanos::from_secs(106), interval), State::Shaping);
        assert_eq!(liveness.state(Nanos::from_secs(107), interval), State::Degraded);
        assert_eq!(liveness.state(Nanos::from_millis(100_900), Nanos(1)), State::Shaping);
        liveness.note_cell(Nanos::from_secs(108));
        assert_eq!(liveness.state(Nanos::from_secs(108), interval), State::Shaping);
    }
}
