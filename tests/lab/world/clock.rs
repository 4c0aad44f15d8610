//! The clocks of the laboratory: `CLOCK_REALTIME` in nanoseconds, and the uptime where that may be set.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use nix::time::{ClockId, clock_gettime};

/// From the first replayed packet to the moment when journals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When traces start.
    pub start_ns: u64,
    /// When nobody listens any more.
    pub end_ns: u64,
}

/// Now.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Milliseconds since the kernel's start, the same in all its processes and unmoved when the clock is set.
pub fn uptime_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |up| up.tv_sec() as u64 * 1000 + up.tv_nsec() as u64 / 1_000_000)
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

/// Waits for the file that says when to start: the two moments of a [`Span`], once all have met.
pub fn await_span(path: &Path) -> Result<Span, String> {
    while !path.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    let failed = |what: &str| format!("reading the start from {}: {what}", path.display());
    let text = fs::read_to_string(path).map_err(|err| failed(&err.to_string()))?;
    let mut moments = text.split_whitespace().map(str::parse);
    match (moments.next(), moments.next()) {
        (Some(Ok(start_ns)), Some(Ok(end_ns))) => Ok(Span { start_ns, end_ns }),
        _ => Err(failed("it does not hold two moments")),
    }
}
