//! The one clock of the laboratory, `CLOCK_REALTIME` in nanoseconds.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Returns at `moment_ns`, or at once if that has passed.
pub fn sleep_until(moment_ns: u64) {
    loop {
        let now = now_ns();
        if now >= moment_ns {
            return;
        }
        thread::sleep(Duration::from_nanos(moment_ns - now));
    }
}
