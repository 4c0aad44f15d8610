//! Keeps the kernel as the settings want it, whatever others do to it.
//!
//! What takes longer than the time between two cells (reading the kernel, running `nft`, looking up a name) is done by
//! a forked process, which reports and ends. So departures depend on none of it; the daemon itself only forks, in a gap
//! between cells. Looking up a name may hang, and has a process of its own: a guard that was deleted cannot wait for it.

mod debounce;
pub mod endpoint;
mod job;
pub mod report;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use log::warn;

use self::debounce::Debounce;
use self::endpoint::Endpoint;
pub use self::job::ReconcileJob;
use self::report::ReconcileReport;
use super::error::Error;
use crate::config::model::HostPort;
use crate::sys::epoll::Poll;
use crate::sys::monitor::{DATAGRAM_BYTES, Monitor};
use crate::sys::owned_guard_copy::OwnedGuardCopy;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::sys::{resolve, worker};
use crate::units::Nanos;

/// Datagrams of the kernel's that are taken in a row.
const DATAGRAM_BATCH: usize = 8;
/// Enough to empty a socket's buffer.
const DRAIN_LIMIT: usize = 1024;

/// What takes longer hangs, and is killed. A busy router may well take ten seconds for the first time.
const WORKER_TIMEOUT: Nanos = Nanos::from_secs(60);

/// The tokens of this module's descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// What the kernel tells of others' changes.
    pub monitor: u64,
    /// Of the process that brings the kernel in line.
    pub work: u64,
    /// Of the process that looks up the endpoint's name.
    pub lookup: u64,
}

/// Watches the kernel and sends processes after it.
pub struct Reconciler {
    monitors: Vec<Monitor>,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    tokens: Tokens,
    debounce: Debounce,
    work: Option<RunningWorker>,
    /// Whether the work at hand is of our own wish, not for somebody else's change.
    is_own: bool,
    lookup: Option<RunningWorker>,
    /// Whose name it looks up.
    host: Option<HostPort>,
    /// What confines where somebody flushes all of nftables, until a look has put the guard back.
    held: Option<OwnedGuardCopy>,
}

/// What the work came to.
pub struct Ended {
    /// What was found and done; an error where the process did not come to its end.
    pub report: io::Result<ReconcileReport>,
    /// The TUN interface, if it was made.
    pub tun: Option<OwnedFd>,
    /// Whether this was our own wish, not somebody else's change.
    pub is_own: bool,
}

struct RunningWorker {
    worker: Worker,
    since: Nanos,
}

impl Reconciler {
    /// Listens from now on, holds a copy of the guard that stands, and wants a first look at once.
    pub fn start(poll: &Poll, tokens: Tokens, now: Nanos) -> Result<Reconciler, Error> {
        let listening = || Error::system("listening for changes in the kernel");
        let mut monitors = vec![Monitor::routing().map_err(listening())?];
        match Monitor::nftables() {
            Ok(monitor) => monitors.push(monitor),
            // A kernel without nftables can have no guard either, and the first look will say so.
            Err(error) => warn!("listening for changes of nftables: {error}: they are looked for now and then"),
        }
        monitors.iter().try_for_each(|monitor| poll.add(monitor, tokens.monitor)).map_err(listening())?;
        let datagram = Box::new([0; DATAGRAM_BYTES]);
        Ok(Reconciler {
            monitors,
            datagram,
            tokens,
            debounce: Debounce::new(now),
            work: None,
            is_own: true,
            lookup: None,
            host: None,
            held: hold_guard(),
        })
    }

    /// Takes what the kernel tells. Says whether it may concern us.
    pub fn handle_kernel_events(&mut self, now: Nanos) -> bool {
        self.read_monitors(DATAGRAM_BATCH, now)
    }

