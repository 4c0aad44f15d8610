//! Watches the peer by the one thing that never stops: its cells.

use crate::units::Nanos;

/// Missing cells mean little before this, however fast the line.
const MIN_SILENCE: Nanos = Nanos::from_secs(1);

/// What a line is doing, or all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No cell has come from the peer yet.
    Starting,
    /// Cells go and come.
    Shaping,
    /// A schedule has it off: what the devices send goes through the tunnel as it comes, or not at all. No promise.
    Paused,
    /// Cells go, none have come for three times the expected time. The schedule goes on unchanged.
    Degraded,
    /// There is no tunnel, and a problem says why. Only all together can be so.
    Blocked,
}

impl State {
    /// The name in reports.
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
    /// Whether the other end is there.
    pub fn is_up(self) -> bool {
        matches!(self, State::Shaping | State::Paused)
    }
}

/// A state, and since when it holds.
#[derive(Clone, Copy, Debug)]
pub struct StateSince {
    /// What is being done.
    pub state: State,
    /// Since when.
    pub since: Nanos,
}

impl StateSince {
    /// Nothing has come yet.
    pub fn new(now: Nanos) -> StateSince {
        StateSince { state: State::Starting, since: now }
    }

    /// Notes the state of this moment. Gives the one before where that was another.
    pub fn note(&mut self, state: State, now: Nanos) -> Option<StateSince> {
        let before = *self;
        if state == before.state {
            return None;
        }
        *self = StateSince { state, since: now };
        Some(before)
    }
}

/// When the peer's last cell came.
#[derive(Debug, Default)]
pub struct Liveness {
    last_cell: Option<Nanos>,
}

impl Liveness {
    /// Notes a cell.
    pub fn note_cell(&mut self, now: Nanos) {
        self.last_cell = Some(now);
    }

    /// For how long none has come; `None` if none ever did.
    pub fn silence(&self, now: Nanos) -> Option<Nanos> {
        self.last_cell.map(|last| now.saturating_since(last))
    }

    /// The state, where a cell is expected every `interval` on average.
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
