//! A forked process that does slow work for a component, with a time-out.

use std::io;

use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::{Nanos, Seconds};

/// A running process, and until when it may run.
pub struct RunningWorker {
    worker: Worker,
    since: Nanos,
    timeout: Nanos,
}

impl RunningWorker {
    /// Starts `work` in a forked process. Its output has that token in the epoll set. A process that takes longer than
    /// `timeout` hangs and is killed.
    pub fn start(
        poll: &Poll,
        token: Token,
        now: Nanos,
        timeout: Nanos,
        work: impl FnOnce() -> WorkerOutput,
    ) -> io::Result<RunningWorker> {
        let worker = Worker::start(work)?;
        poll.add(&worker, token.into())?;
        Ok(RunningWorker { worker, since: now, timeout })
    }

    /// When the process must be killed.
    pub fn deadline(&self) -> Nanos {
        self.since + self.timeout
    }

    /// Whether the process must be killed.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        now >= self.deadline()
    }
}

/// The output of the worker in `slot` once it has finished, failed or timed out; `slot` is then empty.
pub fn poll_worker(slot: &mut Option<RunningWorker>, poll: &Poll, now: Nanos) -> Option<io::Result<WorkerOutput>> {
    let running = slot.as_mut()?;
    let output = match running.worker.report() {
        Ok(None) if !running.is_overdue(now) => return None,
        Ok(None) => {
            let text = format!("killed after {} s without a result", Seconds(running.timeout));
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        Ok(Some(output)) => Ok(output),
        Err(error) => Err(error),
    };
    stop_worker(slot, poll);
    Some(output)
}

/// Kills the worker in `slot`, if there is one. Returns whether there was one.
pub fn stop_worker(slot: &mut Option<RunningWorker>, poll: &Poll) -> bool {
    let Some(running) = slot.take() else { return false };
    _ = poll.remove(&running.worker);
    true
}
