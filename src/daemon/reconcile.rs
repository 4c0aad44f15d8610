//! Keeps the state of the kernel equal to the settings, even if other programs change it.
//!
//! Work that takes longer than the time between two cells (reading the kernel, running `nft`, looking up a name) runs
//! in a forked process that reports and exits. The daemon itself only forks, in a gap between cells, so departures do
//! not depend on that work. A name lookup may hang, so it has a process of its own: restoring a deleted guard cannot
//! wait for it.

mod debounce;
pub mod endpoint;
pub mod host;
mod job;
pub mod openvpn;
pub mod report;
pub mod saved_sysctls;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use log::warn;

use self::debounce::Debounce;
use self::endpoint::Endpoint;
pub use self::job::ReconcileJob;
use self::report::ReconcileReport;
use crate::config::model::HostPort;
use crate::daemon::error::Error;
use crate::sys::epoll::Poll;
use crate::sys::monitor::{DATAGRAM_BYTES, Monitor};
use crate::sys::owned_guard_copy::OwnedGuardCopy;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::sys::{resolve, worker};
use crate::units::Nanos;

/// Maximum notification datagrams read from each monitor in one turn.
const DATAGRAM_BATCH: usize = 8;
/// Enough datagrams to empty a socket's buffer.
const DRAIN_LIMIT: usize = 1024;

/// A worker process that takes longer hangs and is killed. The first run on a busy router may take ten seconds.
const WORKER_TIMEOUT: Nanos = Nanos::from_secs(60);

/// The epoll tokens of this module's descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// Change notifications from the kernel.
    pub monitor: u64,
    /// The reconcile job's output.
    pub reconcile: u64,
    /// The name lookup's output.
    pub lookup: u64,
}

/// Watches the kernel for changes, and starts the processes that reconcile it and look up the endpoint's name.
pub struct Reconciler {
    monitors: Vec<Monitor>,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    tokens: Tokens,
    debounce: Debounce,
    reconcile: Option<RunningWorker>,
    /// Whether the running job was started by [`Reconciler::trigger_now`], not by a change in the kernel.
    was_triggered: bool,
    lookup: Option<RunningWorker>,
    /// The host whose name is being looked up.
    host: Option<HostPort>,
    /// Confines the devices if another program flushes all of nftables, until a reconcile job has restored the guard.
    guard_copy: Option<OwnedGuardCopy>,
}

/// A finished reconcile job.
pub struct FinishedJob {
    /// The job's findings and operations; an error if the process was killed or died.
    pub report: io::Result<ReconcileReport>,
    /// The TUN interface, if the job created it.
    pub tun: Option<OwnedFd>,
    /// Whether the daemon triggered the job itself, not a change in the kernel.
    pub was_triggered: bool,
}

struct RunningWorker {
    worker: Worker,
    since: Nanos,
}

impl Reconciler {
    /// Subscribes to kernel notifications, copies the loaded guard, and makes the first reconcile job due at once.
    pub fn start(poll: &Poll, tokens: Tokens, now: Nanos) -> Result<Reconciler, Error> {
        let subscribing = || Error::system("subscribing to kernel notifications");
        let mut monitors = vec![Monitor::routing().map_err(subscribing())?];
        match Monitor::nftables() {
            Ok(monitor) => monitors.push(monitor),
            // A kernel without nftables cannot have a guard either. The first reconcile job reports that.
            Err(error) => {
                warn!("subscribing to nftables notifications: {error}; checking nftables periodically instead")
            }
        }
        monitors.iter().try_for_each(|monitor| poll.add(monitor, tokens.monitor)).map_err(subscribing())?;
        let datagram = Box::new([0; DATAGRAM_BYTES]);
        Ok(Reconciler {
            monitors,
            datagram,
            tokens,
            debounce: Debounce::new(now),
            reconcile: None,
            was_triggered: true,
            lookup: None,
            host: None,
            guard_copy: copy_guard(),
        })
    }

    /// Reads kernel notifications. Returns whether one of them may concern millpond.
    pub fn handle_kernel_events(&mut self, now: Nanos) -> bool {
        self.read_monitors(DATAGRAM_BATCH, now)
    }

