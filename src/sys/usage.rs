//! Resource usage of this process.

use std::fs;
use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::units::Nanos;

/// Processor time so far, and current memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Processor time in user and kernel mode together.
    pub processor: Nanos,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

/// Reads the usage from the kernel.
pub fn usage() -> io::Result<ResourceUsage> {
    let times = getrusage(UsageWho::RUSAGE_SELF)?;
    let nanos = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000_000 + time.tv_usec() as u64 * 1000;
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let page_bytes = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as u64;
    Ok(ResourceUsage {
        processor: Nanos(nanos(times.user_time()) + nanos(times.system_time())),
        resident_bytes: pages * page_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_counted() {
        let before = usage().unwrap();
        let ballast = vec![1u8; 16 << 20];
        let sum: u64 = (0..30_000_000u64).chain(ballast.iter().map(|byte| u64::from(*byte))).fold(0, |sum, n| sum ^ n);
        let after = usage().unwrap();
        assert!(after.processor > before.processor, "{before:?} {after:?} {sum}");
        // Other tests in this process may free memory meanwhile, but the ballast alone is this large.
        assert!(after.resident_bytes >= 16 << 20, "{before:?} {after:?}");
        drop(ballast);
    }
}
