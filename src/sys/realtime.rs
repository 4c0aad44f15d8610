//! Punctuality, as far as the system permits it.

use std::fmt;

use nix::errno::Errno;
use nix::libc;

/// A measure that the system did not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was tried.
    pub measure: &'static str,
    /// Why it failed.
    pub errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; departures may be late under load", self.measure, self.errno.desc())
    }
}

/// Runs this thread before ordinary ones, keeps its memory resident, and asks for exact timers. Gives what was refused.
pub fn enter() -> Vec<Refused> {
    [
        ("scheduling with SCHED_FIFO", schedule()),
        ("locking memory", lock_memory()),
        ("setting timer slack", exact_timers()),
    ]
    .into_iter()
    .filter_map(|(measure, result)| Some(Refused { measure, errno: result.err()? }))
    .collect()
}

/// The lowest of the real-time priorities: before everything ordinary, after everything else that is real-time.
fn schedule() -> Result<(), Errno> {
    // SAFETY: a sched_param is plain old data, for which zeros are valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 1;
    // SCHED_RESET_ON_FORK: a program that is started from here, as nft, is an ordinary one.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // Not through libc: musl's sched_setscheduler only ever says ENOSYS.
    // SAFETY: the pointer is to a sched_param that lives through the call; 0 is the calling thread.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &parameters) }).map(drop)
}

/// Pages are locked when first touched, so that what is never used costs nothing.
fn lock_memory() -> Result<(), Errno> {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall takes no pointer.
    Errno::result(unsafe { libc::mlockall(flags) }).map(drop)
}

fn exact_timers() -> Result<(), Errno> {
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) }).map(drop)
}
