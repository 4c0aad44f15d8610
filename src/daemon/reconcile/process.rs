//! The forked processes of the reconciler: the job and the name lookup.

use std::io;
use std::net::SocketAddr;

use crate::config::model::HostPort;
use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::resolve;
use crate::sys::worker::{self, Worker, WorkerOutput};
use crate::units::Nanos;

/// A worker process that takes longer hangs and is killed. The first run on a busy router may take ten seconds.
const WORKER_TIMEOUT: Nanos = Nanos::from_secs(60);

/// A worker process, and when it started.
pub struct RunningWorker {
    worker: Worker,
    since: Nanos,
}

impl RunningWorker {
    /// Starts `work` in a forked process. Its output has that token in the epoll set.
    pub fn start(
        poll: &Poll,
        token: Token,
        now: Nanos,
        work: impl FnOnce() -> WorkerOutput,
    ) -> io::Result<RunningWorker> {
        let worker = Worker::start(work)?;
        poll.add(&worker, token.into())?;
        Ok(RunningWorker { worker, since: now })
    }

    /// Whether the process has exceeded its time-out and must be killed.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        now.saturating_since(self.since) > WORKER_TIMEOUT
    }
}

/// The output of the worker in `slot` once it has finished, failed or timed out; `slot` is then empty.
pub fn poll_worker(slot: &mut Option<RunningWorker>, poll: &Poll, now: Nanos) -> Option<io::Result<WorkerOutput>> {
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
pub fn look_up(host: &HostPort) -> WorkerOutput {
    let text = match resolve::resolve(host) {
        Ok(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        Err(error) => format!("error {error}"),
    };
    WorkerOutput { text, fd: None }
}

/// Parses the output of [`look_up`].
pub fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    match text.strip_prefix("error ") {
        Some(why) => Err(why.to_owned()),
        None => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
    }
}

const _: () = assert!(worker::OUTPUT_BYTES >= 1024, "a report without the texts of its problems fits");