    /// Wants a look at once.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.debounce.trigger_now(now);
    }

    /// Wants a look soon.
    pub fn note_change(&mut self, now: Nanos) {
        self.debounce.note_change(now);
    }

    /// When the loop must wake for this; `None` while a look is under way.
    pub fn due(&self) -> Option<Nanos> {
        self.work.is_none().then(|| self.debounce.due())
    }

    /// When the loop must wake for a lookup of the name.
    pub fn lookup_due(&self, endpoint: &Endpoint, now: Nanos) -> Option<Nanos> {
        self.lookup.is_none().then(|| endpoint.due(now)).flatten()
    }

    /// Starts to bring the kernel in line.
    pub fn start_reconcile(&mut self, job: &ReconcileJob<'_>, poll: &Poll, now: Nanos) -> io::Result<()> {
        self.is_own = self.debounce.note_start(now);
        let held = self.held.as_ref();
        let begun = run(poll, self.tokens.work, now, || job::reconcile(job, held));
        if begun.is_err() {
            self.debounce.note_failure(now);
        }
        self.work = Some(begun?);
        Ok(())
    }

    /// Starts to look up a name.
    pub fn start_lookup(&mut self, host: &HostPort, poll: &Poll, now: Nanos) -> io::Result<()> {
        self.host = Some(host.clone());
        self.lookup = Some(run(poll, self.tokens.lookup, now, || look_up(host))?);
        Ok(())
    }

    /// What the work came to, once it has ended.
    pub fn poll_report(&mut self, poll: &Poll, now: Nanos) -> Option<Ended> {
        let (report, tun) = match take(&mut self.work, poll, now)? {
            Ok(WorkerOutput { text, fd }) => (Ok(ReconcileReport::from_text(&text)), fd),
            Err(error) => (Err(error), None),
        };
        if report.as_ref().is_ok_and(ReconcileReport::is_complete) {
            self.debounce.note_success(now);
        } else {
            // The attempt and its taking back have told of themselves, which is no news.
            self.read_monitors(DRAIN_LIMIT, now);
            self.debounce.note_failure(now);
        }
        Some(Ended { report, tun, is_own: self.is_own })
    }

    /// Whose name was looked up and what was found, once that has ended.
    pub fn poll_addresses(&mut self, poll: &Poll, now: Nanos) -> Option<(HostPort, Result<Vec<SocketAddr>, String>)> {
        let ended = take(&mut self.lookup, poll, now)?;
        let addresses = ended.map_err(|error| error.to_string()).and_then(|report| addresses(&report.text));
        Some((self.host.take()?, addresses))
    }

    /// Whether a process has taken too long, so that it is time to end it.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        [&self.work, &self.lookup].into_iter().flatten().any(|running| running.is_overdue(now))
    }

    fn read_monitors(&mut self, most: usize, now: Nanos) -> bool {
        let Reconciler { monitors, datagram, .. } = self;
        // A socket that fails tells of nothing: better to look once too often.
        let concerned =
            monitors.iter().map(|monitor| monitor.take(datagram, most).unwrap_or(true)).fold(false, |a, b| a | b);
        if concerned {
            self.debounce.note_change(now);
        }
        concerned
    }
}

impl RunningWorker {
    fn is_overdue(&self, now: Nanos) -> bool {
        now.saturating_since(self.since) > WORKER_TIMEOUT
    }
}

/// A copy of the guard that stands, where the kernel can do that.
fn hold_guard() -> Option<OwnedGuardCopy> {
    let held = OwnedGuardCopy::open().and_then(|held| held.follow().map(|_| held));
    held.inspect_err(|cause| {
        warn!(
            "holding a copy of the guard: {cause}: Linux 5.12 can. Whoever flushes all of nftables opens the way past \
             the tunnel until the guard is back, some tenths of a second"
        );
    })
    .ok()
}

fn run(poll: &Poll, token: u64, now: Nanos, work: impl FnOnce() -> WorkerOutput) -> io::Result<RunningWorker> {
    let worker = Worker::start(work)?;
    poll.add(&worker, token)?;
    Ok(RunningWorker { worker, since: now })
}

/// What `running` has left, if it is over, and `running` no more.
fn take(running: &mut Option<RunningWorker>, poll: &Poll, now: Nanos) -> Option<io::Result<WorkerOutput>> {
    let one = running.as_mut()?;
    let ended = match one.worker.report() {
        Ok(None) if !one.is_overdue(now) => return None,
        Ok(None) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {} s", WORKER_TIMEOUT.as_secs_f64())))
        }
        Ok(Some(report)) => Ok(report),
        Err(error) => Err(error),
    };
    _ = poll.remove(&one.worker);
    *running = None;
    Some(ended)
}

/// One address a line, or `error` and why there is none.
fn look_up(host: &HostPort) -> WorkerOutput {
    let text = match resolve::resolve(host) {
        Ok(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        Err(error) => format!("error {error}"),
    };
    WorkerOutput { text, fd: None }
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    match text.strip_prefix("error ") {
        Some(why) => Err(why.to_owned()),
        None => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
    }
}

const _: () = assert!(worker::OUTPUT_BYTES >= 1024, "an report without its problems' texts fits");
