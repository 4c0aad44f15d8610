//! Many cells by one system call: the cells of a train on the way out, and those of a train on the way in.
//!
//! Each way has a first choice and a second, and both have the same effect on the wire and for the caller. Out: a
//! segment list (`UDP_SEGMENT`, Linux 4.18), which passes the network stack as one packet and is cut behind the queue;
//! or `sendmmsg`. In: joined datagrams (`UDP_GRO`, Linux 5.0); or `recvmmsg`.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use super::{CellSocket, set_int};

/// The largest payload of a UDP datagram over IPv4, and so of a segment list.
const MAX_DATAGRAM_BYTES: usize = 65_535 - 20 - 8;
/// Segments in one list: `UDP_MAX_SEGMENTS` up to Linux 6.8.
const MAX_SEGMENTS: usize = 64;
/// Datagrams that one `sendmmsg` sends at most: a train.
const MAX_SENT: usize = 64;
/// Datagrams that one `recvmmsg` receives at most.
const MAX_RECEIVED: usize = 32;
/// So many datagrams in a row that arrive alone show that nothing joins them on this path, such as a driver without
/// receive offload. `recvmmsg` then takes fewer calls.
const MAX_ALONE: u16 = 64;
/// After so many calls of `recvmmsg` that brought several datagrams, the kernel may try to join them again: until both
/// ends have agreed on trains, all cells arrive alone.
const CALLS_UNTIL_RETRY: u16 = 1_024;
/// Room for each of them.
const SLOT_BYTES: usize = 2_048;

/// The cells that one call has received, and room for them: 64 KiB.
#[derive(Debug)]
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    received: Vec<ReceivedDatagrams>,
    /// The entry of `received` that comes next.
    next: usize,
}

/// Datagrams of one size from one sender, one after the other.
#[derive(Clone, Copy, Debug)]
struct ReceivedDatagrams {
    start: usize,
    bytes: usize,
    cell_bytes: usize,
    from: SocketAddrV4,
}

impl Default for ReceiveBuffer {
    /// An empty buffer.
    fn default() -> ReceiveBuffer {
        ReceiveBuffer { bytes: vec![0; MAX_RECEIVED * SLOT_BYTES], received: Vec::with_capacity(MAX_RECEIVED), next: 0 }
    }
}

impl ReceiveBuffer {
    /// The next datagram that was received and not taken yet, with its sender.
    pub fn next_cell(&mut self) -> Option<(&[u8], SocketAddrV4)> {
        let received = self.received.get_mut(self.next)?;
        let (start, length) = (received.start, received.bytes.min(received.cell_bytes));
        received.start += length;
        received.bytes -= length;
        let from = received.from;
        self.next += usize::from(received.bytes == 0);
        Some((&self.bytes[start..start + length], from))
    }

    /// Whether all datagrams have been taken.
    pub fn is_empty(&self) -> bool {
        self.next == self.received.len()
    }
}

/// A control message with a number, as the kernel reads and writes it.
#[repr(C)]
struct ControlHeader {
    header: libc::cmsghdr,
    value: [u8; 4],
}

