//! Waits for file descriptors with epoll.

use std::io;
use std::os::fd::AsFd;
#[cfg(feature = "endpoint")]
use std::time::Duration;

use nix::errno::Errno;
#[cfg(feature = "endpoint")]
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
#[cfg(feature = "endpoint")]
use nix::sys::time::TimeSpec;

#[cfg(feature = "endpoint")]
use crate::sys::timer;
#[cfg(feature = "endpoint")]
use crate::units::Nanos;

/// Maximum number of events that one wait returns.
pub const MAX_EVENTS: usize = 16;

/// A set of descriptors to wait for, each with the caller's token.
#[derive(Debug)]
pub struct Poll {
    epoll: Epoll,
    events: [EpollEvent; MAX_EVENTS],
}

impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, events: [EpollEvent::empty(); MAX_EVENTS] })
    }

    /// Adds a descriptor. [`Poll::wait`] returns `token` whenever it is readable (level-triggered) or has hung up.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Changes whether a descriptor in the set is polled for reading and for writing.
    pub fn change(&self, fd: impl AsFd, token: u64, (read, write): (bool, bool)) -> io::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, read);
        flags.set(EpollFlags::EPOLLOUT, write);
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(flags, token))?)
    }

    /// Removes a descriptor.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Waits until descriptors are ready and returns their tokens; none if a signal interrupts the wait.
    pub fn wait(&mut self) -> io::Result<impl Iterator<Item = u64> + '_> {
        self.wait_for(EpollTimeout::NONE)
    }

    /// The same until `moment` at the latest. Without a descriptor of a timer, a wait that ends by time is one system
    /// call.
    #[cfg(feature = "endpoint")]
    pub fn wait_until(&mut self, moment: Nanos) -> io::Result<impl Iterator<Item = u64> + '_> {
        let left = moment.saturating_since(timer::now());
        if left > Nanos::ZERO {
            let mut ready = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut ready, Some(TimeSpec::from_duration(Duration::from_nanos(left.0))), None) {
                Ok(0) | Err(Errno::EINTR) => return Ok(self.events[..0].iter().map(EpollEvent::data)),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let count = self.count_ready(EpollTimeout::ZERO)?;
        Ok(self.events[..count].iter().map(EpollEvent::data))
    }

    /// Returns the tokens of the descriptors that are ready now, without waiting.
    #[cfg(test)]
    pub fn ready(&mut self) -> io::Result<impl Iterator<Item = u64> + '_> {
        self.wait_for(EpollTimeout::ZERO)
    }

    fn wait_for(&mut self, timeout: EpollTimeout) -> io::Result<impl Iterator<Item = u64> + '_> {
        let count = self.count_ready(timeout)?;
        Ok(self.events[..count].iter().map(EpollEvent::data))
    }

    fn count_ready(&mut self, timeout: EpollTimeout) -> io::Result<usize> {
        match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => Ok(0),
            result => Ok(result?),
        }
    }
}
