//! TUN interfaces.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// A TUN interface without packet information headers (`IFF_NO_PI`). It exists until this value is dropped, unless it
/// is persistent.
#[derive(Debug)]
pub struct Tun(File);

impl Tun {
    /// Creates or opens the interface `name`, non-blocking. Fails with `EBUSY` if another process holds it.
    pub(super) fn open(name: &str) -> io::Result<Tun> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
        // SAFETY: an ifreq is plain old data, for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the descriptor is open, and TUNSETIFF reads and writes an ifreq, which `request` is.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Tun(file)) }
    }

    /// Makes the interface persistent and closes it, for another process to open.
    pub(super) fn persist(self) -> io::Result<()> {
        // SAFETY: the descriptor is open, and TUNSETPERSIST takes a number.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TUNSETPERSIST as _, 1) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives the next packet routed into the interface, if one is waiting. Returns its length in bytes.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Passes a packet to the kernel as received on the interface.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.0).write(packet).map(|_| ())
    }
}

impl From<Tun> for OwnedFd {
    fn from(tun: Tun) -> OwnedFd {
        tun.0.into()
    }
}

/// From the descriptor of an interface that another process created and passed on.
impl From<OwnedFd> for Tun {
    fn from(fd: OwnedFd) -> Tun {
        Tun(fd.into())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
