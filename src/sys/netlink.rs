//! Synchronous netlink: a request and its acknowledgement, or a complete dump, one at a time on each socket.
//!
//! Only the needed attributes are decoded, by number, so that an unexpected attribute of some driver cannot break a
//! dump.

use std::fmt;
use std::io;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

use crate::apply::Cause;

/// Whether a request creates or changes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Create the object; it must not exist.
    Create,
    /// Change or remove the object; it must exist.
    Change,
}

/// A message body: a fixed header, then attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body(pub Vec<u8>);

impl Body {
    /// A body with a header whose length is a multiple of four.
    pub fn new(header: &[u8]) -> Body {
        Body(header.to_vec())
    }

    /// Adds an attribute.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Body {
        self.push(&DefaultNla::new(kind, value.to_vec()));
        self
    }

    /// Adds a 32-bit number in the host's byte order.
    pub fn number(self, kind: u16, value: u32) -> Body {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a string with its zero byte.
    pub fn string(self, kind: u16, value: &str) -> Body {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds a nested attribute.
    pub fn nest(self, kind: u16, inner: Body) -> Body {
        self.attribute(kind | NLA_F_NESTED, &inner.0)
    }

    fn push(&mut self, item: &impl Emitable) {
        let start = self.0.len();
        self.0.resize(start + item.buffer_len(), 0);
        item.emit(&mut self.0[start..]);
    }
}

/// Number and value of each attribute in a message; a malformed attribute ends the list.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    NlasIterator::new(bytes).map_while(move |attribute| {
        let attribute = attribute.ok()?;
        // The iterator's own value() borrows from the attribute; this value borrows from the message.
        let value = rest.get(4..usize::from(attribute.length()))?;
        rest = rest.get((usize::from(attribute.length()) + 3) & !3..).unwrap_or(&[]);
        Some((attribute.kind(), value))
    })
}

/// The value of attribute `kind`.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The 32-bit number in attribute `kind`.
pub(super) fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    attribute(bytes, kind).and_then(u32_at_start)
}

/// The string in attribute `kind`, without its zero byte.
pub(super) fn string(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attribute(bytes, kind)?;
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

/// The first four bytes as a number in the host's byte order.
pub(super) fn u32_at_start(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

/// A failed netlink request.
#[derive(Debug)]
pub(super) enum NetlinkError {
    /// The socket failed.
    Io(io::Error),
    /// The kernel refused the request.
    Refused {
        /// The error number, positive.
        errno: i32,
        /// The kernel's text from the extended acknowledgement; may be empty.
        text: String,
    },
    /// The answer is malformed.
    Malformed,
    /// Objects changed during five dumps in a row.
    Changing,
}

impl NetlinkError {
    /// The kernel's error number, if it gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            NetlinkError::Refused { errno, .. } => Some(*errno),
            NetlinkError::Io(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetlinkError::Io(error) => write!(f, "netlink: {error}"),
            NetlinkError::Refused { errno, text } => {
                write!(f, "{}", io::Error::from_raw_os_error(*errno))?;
                if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
            }
            NetlinkError::Malformed => f.write_str("netlink: the kernel's answer is malformed"),
            NetlinkError::Changing => f.write_str("netlink: objects keep changing while they are listed; try again"),
        }
    }
}

impl From<NetlinkError> for Cause {
    fn from(error: NetlinkError) -> Cause {
        error.to_string().into()
    }
}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> NetlinkError {
        NetlinkError::Io(error)
    }
}

/// A socket of one netlink protocol.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

const HEADER_BYTES: usize = 16;

impl Netlink {
    /// Opens a socket for `protocol`, with extended acknowledgements and strict checking of dump requests.
    pub fn open(protocol: isize) -> Result<Netlink, NetlinkError> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Kernels before 4.12 and 4.20 do not have these options; millpond works without them.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends a request and waits for its acknowledgement.
    pub fn request(&mut self, kind: u16, mode: Mode, body: &Body) -> Result<(), NetlinkError> {
        let flags = match mode {
            Mode::Create => NLM_F_CREATE | NLM_F_EXCL,
            Mode::Change => 0,
        };
        self.send(kind, flags | NLM_F_REQUEST | NLM_F_ACK, body)?;
        self.receive(|_| {}).map(|_| ())
    }

