//! Punctuality, as far as the system permits it.

use std::{fmt, fs, io};

use nix::errno::Errno;
use nix::libc;

/// The lowest of the real-time priorities: before everything ordinary, after everything else that is real-time.
const PRIORITY: libc::c_int = 1;

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

/// Runs this thread among ordinary ones again, which whoever changes the machine has to: some files under /proc/sys, when read
/// or written while another holds the kernel's lock for networks, have the system call begin again at once, until that is
/// free (restart_syscall in net/ipv6/addrconf.c). Before all others that would go on for ever where the other needs the
/// processor to come to its end.
pub fn leave() {
    _ = set(0, libc::SCHED_OTHER, 0);
}

/// WireGuard encrypts in the kernel's workers, which are ordinary threads: where programs keep the processors busy, cells
/// would wait for them, and leave late by how busy these are. Gives the workers that lately encrypted for the interface
/// this thread's priority, and says how many are new to it. The kernel makes workers as it needs them and ends idle ones
/// (kernel/workqueue.c), so this is to be repeated.
pub fn promote_encryption(interface: &str) -> io::Result<usize> {
    let task = format!("wg-crypt-{interface}");
    let mut promoted = 0;
    for (thread, name) in kernel_workers()? {
        if is_worker_of(&name, &task) && !is_ours(thread) {
            // One that has just ended needs nothing.
            promoted += usize::from(set(thread, libc::SCHED_FIFO, PRIORITY).is_ok());
        }
    }
    Ok(promoted)
}

/// Takes that back.
pub fn demote_encryption() -> io::Result<()> {
    for (thread, _) in kernel_workers()? {
        if is_ours(thread) {
            _ = set(thread, libc::SCHED_OTHER, 0);
        }
    }
    Ok(())
}

/// Thread number and name of each worker.
fn kernel_workers() -> io::Result<Vec<(libc::pid_t, String)>> {
    let mut workers = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(thread) = entry?.file_name().to_string_lossy().parse() else { continue };
        let Ok(name) = fs::read_to_string(format!("/proc/{thread}/comm")) else { continue };
        if name.starts_with("kworker/") {
            workers.push((thread, name.trim_end().to_owned()));
        }
    }
    Ok(workers)
}

/// A worker is called "kworker/0:1+TASK" while it works, "kworker/0:1-TASK" afterwards.
fn is_worker_of(name: &str, task: &str) -> bool {
    name.strip_suffix(task).is_some_and(|worker| worker.ends_with(['+', '-']))
}

/// Whether a worker has the priority that is given here and that the kernel itself never gives.
fn is_ours(thread: libc::pid_t) -> bool {
    // SAFETY: a sched_param is plain old data, for which zeros are valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // Not through libc: musl's functions only ever say ENOSYS.
    // SAFETY: takes no pointer.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, thread) };
    // SAFETY: the pointer is to a sched_param that lives through the call.
    let known = unsafe { libc::syscall(libc::SYS_sched_getparam, thread, &mut parameters) };
    policy == libc::c_long::from(libc::SCHED_FIFO) && known == 0 && parameters.sched_priority == PRIORITY
}

fn schedule() -> Result<(), Errno> {
    // SCHED_RESET_ON_FORK: a program that is started from here, as nft, is an ordinary one.
    set(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, PRIORITY)
}

/// Of a thread; 0 is the calling one.
fn set(thread: libc::pid_t, policy: libc::c_int, priority: libc::c_int) -> Result<(), Errno> {
    // SAFETY: a sched_param is plain old data, for which zeros are valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // Not through libc: musl's sched_setscheduler only ever says ENOSYS.
    // SAFETY: the pointer is to a sched_param that lives through the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, policy, &parameters) }).map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the scenario "endpoint": four daemons that ended at once came to a halt, and with them the machine.
    #[test]
    fn after_leaving_a_thread_is_an_ordinary_one() {
        // SAFETY: takes no pointer.
        let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } as libc::c_int;
        let permitted = schedule().is_ok();
        assert!(!permitted || policy() == libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
        leave();
        // Who was not permitted to come in front may not be permitted to forget it either.
        assert_eq!(policy() & !libc::SCHED_RESET_ON_FORK, libc::SCHED_OTHER);
    }

    #[test]
    fn workers_are_known_by_their_last_task() {
        assert!(is_worker_of("kworker/0:1+wg-crypt-mpwg0", "wg-crypt-mpwg0"));
        assert!(is_worker_of("kworker/1:2-wg-crypt-mpwg0", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/1:2-wg-crypt-mpwg01", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/0:0-events", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/0:0", "wg-crypt-mpwg0"));
    }
}