    /// Makes the next reconcile job due at once.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.debounce.trigger_now(now);
    }

    /// Makes a reconcile job due soon, debounced.
    pub fn note_change(&mut self, now: Nanos) {
        self.debounce.note_change(now);
    }

    /// When the next reconcile job is due; `None` while one runs.
    pub fn due(&self) -> Option<Nanos> {
        self.reconcile.is_none().then(|| self.debounce.due())
    }

    /// When the next name lookup is due; `None` while one runs or none is needed.
    pub fn lookup_due(&self, endpoint: &Endpoint, now: Nanos) -> Option<Nanos> {
        self.lookup.is_none().then(|| endpoint.due(now)).flatten()
    }

    /// Starts a reconcile job in a forked process.
    pub fn start_reconcile(&mut self, job: &ReconcileJob<'_>, poll: &Poll, now: Nanos) -> io::Result<()> {
        self.was_triggered = self.debounce.note_start(now);
        let guard_copy = self.guard_copy.as_ref();
        let started = start_worker(poll, self.tokens.reconcile, now, || job::reconcile(job, guard_copy));
        if started.is_err() {
            self.debounce.note_failure(now);
        }
        self.reconcile = Some(started?);
        Ok(())
    }

    /// Starts a name lookup in a forked process.
    pub fn start_lookup(&mut self, host: &HostPort, poll: &Poll, now: Nanos) -> io::Result<()> {
        self.host = Some(host.clone());
        self.lookup = Some(start_worker(poll, self.tokens.lookup, now, || look_up(host))?);
        Ok(())
    }

    /// The finished reconcile job, once it has finished.
    pub fn poll_report(&mut self, poll: &Poll, now: Nanos) -> Option<FinishedJob> {
        let (report, tun) = match poll_worker(&mut self.reconcile, poll, now)? {
            Ok(WorkerOutput { text, fd }) => (Ok(ReconcileReport::from_text(&text)), fd),
            Err(error) => (Err(error), None),
        };
        if report.as_ref().is_ok_and(ReconcileReport::is_complete) {
            self.debounce.note_success(now);
        } else {
            // The job and its rollback caused notifications of their own. They are no reason to run again.
            self.read_monitors(DRAIN_LIMIT, now);
            self.debounce.note_failure(now);
        }
        Some(FinishedJob { report, tun, was_triggered: self.was_triggered })
    }

    /// The host and its addresses, once the lookup has finished.
    pub fn poll_addresses(&mut self, poll: &Poll, now: Nanos) -> Option<(HostPort, Result<Vec<SocketAddr>, String>)> {
        let output = poll_worker(&mut self.lookup, poll, now)?;
        let addresses = output.map_err(|error| error.to_string()).and_then(|output| parse_addresses(&output.text));
        Some((self.host.take()?, addresses))
    }

    /// Whether a worker process has exceeded its time-out and must be killed.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        [&self.reconcile, &self.lookup].into_iter().flatten().any(|running| running.is_overdue(now))
    }

    fn read_monitors(&mut self, limit: usize, now: Nanos) -> bool {
        let Reconciler { monitors, datagram, .. } = self;
        // A socket that fails reports no changes, so a failure counts as one.
        let is_concerned =
            monitors.iter().map(|monitor| monitor.receive(datagram, limit).unwrap_or(true)).fold(false, |a, b| a | b);
        if is_concerned {
            self.debounce.note_change(now);
        }
        is_concerned
    }
}

impl RunningWorker {
    fn is_overdue(&self, now: Nanos) -> bool {
        now.saturating_since(self.since) > WORKER_TIMEOUT
    }
}

/// Opens the owned copy of the loaded guard, if the kernel supports it.
fn copy_guard() -> Option<OwnedGuardCopy> {
    let copy = OwnedGuardCopy::open().and_then(|copy| copy.sync().map(|_| copy));
    copy.inspect_err(|cause| {
        warn!(
            "copying the guard into an owned table: {cause}: it needs Linux 5.12; after a flush of the nftables \
             ruleset, devices can bypass the tunnel for some tenths of a second until the guard is restored"
        );
    })
    .ok()
}

fn start_worker(poll: &Poll, token: u64, now: Nanos, work: impl FnOnce() -> WorkerOutput) -> io::Result<RunningWorker> {
    let worker = Worker::start(work)?;
    poll.add(&worker, token)?;
    Ok(RunningWorker { worker, since: now })
}

/// The output of the worker in `slot` once it has finished, failed or timed out; `slot` is then empty.
fn poll_worker(slot: &mut Option<RunningWorker>, poll: &Poll, now: Nanos) -> Option<io::Result<WorkerOutput>> {
    let running = slot.as_mut()?;
    let output = match running.worker.report() {
        Ok(None) if !running.is_overdue(now) => return None,
        Ok(None) => {
            let text = format!("killed after {} s without a result", WORKER_TIMEOUT.as_secs_f64());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        Ok(Some(output)) => Ok(output),
        Err(error) => Err(error),
    };
    _ = poll.remove(&running.worker);
    *slot = None;
    Some(output)
}

/// Looks up `host` in the forked process. The output is one address a line, or `error` and the reason.
fn look_up(host: &HostPort) -> WorkerOutput {
    let text = match resolve::resolve(host) {
        Ok(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        Err(error) => format!("error {error}"),
    };
    WorkerOutput { text, fd: None }
}

fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    match text.strip_prefix("error ") {
        Some(why) => Err(why.to_owned()),
        None => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
    }
}

const _: () = assert!(worker::OUTPUT_BYTES >= 1024, "a report without the texts of its problems fits");
