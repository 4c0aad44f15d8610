//! The wall clock, and whether it can be trusted: a router without a battery boots with the time of its image.

use crate::sys::timer;

/// The start of 2025, in seconds of Unix time. A clock that shows an earlier time has not been set.
const SET_AFTER_S: i64 = 1_735_689_600;

/// The wall clock, in seconds of Unix time.
pub fn unix_time_s() -> i64 {
    timer::wall_clock().as_secs() as i64
}

/// Whether a clock that shows this time has been set.
pub fn is_set(unix_s: i64) -> bool {
    unix_s >= SET_AFTER_S
}
