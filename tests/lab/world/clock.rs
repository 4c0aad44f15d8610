//! The clocks of the laboratory: `CLOCK_REALTIME` in nanoseconds, and the uptime for scenarios that set the clock.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use nix::time::{ClockId, clock_gettime};

/// The time from the first replayed packet to the end, when journals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Start of the traces.
    pub start_ns: u64,
    /// End of receiving.
    pub end_ns: u64,
}

/// The current `CLOCK_REALTIME`, in nanoseconds.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Milliseconds since the boot: the same in all processes, and not changed by setting the clock.
pub fn uptime_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |up| up.tv_sec() as u64 * 1000 + up.tv_nsec() as u64 / 1_000_000)
}

/// Sleeps until `time_ns`; returns at once if that has passed.
pub fn sleep_until(time_ns: u64) {
    loop {
        let now = now_ns();
        if now >= time_ns {
            return;
        }
        thread::sleep(Duration::from_nanos(time_ns - now));
    }
}

/// Waits for the file at `path`, which contains the two times of a [`Span`]. The scenario writes it when all devices
/// are connected.
pub fn await_span(path: &Path) -> Result<Span, String> {
    while !path.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    let failed = |cause: &str| format!("reading the start from {}: {cause}", path.display());
    let text = fs::read_to_string(path).map_err(|err| failed(&err.to_string()))?;
    let mut times = text.split_whitespace().map(str::parse);
    match (times.next(), times.next()) {
        (Some(Ok(start_ns)), Some(Ok(end_ns))) => Ok(Span { start_ns, end_ns }),
        _ => Err(failed("it does not contain two times")),
    }
}
