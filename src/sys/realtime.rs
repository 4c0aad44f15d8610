//! Real-time scheduling, locked memory and exact timers, so that cells depart on time.

use std::{fmt, fs, io};

use nix::errno::Errno;

/// The lowest real-time priority: before all ordinary threads, after all other real-time threads.
const PRIORITY: libc::c_int = 1;

/// A measure that the kernel did not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The measure, such as `locking memory`.
    pub measure: &'static str,
    /// Why it failed.
    pub errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; departures may be late under load", self.measure, self.errno.desc())
    }
}

/// Gives this thread real-time priority, locks its memory and requests exact timers. Returns the measures that failed.
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

/// Gives another thread of this process real-time priority and exact timers, if they are permitted. The kernel gives a
/// new thread neither, and [`enter`] has locked the memory of all.
#[cfg(feature = "endpoint")]
pub fn enter_thread() {
    _ = schedule().and(exact_timers());
}

/// Gives this thread ordinary priority again. Required before changes to the host: while another thread holds the
/// kernel's RTNL lock, access to some files under /proc/sys restarts the system call at once until the lock is free
/// (restart_syscall in net/ipv6/addrconf.c). At real-time priority that loop never ends if the lock holder needs the
/// same processor.
pub fn leave() {
    _ = set_scheduler(0, libc::SCHED_OTHER, 0);
}

/// Raises the priority of the kernel workers that recently encrypted for `interface` to this thread's. Returns how many
/// it raised. WireGuard encrypts in kernel workers, which have ordinary priority: while programs keep the processors
/// busy, cells would wait there, and their delay would show the load. The kernel creates and ends workers as needed
/// (kernel/workqueue.c), so call this repeatedly.
pub fn promote_encryption(interface: &str) -> io::Result<usize> {
    let task = format!("wg-crypt-{interface}");
    let mut promoted = 0;
    for (thread, name) in kernel_workers()? {
        if is_worker_of(&name, &task) && !is_promoted(thread) {
            // A failure means that the worker has just ended.
            promoted += usize::from(set_scheduler(thread, libc::SCHED_FIFO, PRIORITY).is_ok());
        }
    }
    Ok(promoted)
}

/// Gives the workers raised by [`promote_encryption`] ordinary priority again.
pub fn demote_encryption() -> io::Result<()> {
    for (thread, _) in kernel_workers()? {
        if is_promoted(thread) {
            _ = set_scheduler(thread, libc::SCHED_OTHER, 0);
        }
    }
    Ok(())
}

/// Thread id and name of each kernel worker.
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

/// A worker is called "kworker/0:1+TASK" during a task and "kworker/0:1-TASK" after it.
fn is_worker_of(name: &str, task: &str) -> bool {
    name.strip_suffix(task).is_some_and(|worker| worker.ends_with(['+', '-']))
}

/// Whether a worker has the priority that [`promote_encryption`] sets; the kernel itself never sets it.
fn is_promoted(thread: libc::pid_t) -> bool {
    // SAFETY: a sched_param is plain old data, for which zeros are valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // Direct system calls, because musl's functions always return ENOSYS.
    // SAFETY: takes no pointer.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, thread) };
    // SAFETY: the pointer is to a sched_param that lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_getparam, thread, &mut parameters) };
    policy == libc::c_long::from(libc::SCHED_FIFO) && result == 0 && parameters.sched_priority == PRIORITY
}

fn schedule() -> Result<(), Errno> {
    // SCHED_RESET_ON_FORK: programs started from this thread, such as nft, have ordinary priority.
    set_scheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, PRIORITY)
}

/// Sets a thread's scheduling policy and priority; thread 0 is the calling one.
fn set_scheduler(thread: libc::pid_t, policy: libc::c_int, priority: libc::c_int) -> Result<(), Errno> {
    // SAFETY: a sched_param is plain old data, for which zeros are valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // A direct system call, because musl's sched_setscheduler always returns ENOSYS.
    // SAFETY: the pointer is to a sched_param that lives through the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, policy, &parameters) }).map(drop)
}

/// Locks pages when they are first touched, so that unused pages cost nothing.
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

    /// Found by the scenario "endpoint": four daemons that stopped at the same time hung, and the host with them.
    #[test]
    fn leave_restores_ordinary_priority() {
        // SAFETY: takes no pointer.
        let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } as libc::c_int;
        let permitted = schedule().is_ok();
        assert!(!permitted || policy() == libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
        leave();
        // Without permission to set SCHED_FIFO, clearing RESET_ON_FORK may fail too.
        assert_eq!(policy() & !libc::SCHED_RESET_ON_FORK, libc::SCHED_OTHER);
    }

    #[test]
    fn workers_are_recognised_by_their_last_task() {
        assert!(is_worker_of("kworker/0:1+wg-crypt-mpwg0", "wg-crypt-mpwg0"));
        assert!(is_worker_of("kworker/1:2-wg-crypt-mpwg0", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/1:2-wg-crypt-mpwg01", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/0:0-events", "wg-crypt-mpwg0"));
        assert!(!is_worker_of("kworker/0:0", "wg-crypt-mpwg0"));
    }
}
