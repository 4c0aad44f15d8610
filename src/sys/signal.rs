//! Signals as a descriptor, and the one that a closed pipe sends.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Lets the process end quietly when whoever reads what it prints goes away (`millpond plan | head`). Rust ignores SIGPIPE,
/// and its `println!` panics then. Not for a daemon: a client that hangs up must not end it.
pub fn reset_sigpipe() {
    // SAFETY: the default action runs no code of this process.
    _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Renew,
    /// SIGTERM or SIGINT.
    Stop,
}

/// SIGHUP, SIGUSR1, SIGTERM and SIGINT, which from now on come here alone.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals in this thread, and in those that it starts later, and opens the descriptor.
    pub fn open() -> io::Result<Signals> {
        let signals: SigSet = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next one that came, if any.
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
