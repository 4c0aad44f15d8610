//! The health of the daemon: its problems and its state, and what the log and the service manager learn of them.

use log::{info, warn};

use crate::daemon::problem::{Code, Problem};
use crate::daemon::state::{State, StateSince};
use crate::daemon::wall_clock;
use crate::sys::sd_notify::Manager;
use crate::units::Nanos;
use crate::units::decimals::with_decimals;

const SECONDS_PER_YEAR: i64 = 31_556_952;

/// The current problems, and the current state with its start.
pub struct Health {
    problems: Vec<Problem>,
    state_since: StateSince,
    started: Nanos,
    manager: Manager,
}

impl Health {
    /// The health of a daemon that starts now.
    pub fn new(manager: Manager, now: Nanos) -> Health {
        Health { problems: Vec::new(), state_since: StateSince::new(now), started: now, manager }
    }

    /// The current problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The state at the last [`Health::note_state`], and when it began.
    pub fn state_since(&self) -> StateSince {
        self.state_since
    }

    /// How long the daemon has run.
    pub fn uptime(&self, now: Nanos) -> Nanos {
        now.saturating_since(self.started)
    }

    /// The service manager.
    pub fn manager(&mut self) -> &mut Manager {
        &mut self.manager
    }

    /// Whether a problem of that code is in the list.
    pub fn has(&self, code: Code) -> bool {
        self.problems.iter().any(|problem| problem.code == code)
    }

    /// Adds a problem to the list and logs it, unless the list holds it already.
    pub fn note(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            warn!("{}", problem.text);
            self.problems.push(problem);
        }
    }

    /// Adds a problem to the list. It is logged only if it is not among the `previous` ones.
    pub fn note_unless_logged(&mut self, problem: Problem, previous: &[Problem]) {
        if previous.contains(&problem) { self.problems.push(problem) } else { self.note(problem) }
    }

    /// Sets, updates or removes the problem of that code. A changed text alone is not logged.
    pub fn set(&mut self, code: Code, text: Option<String>) {
        match (self.problems.iter_mut().find(|problem| problem.code == code), text) {
            (Some(problem), Some(text)) => problem.text = text,
            (Some(_), None) => self.problems.retain(|problem| problem.code != code),
            (None, Some(text)) => self.note(Problem::new(code, text)),
            (None, None) => {}
        }
    }

    /// Removes the problems with a matching code from the list, and returns them.
    pub fn remove(&mut self, matches: impl Fn(Code) -> bool) -> Vec<Problem> {
        let (removed, kept) = std::mem::take(&mut self.problems).into_iter().partition(|problem| matches(problem.code));
        self.problems = kept;
        removed
    }

    /// Notes a problem while the wall clock is not set: a router without a battery boots with the time of its image, or
    /// in 1970. `unix_s` is what the clock shows. Returns whether the clock has just been set, because handshakes and
    /// certificates depend on the time.
    pub fn handle_clock(&mut self, unix_s: i64) -> bool {
        match (wall_clock::is_set(unix_s), self.has(Code::Clock)) {
            (false, false) => {
                let year = 1970 + unix_s / SECONDS_PER_YEAR;
                self.note(Problem::new(Code::Clock, format!("the clock is not set: it says {year}")));
                false
            }
            (true, true) => {
                info!("the clock has been set; renewing the tunnel");
                self.remove(|code| code == Code::Clock);
                true
            }
            _ => false,
        }
    }

    /// The daemon's state: that of the sessions, unless there is no tunnel and an error says why.
    pub fn state(&self, has_tunnel: bool, sessions: State) -> State {
        let has_error = || self.problems.iter().any(|problem| problem.code.severity() == "error");
        if !has_tunnel && has_error() { State::Blocked } else { sessions }
    }

    /// Records the state. Returns the state before if it changed, and logs that. Every change passes here.
    pub fn note_state(&mut self, state: State, now: Nanos) -> Option<State> {
        let before = self.state_since.note(state, now)?;
        let lasted = with_decimals(now.saturating_since(before.since).as_secs_f64(), 0);
        info!("state {} -> {} (after {lasted} s)", before.state.name(), state.name());
        self.manager.notify(&format!("STATUS={}", state.name()));
        if state.is_up() {
            // The endpoint's address has answered after all.
            self.set(Code::Name, None);
        }
        Some(before.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Manager::find(), Nanos::ZERO)
    }

    fn codes(health: &Health) -> Vec<Code> {
        health.problems().iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn a_problem_is_listed_once_and_removed_with_its_cause() {
        let mut health = health();
        let problem = Problem::new(Code::Name, "no address");
        health.note(problem.clone());
        health.note(problem.clone());
        health.note_unless_logged(Problem::new(Code::Guard, "nft is missing"), &[]);
        assert_eq!(codes(&health), [Code::Name, Code::Guard]);
        assert_eq!(health.remove(|code| code == Code::Name), [problem]);
        assert_eq!(codes(&health), [Code::Guard]);
    }

    #[test]
    fn a_set_problem_follows_its_text() {
        let mut health = health();
        health.set(Code::DataCap, None);
        assert!(health.problems().is_empty());
        for text in ["90 %", "95 %"] {
            health.set(Code::DataCap, Some(text.into()));
            assert_eq!((codes(&health), health.problems()[0].text.as_str()), (vec![Code::DataCap], text));
        }
        health.set(Code::DataCap, None);
        assert!(health.problems().is_empty());
    }

    #[test]
    fn a_clock_that_gets_set_renews_the_tunnel_once() {
        let mut health = health();
        let (boot, today) = (60, 1_790_000_000);
        assert!(!health.handle_clock(today) && !health.has(Code::Clock), "the clock was set from the start");
        assert!(!health.handle_clock(boot) && !health.handle_clock(boot));
        assert_eq!(health.problems()[0].text, "the clock is not set: it says 1970");
        assert!(health.handle_clock(today) && !health.handle_clock(today));
        assert!(health.problems().is_empty());
    }

    #[test]
    fn without_a_tunnel_an_error_blocks_and_a_warning_does_not() {
        let mut health = health();
        assert_eq!(health.state(false, State::Starting), State::Starting);
        health.note(Problem::new(Code::Realtime, "refused"));
        assert_eq!(health.state(false, State::Starting), State::Starting, "a warning");
        health.note(Problem::new(Code::Guard, "nft is missing"));
        assert_eq!(health.state(false, State::Starting), State::Blocked);
        assert_eq!(health.state(true, State::Shaping), State::Shaping);
        assert_eq!(health.note_state(State::Shaping, Nanos::from_secs(5)), Some(State::Starting));
        assert_eq!(health.note_state(State::Shaping, Nanos::from_secs(9)), None);
        assert_eq!(health.state_since().since, Nanos::from_secs(5));
    }
}
