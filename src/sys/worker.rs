//! Runs long jobs in a child process, so that cells still leave on time.
//!
//! A thread would share the daemon's memory lock and allocator. A forked process, which the kernel copies page by page
//! on write, shares neither, has all of its parent's data, and can be killed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::socket::{self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Maximum length of a report's text in bytes.
pub const OUTPUT_BYTES: usize = 4096;

/// A child process that runs one job. Dropping this value kills it.
#[derive(Debug)]
pub struct Worker {
    child: Pid,
    socket: OwnedFd,
    received: Option<WorkerOutput>,
}

/// The report of a worker.
#[derive(Debug, Default)]
pub struct WorkerOutput {
    /// Text, truncated to [`OUTPUT_BYTES`].
    pub text: String,
    /// A descriptor that the worker opened, if any.
    pub fd: Option<OwnedFd>,
}

impl Worker {
    /// Forks a child that runs `job`, sends its result as the report, and exits. The child has ordinary priority and
    /// ends with its parent. Threads other than the calling one must hold no lock that `job` needs: they may allocate
    /// memory, because fork(3) leaves the allocator unlocked, but write no log.
    pub fn start(job: impl FnOnce() -> WorkerOutput) -> io::Result<Worker> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // SAFETY: the child only runs code whose locks no other thread can hold during the fork. A router has one
        // thread. An endpoint's other threads take no lock but the allocator's, which the C library leaves unlocked.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Worker { child, socket: ours, received: None }),
            ForkResult::Child => {
                // The child must drop nothing of the parent's, because the parent's socket files and interfaces live
                // on.
                let _ours = ManuallyDrop::new(ours);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    end_with_parent();
                    send(&theirs, &job());
                }));
                // SAFETY: _exit takes no pointer, and runs none of the parent's exit handlers.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
        }
    }

    /// The report, once the worker has ended; an error if it ended without one; `None` while it runs.
    pub fn report(&mut self) -> io::Result<Option<WorkerOutput>> {
        match receive(&self.socket) {
            Ok(Some(report)) => {
                self.received = Some(report);
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(error) => self.received.take().map(Some).ok_or(error),
        }
    }
}

/// The next message, if one is waiting; an error once the other end has hung up.
fn receive(socket: &OwnedFd) -> io::Result<Option<WorkerOutput>> {
    let mut text = [0; OUTPUT_BYTES];
    let mut buffers = [IoSliceMut::new(&mut text)];
    let mut control = nix::cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = match socket::recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags) {
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        received => received?,
    };
    let mut fd = None;
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            // SAFETY: the kernel has just opened these descriptors for this process, and nothing else owns them.
            fd = fds.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }).next();
        }
    }
    let length = received.bytes;
    if length == 0 && fd.is_none() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the worker ended without a report"));
    }
    Ok(Some(WorkerOutput { text: String::from_utf8_lossy(&text[..length]).into_owned(), fd }))
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Worker {
    /// Kills a running worker, so that the wait is only for the end of a killed process.
    fn drop(&mut self) {
        if matches!(waitpid(self.child, Some(WaitPidFlag::WNOHANG)), Ok(nix::sys::wait::WaitStatus::StillAlive)) {
            _ = signal::kill(self.child, Signal::SIGKILL);
            _ = waitpid(self.child, None);
        }
    }
}

fn end_with_parent() {
    // SAFETY: PR_SET_PDEATHSIG takes a signal's number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn send(socket: &OwnedFd, report: &WorkerOutput) {
    let text = report.text.as_bytes();
    let buffers = [IoSlice::new(&text[..text.len().min(OUTPUT_BYTES)])];
    let fds: Vec<RawFd> = report.fd.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights };
    // An error means that the parent has ended and needs no report.
    _ = socket::sendmsg::<()>(socket.as_raw_fd(), &buffers, control, MsgFlags::MSG_NOSIGNAL, None);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::epoll::Poll;

    fn wait(worker: &mut Worker) -> io::Result<WorkerOutput> {
        let mut poll = Poll::new().unwrap();
        poll.add(&*worker, 0).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            assert_eq!(poll.wait()?.count(), 1);
            if let Some(report) = worker.report()? {
                return Ok(report);
            }
        }
        panic!("no report came");
    }

    #[test]
    fn a_report_has_text_and_a_descriptor() {
        let word = String::from("known before");
        let worker =
            Worker::start(|| WorkerOutput { text: word.repeat(2), fd: Some(File::open("/dev/zero").unwrap().into()) });
        let report = wait(&mut worker.unwrap()).unwrap();
        assert_eq!(report.text, "known beforeknown before");
        let mut byte = [1];
        File::from(report.fd.unwrap()).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [0]);
    }

    #[test]
    fn a_crash_is_detected_and_a_hung_worker_is_killed() {
        // SAFETY: _exit takes no pointer.
        let mut worker = Worker::start(|| unsafe { libc::_exit(3) }).unwrap();
        assert_eq!(wait(&mut worker).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let hangs = Worker::start(|| {
            std::thread::sleep(Duration::from_secs(600));
            WorkerOutput::default()
        });
        let mut hangs = hangs.unwrap();
        assert!(hangs.report().unwrap().is_none());
        let child = hangs.child;
        drop(hangs);
        assert_eq!(signal::kill(child, None), Err(Errno::ESRCH));
    }
}
