//! The connection to the ubus broker: a non-blocking Unix stream socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// An open connection.
#[derive(Debug)]
pub struct BrokerSocket(UnixStream);

impl BrokerSocket {
    /// Connects to the broker at `path`. Fails with `WouldBlock` if the broker's accept queue is full.
    pub fn connect(path: &Path) -> io::Result<BrokerSocket> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(BrokerSocket(fd.into()))
    }

    /// Makes every later call wait for the broker, for at most `timeout`.
    pub fn block(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_nonblocking(false)?;
        self.0.set_read_timeout(Some(timeout))?;
        self.0.set_write_timeout(Some(timeout))
    }

    /// Receives waiting bytes, at most a buffer full. `None` if none are waiting; an error once the broker has hung up.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.read(buffer) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker has hung up")),
            Ok(length) => Ok(Some(length)),
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends as much of `bytes` as the socket takes. Returns the number of bytes sent, 0 while the send buffer is full.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if is_transient(&error) => Ok(0),
            sent => sent,
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl AsFd for BrokerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
