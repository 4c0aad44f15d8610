//! The states of a session and of the daemon.

use crate::units::Nanos;

/// The state of a session, or of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No cell has come from the peer yet.
    #[default]
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

    /// The best of these states of sessions; `Starting` without any.
    pub fn best(states: impl IntoIterator<Item = State>) -> State {
        let rank =
            |state: &State| [State::Degraded, State::Paused, State::Shaping].iter().position(|other| other == state);
        states.into_iter().max_by_key(rank).unwrap_or_default()
    }

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
