//! Signals through a file descriptor, and the default action of SIGPIPE.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Restores the default action of SIGPIPE, so that the process ends quietly when the reader of its output exits
/// (`millpond plan | head`). Rust ignores SIGPIPE, and `println!` would panic. Not for the daemon: a client that hangs
/// up must not end it.
pub fn reset_sigpipe() {
    // SAFETY: the default action runs no code of this process.
    _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

/// The request behind a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Renew,
    /// SIGTERM or SIGINT.
    Stop,
}

/// A descriptor that receives SIGHUP, SIGUSR1, SIGTERM and SIGINT in place of their default actions.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals in this thread and in threads that it starts later, and opens the descriptor.
    pub fn open() -> io::Result<Signals> {
        let signals: SigSet = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next pending signal, if any.
    pub fn next(&self) -> io::Result<Option<SignalRequest>> {
        match self.0.read_signal() {
            Ok(None) | Err(Errno::EINTR) => Ok(None),
            Ok(Some(signal)) if signal.ssi_signo == Signal::SIGHUP as u32 => Ok(Some(SignalRequest::Reload)),
            Ok(Some(signal)) if signal.ssi_signo == Signal::SIGUSR1 as u32 => Ok(Some(SignalRequest::Renew)),
            Ok(Some(_)) => Ok(Some(SignalRequest::Stop)),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
