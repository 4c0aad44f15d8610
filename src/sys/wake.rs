//! Wakes a thread that waits in epoll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that one thread waits for, and that others make readable.
#[derive(Debug)]
pub struct WakeEvent(EventFd);

impl WakeEvent {
    /// A descriptor that is not readable.
    pub fn new() -> io::Result<WakeEvent> {
        Ok(WakeEvent(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// Makes the descriptor readable, so that the thread looks for what was sent to it before.
    pub fn wake(&self) {
        // It fails only if it is readable already.
        _ = self.0.write(1);
    }

    /// Makes the descriptor unreadable. What was sent before the last [`WakeEvent::wake`] must be looked for
    /// afterwards.
    pub fn acknowledge(&self) -> io::Result<()> {
        match self.0.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for WakeEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
