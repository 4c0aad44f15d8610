//! Detects whether the peer is up by its cells, which never stop.

use crate::units::Nanos;

/// A silence up to this long does not count, however high the rate.
const MIN_SILENCE: Nanos = Nanos::from_secs(1);

/// The state of a session, or of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No cell has come from the peer yet.
    Starting,
    /// Cells are sent and received.
    Shaping,
    /// A schedule has set level `off`: the devices' packets pass the tunnel unshaped, or not at all. millpond promises
    /// nothing in this state.
    Paused,
    /// Cells are sent, and none has come for three times the expected interval. Sending continues unchanged.
    Degraded,
    /// There is no tunnel, and a problem says why. Only the daemon has this state, not a session.
    Blocked,
}

impl State {
    /// The name in status, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Shaping => "shaping",
            State::Paused => "paused",
            State::Degraded => "degraded",
            State::Blocked => "blocked",
        }
    }
}

impl State {
    /// Whether the other end answers.
    pub fn is_up(self) -> bool {
        matches!(self, State::Shaping | State::Paused)
    }
}

/// A state and the time it began.
#[derive(Clone, Copy, Debug)]
pub struct StateSince {
    /// The state.
    pub state: State,
    /// When the state began.
    pub since: Nanos,
}

impl StateSince {
    /// The state `starting`, from `now` on.
    pub fn new(now: Nanos) -> StateSince {
        StateSince { state: State::Starting, since: now }
    }

    /// Records the state at `now`. Returns the previous state if it differs.
    pub fn note(&mut self, state: State, now: Nanos) -> Option<StateSince> {
        let before = *self;
        if state == before.state {
            return None;
        }
        *self = StateSince { state, since: now };
        Some(before)
    }
}

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
