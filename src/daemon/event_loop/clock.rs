//! The loop's part of the wall clock: a router without a battery begins with the time of its image, or with 1970.

use std::time::Duration;

use log::info;

use super::super::calendar::is_set;
use super::super::problem::{Code, Problem};
use super::EventLoop;
use crate::units::Nanos;

const SECONDS_OF_A_YEAR: u64 = 31_556_952;

impl EventLoop {
    /// Says when the clock is not set, and begins anew once it is: handshakes and certificates carry the time.
    pub(super) fn note_clock(&mut self, wall_clock: Duration, now: Nanos) {
        let known = self.problems.iter().any(|problem| problem.code == Code::Clock);
        match (!is_set(wall_clock.as_secs() as i64), known) {
            (true, false) => {
                let year = 1970 + wall_clock.as_secs() / SECONDS_OF_A_YEAR;
                self.note(Problem::new(Code::Clock, format!("the clock is not set: it says {year}")));
            }
            (false, true) => {
                info!("the clock is set");
                self.problems.retain(|problem| problem.code != Code::Clock);
                self.renew(now);
            }
            _ => {}
        }
    }
}
