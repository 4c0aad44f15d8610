//! The connection to ubus's broker: a Unix stream on which nothing ever waits.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// An open connection.
#[derive(Debug)]
pub struct BrokerSocket(UnixStream);

impl BrokerSocket {
    /// Connects to the broker that listens at `path`; fails with `WouldBlock` where too many wait there already.
    pub fn connect(path: &Path) -> io::Result<BrokerSocket> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(BrokerSocket(fd.into()))
    }

    /// Takes what has come, at most a buffer full; `None` if nothing has, an error once the broker has hung up.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.read(buffer) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker has hung up")),
            Ok(length) => Ok(Some(length)),
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends the start of `bytes`; gives how many, 0 while the broker takes none.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if is_passing(&error) => Ok(0),
            sent => sent,
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl AsFd for BrokerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
