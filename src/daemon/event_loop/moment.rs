//! The moment by both clocks, and random numbers, as the event loop gives them to the components.

use crate::daemon::schedule::Moment;
use crate::daemon::wall_clock;
use crate::sys::random;
use crate::units::Nanos;

/// The moment `now`, by both clocks.
pub fn moment(now: Nanos) -> Moment {
    // 300 is the middle of the range: without randomness from the kernel, the times of level changes are not shifted.
    let draw = || random::seed().map_or(300, |seed| u32::from_ne_bytes([seed[0], seed[1], seed[2], 0]));
    Moment { now, unix_s: wall_clock::unix_time_s(), draw }
}

/// A random number; 12, the middle of a day of hours, without randomness from the kernel.
pub fn draw_u16() -> u16 {
    random::seed().map_or(12, |seed| u16::from_ne_bytes([seed[0], seed[1]]))
}