    /// Sends a query and passes every message of the answer to `each`, without its netlink header.
    pub fn query(&mut self, kind: u16, body: &Body, each: impl FnMut(&[u8])) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_ACK, body)?;
        self.receive(each).map(|_| ())
    }

    /// All messages of a dump, without their netlink headers. Repeats a dump that a change interrupted, up to five
    /// times.
    pub fn dump(&mut self, kind: u16, body: &Body) -> Result<Vec<Vec<u8>>, NetlinkError> {
        for _ in 0..5 {
            let mut messages = Vec::new();
            self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
            let interrupted = self.receive(|message| messages.push(message.to_vec()))?;
            if !interrupted {
                return Ok(messages);
            }
        }
        Err(NetlinkError::Changing)
    }

    /// Passes every message of a dump to `each`, without its netlink header, and stores none: for lists that may be
    /// long. Objects that change during the dump may be missed.
    pub fn for_each(&mut self, kind: u16, body: &Body, each: impl FnMut(&[u8])) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
        self.receive(each).map(|_| ())
    }

    /// Sends a batch of nf_tables messages, which the kernel executes completely or not at all. New objects are
    /// appended after existing ones.
    pub fn transact(&mut self, messages: &[(u16, Body)]) -> Result<(), NetlinkError> {
        /// `struct nfgenmsg` at the begin and end of a batch, with the subsystem as its resource.
        const BATCH: [u8; 4] = [0, 0, 0, libc::NFNL_SUBSYS_NFTABLES as u8];
        self.sequence = self.sequence.wrapping_add(1);
        let batch = Body::new(&BATCH);
        let mut bytes = Vec::new();
        self.put(&mut bytes, libc::NFNL_MSG_BATCH_BEGIN as u16, NLM_F_REQUEST, &batch);
        for (i, (kind, body)) in messages.iter().enumerate() {
            // A refusal arrives before the acknowledgement of any later message, so the last one's is enough.
            let acknowledged = if i + 1 == messages.len() { NLM_F_ACK } else { 0 };
            let kind = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | kind;
            self.put(&mut bytes, kind, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND | acknowledged, body);
        }
        self.put(&mut bytes, libc::NFNL_MSG_BATCH_END as u16, NLM_F_REQUEST, &batch);
        // The batch has to be one datagram, whatever its length.
        _ = setsockopt(&self.socket, sockopt::SndBufForce, &(2 * bytes.len()));
        self.socket.send(&bytes, 0)?;
        self.receive(|_| {}).map(|_| ())
    }

    /// Discards answers to requests of a child process that was killed.
    pub fn drain(&mut self) {
        let mut byte = [0u8];
        while self.socket.recv(&mut byte.as_mut_slice(), libc::MSG_DONTWAIT).is_ok() {}
    }

    fn send(&mut self, kind: u16, flags: u16, body: &Body) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.0.len());
        self.put(&mut bytes, kind, flags, body);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Appends a message; the length of its body is a multiple of four.
    fn put(&self, bytes: &mut Vec<u8>, kind: u16, flags: u16, body: &Body) {
        bytes.extend(((HEADER_BYTES + body.0.len()) as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(&body.0);
    }

    /// Reads until the acknowledgement or the end of the dump. Returns whether a change interrupted the dump.
    fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<bool, NetlinkError> {
        let mut interrupted = false;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(|_| NetlinkError::Malformed)?;
                let length = message.length() as usize;
                let payload = rest.get(HEADER_BYTES..length).ok_or(NetlinkError::Malformed)?;
                // Other sequence numbers answer an earlier request that failed half-way.
                if message.sequence_number() == self.sequence {
                    interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                    match message.message_type() {
                        NLMSG_DONE | NLMSG_ERROR => {
                            return acknowledgement(message.message_type(), message.flags(), payload)
                                .map(|()| interrupted);
                        }
                        _ => each(payload),
                    }
                }
                rest = rest.get((length + 3) & !3..).unwrap_or(&[]);
            }
        }
    }
}

const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Parses an error message: the number, the request (complete or only its header), then attributes.
fn acknowledgement(kind: u16, flags: u16, payload: &[u8]) -> Result<(), NetlinkError> {
    let Some(code) = payload.first_chunk().map(|chunk| i32::from_ne_bytes(*chunk)) else {
        return if kind == NLMSG_DONE { Ok(()) } else { Err(NetlinkError::Malformed) };
    };
    // The end of a dump may hold its length, which is not negative.
    if code >= 0 {
        return Ok(());
    }
    let rest = payload.get(4..).unwrap_or(&[]);
    let request = match kind {
        NLMSG_DONE => 0,
        _ if flags & NLM_F_CAPPED != 0 => HEADER_BYTES,
        _ => u32_at_start(rest).map_or(HEADER_BYTES, |length| (length as usize + 3) & !3),
    };
    let text = rest.get(request..).and_then(|tail| string(tail, NLMSGERR_ATTR_MSG)).unwrap_or_default();
    Err(NetlinkError::Refused { errno: code.checked_neg().unwrap_or(0), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let body = Body::default().string(3, "mp0").number(4, 1500).nest(18, Body::default().string(1, "tun"));
        #[rustfmt::skip]
        let golden: &[u8] = &[
            8, 0, 3, 0, b'm', b'p', b'0', 0,
            8, 0, 4, 0, 0xdc, 5, 0, 0,
            12, 0, 18, 0x80, 8, 0, 1, 0, b't', b'u', b'n', 0,
        ];
        #[cfg(target_endian = "little")]
        assert_eq!(body.0, golden);
        assert_eq!(string(&body.0, 3).as_deref(), Some("mp0"));
        assert_eq!(number(&body.0, 4), Some(1500));
        assert_eq!(attribute(&body.0, 18).and_then(|info| string(info, 1)).as_deref(), Some("tun"));
    }

    #[test]
    fn a_refusal_has_the_kernels_text() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend(36u32.to_ne_bytes());
        payload.resize(4 + 36, 0);
        payload.extend(Body::default().string(NLMSGERR_ATTR_MSG, "rule exists").0);
        let error = acknowledgement(NLMSG_ERROR, 0, &payload).unwrap_err();
        assert_eq!(error.errno(), Some(17));
        assert_eq!(error.to_string(), "File exists (os error 17): rule exists");
        assert!(acknowledgement(NLMSG_ERROR, 0, &0i32.to_ne_bytes()).is_ok());
    }

    #[test]
    fn truncated_answers_are_errors_not_panics() {
        let mut payload = (-1i32).to_ne_bytes().to_vec();
        payload.extend(u32::MAX.to_ne_bytes());
        for length in 0..payload.len() {
            let _ = acknowledgement(NLMSG_ERROR, NLM_F_CAPPED, &payload[..length]);
            let _ = acknowledgement(NLMSG_ERROR, 0, &payload[..length]);
        }
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
    }
}
