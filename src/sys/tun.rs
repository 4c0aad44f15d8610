//! TUN interfaces.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::wire::offload::{HEADER_BYTES, Offload};

/// A TUN interface without packet information (`IFF_NO_PI`). It exists until this value is dropped, unless it is
/// persistent.
#[derive(Debug)]
pub struct Tun {
    file: File,
    /// Whether each packet has a header before it (`IFF_VNET_HDR`), which says what is left to do to it.
    has_header: bool,
}

impl Tun {
    /// Creates or opens the interface `name`, non-blocking. Fails with `EBUSY` if another process holds it.
    pub(super) fn open(name: &str) -> io::Result<Tun> {
        Tun::open_with(name, 0)
    }

    /// Creates the interface `name`, or opens another queue of it. Packets that are written to a queue make the kernel
    /// pass the answers to the same queue, mostly. Fails with `EINVAL` if the interface has a single queue.
    #[cfg(feature = "endpoint")]
    pub fn open_queue(name: &str) -> io::Result<Tun> {
        Tun::open_with(name, libc::IFF_MULTI_QUEUE)
    }

    fn open_with(name: &str, more_flags: libc::c_int) -> io::Result<Tun> {
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
        let mut attach = |flags: libc::c_int| {
            request.ifr_ifru.ifru_flags = flags as libc::c_short;
            // SAFETY: the descriptor is open, and TUNSETIFF reads and writes an ifreq, which `request` is.
            let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | more_flags;
        let has_header = match attach(flags | libc::IFF_VNET_HDR) {
            // The kernel does not know the header.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => attach(flags).map(|()| false),
            attached => attached.map(|()| true),
        }?;
        Ok(Tun { file, has_header })
    }

    /// Takes packets from the kernel as it has them from now on, or complete ones again: TCP segments as one packet of
    /// up to 64 KiB, and without checksums. Returns whether the kernel does so; [`Tun::receive`] says of each packet
    /// what is left to do.
    pub fn set_offload(&self, is_on: bool) -> bool {
        let features = if is_on { libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 } else { 0 };
        // SAFETY: the descriptor is open, and TUNSETOFFLOAD takes a number.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(features)) };
        is_on && self.has_header && result == 0
    }

    /// Makes the interface persistent and closes it, for another process to open.
    pub(super) fn persist(self) -> io::Result<()> {
        // SAFETY: the descriptor is open, and TUNSETPERSIST takes a number.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETPERSIST as _, 1) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives the next packet routed into the interface, if one is waiting. Returns its length in bytes, and what is
    /// left to do to it: nothing without [`Tun::set_offload`].
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Offload)>> {
        let mut header = [0; HEADER_BYTES];
        let received = if self.has_header {
            (&self.file).read_vectored(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)])
        } else {
            (&self.file).read(buffer).map(|length| length + HEADER_BYTES)
        };
        match received {
            Ok(length) => Ok(Some((length.saturating_sub(HEADER_BYTES), Offload::parse(&header)))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether each packet has a header.
    #[cfg(feature = "endpoint")]
    pub fn has_header(&self) -> bool {
        self.has_header
    }

    /// Passes a packet to the kernel as received on the interface.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.send_with(&[0; HEADER_BYTES], packet)
    }

    /// The same with a header that says what is left to do to it; without [`Tun::has_header`] nothing may be left.
    pub fn send_with(&self, header: &[u8; HEADER_BYTES], packet: &[u8]) -> io::Result<()> {
        let written = if self.has_header {
            (&self.file).write_vectored(&[IoSlice::new(header), IoSlice::new(packet)])
        } else {
            (&self.file).write(packet)
        };
        written.map(|_| ())
    }
}

impl From<Tun> for OwnedFd {
    fn from(tun: Tun) -> OwnedFd {
        tun.file.into()
    }
}

/// From the descriptor of an interface that another process created and passed on.
impl From<OwnedFd> for Tun {
    fn from(fd: OwnedFd) -> Tun {
        let file = File::from(fd);
        // SAFETY: an ifreq is plain old data, for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and TUNGETIFF writes an ifreq, which `request` is.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNGETIFF as _, &mut request) };
        // SAFETY: the kernel has set the flags of the interface, or they are the zeros from above.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        Tun { file, has_header: result == 0 && flags & libc::IFF_VNET_HDR != 0 }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
