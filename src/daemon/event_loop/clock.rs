//! Detects a wall clock that is not set: a router without a battery boots with the time of its image, or in 1970.

use std::time::Duration;

use log::info;

use crate::daemon::event_loop::EventLoop;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::schedule::calendar::is_set;
use crate::units::Nanos;

const SECONDS_PER_YEAR: u64 = 31_556_952;

impl EventLoop {
    /// Notes a problem while the clock is not set. Once it is set, the tunnel is renewed, because handshakes and
    /// certificates depend on the time.
    pub(super) fn note_clock(&mut self, wall_clock: Duration, now: Nanos) {
        let is_noted = self.problems.iter().any(|problem| problem.code == Code::Clock);
        match (!is_set(wall_clock.as_secs() as i64), is_noted) {
            (true, false) => {
                let year = 1970 + wall_clock.as_secs() / SECONDS_PER_YEAR;
                self.note(Problem::new(Code::Clock, format!("the clock is not set: it says {year}")));
            }
            (false, true) => {
                info!("the clock has been set; renewing the tunnel");
                self.problems.retain(|problem| problem.code != Code::Clock);
                self.renew(now);
            }
            _ => {}
        }
    }
}