impl CellSocket {
    /// Sends the cells of a train to `peer`, each of `cell_bytes` bytes.
    pub fn send_train(&self, cells: &[u8], cell_bytes: usize, peer: SocketAddrV4) -> io::Result<()> {
        if cells.len() <= cell_bytes {
            return self.send(cells, peer);
        }
        if self.has_segments.get() {
            let list_bytes = (MAX_DATAGRAM_BYTES / cell_bytes).clamp(1, MAX_SEGMENTS) * cell_bytes;
            match self.send_messages(cells, list_bytes, Some(cell_bytes), peer) {
                // The interface cannot compute the segments' checksums, or the kernel refuses the list otherwise.
                // None of it has left.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP)) => {
                    self.has_segments.set(false);
                }
                result => return result,
            }
        }
        self.send_messages(cells, cell_bytes, None, peer)
    }

    /// Sends trains cell by cell from now on, as on a kernel without segment lists.
    #[cfg(any(test, feature = "lab"))]
    pub fn disable_segments(&self) {
        self.has_segments.set(false);
    }

    /// Whether the kernel takes segment lists.
    pub fn has_segments(&self) -> bool {
        self.has_segments.get()
    }

    /// Sends `bytes` in messages of `message_bytes`, each a list of segments if `segment_bytes` says so. An error means
    /// that nothing has left; what the kernel refuses later is lost.
    fn send_messages(
        &self,
        bytes: &[u8],
        message_bytes: usize,
        segment_bytes: Option<usize>,
        peer: SocketAddrV4,
    ) -> io::Result<()> {
        let mut address = socket_address(peer);
        let mut control = ControlHeader::new(libc::SOL_UDP, libc::UDP_SEGMENT, size_of::<u16>());
        control.value[..2].copy_from_slice(&(segment_bytes.unwrap_or(0) as u16).to_ne_bytes());
        let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_SENT];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_SENT];
        let mut count = 0;
        for chunk in bytes.chunks(message_bytes).take(MAX_SENT) {
            // The kernel only reads what it sends.
            let part =
                parts[count].write(libc::iovec { iov_base: chunk.as_ptr().cast_mut().cast(), iov_len: chunk.len() });
            let message = messages[count].write(message(&mut address, part));
            if segment_bytes.is_some() {
                message.msg_hdr.msg_control = (&raw mut control).cast();
                message.msg_hdr.msg_controllen = size_of::<ControlHeader>() as _;
            }
            count += 1;
        }
        // SAFETY: the descriptor is open. The first `count` messages are initialised, and all that they point to
        // (address, parts, control message, bytes) lives through the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Asks the kernel to hand over the datagrams of a train joined, or no longer; see [`CellSocket::receive_train`].
    /// A kernel that cannot join them hands them over one by one.
    pub fn join_arrivals(&self, joined: bool) {
        self.set_joining(joined);
        // A kernel that cannot is not asked again.
        self.may_join.set(self.joins_arrivals.get());
        self.alone.set(0);
    }

    /// Stops joining where it has no effect, and tries again later.
    fn watch_joining(&self, received: libc::c_int, is_joined: bool) {
        if self.joins_arrivals.get() && received > 0 {
            self.alone.set(if is_joined { 0 } else { self.alone.get() + 1 });
            if self.alone.get() == MAX_ALONE {
                self.set_joining(false);
                self.alone.set(0);
            }
        } else if self.may_join.get() && received > 1 {
            self.alone.set(self.alone.get() + 1);
            if self.alone.get() == CALLS_UNTIL_RETRY {
                self.join_arrivals(true);
            }
        }
    }

    fn set_joining(&self, joined: bool) {
        let result = set_int(&self.socket, libc::SOL_UDP, libc::UDP_GRO, joined.into());
        self.joins_arrivals.set(joined && result.is_ok());
    }

    /// Receives the datagrams that wait, by one call and at most 64 KiB. Returns whether there are any. A datagram
    /// longer than 2048 bytes is truncated.
    pub fn receive_train(&self, buffer: &mut ReceiveBuffer) -> io::Result<bool> {
        buffer.received.clear();
        buffer.next = 0;
        let (count, slot_bytes) =
            if self.joins_arrivals.get() { (1, buffer.bytes.len()) } else { (MAX_RECEIVED, SLOT_BYTES) };
        let mut control = ControlHeader::new(0, 0, 0);
        let mut addresses = [socket_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); MAX_RECEIVED];
        let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_RECEIVED];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_RECEIVED];
        for (index, slot) in buffer.bytes.chunks_mut(slot_bytes).take(count).enumerate() {
            let part = parts[index].write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() });
            let message = messages[index].write(message(&mut addresses[index], part));
            if self.joins_arrivals.get() {
                message.msg_hdr.msg_control = (&raw mut control).cast();
                message.msg_hdr.msg_controllen = size_of::<ControlHeader>() as _;
            }
        }
        // SAFETY: the descriptor is open. The first `count` messages are initialised, and all that they point to
        // (addresses, parts, control message, slots of the buffer) lives through the call and is not used otherwise.
        let received = unsafe {
            let messages = messages.as_mut_ptr().cast();
            let flags = libc::MSG_DONTWAIT as _;
            libc::recvmmsg(self.socket.as_raw_fd(), messages, count as libc::c_uint, flags, std::ptr::null_mut())
        };
        if received < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) };
        }
        for (index, message) in messages.iter().take(received as usize).enumerate() {
            // SAFETY: the kernel has filled in the first `received` messages, which were initialised before.
            let bytes = unsafe { message.assume_init_ref() }.msg_len as usize;
            let cell_bytes = control.joined_bytes().filter(|_| self.joins_arrivals.get()).unwrap_or(bytes);
            let address = &addresses[index];
            let from = SocketAddrV4::new(u32::from_be(address.sin_addr.s_addr).into(), u16::from_be(address.sin_port));
            let bytes = bytes.min(slot_bytes);
            buffer.received.push(ReceivedDatagrams { start: index * slot_bytes, bytes, cell_bytes, from });
        }
        self.watch_joining(received, control.joined_bytes().is_some());
        Ok(received > 0)
    }
}

impl ControlHeader {
    fn new(level: libc::c_int, kind: libc::c_int, value_bytes: usize) -> ControlHeader {
        // SAFETY: a cmsghdr is plain old data, for which zeros are valid.
        let mut header: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.cmsg_level = level;
        header.cmsg_type = kind;
        header.cmsg_len = (size_of::<libc::cmsghdr>() + value_bytes) as _;
        ControlHeader { header, value: [0; 4] }
    }

    /// The size of the datagrams that the kernel has joined; `None` if it has joined none.
    fn joined_bytes(&self) -> Option<usize> {
        let is_size = self.header.cmsg_level == libc::SOL_UDP && self.header.cmsg_type == libc::UDP_GRO;
        is_size.then_some(i32::from_ne_bytes(self.value) as usize).filter(|bytes| *bytes > 0)
    }
}

fn socket_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn message(address: &mut libc::sockaddr_in, part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: an mmsghdr is plain old data, for which zeros are valid; musl's has padding that cannot be named.
    let mut message: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
    message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}
