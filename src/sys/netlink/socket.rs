//! Synchronous netlink: a request and its acknowledgement, or a complete dump, one at a time on each socket.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer,
};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

use super::error::{NetlinkError, acknowledgement};
use super::message::{Body, NLMSG_HEADER_BYTES, put_message};
use super::request::NetlinkRequest;

/// A socket of one netlink protocol.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

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
    pub fn request(&mut self, request: &NetlinkRequest) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request.to_bytes(self.sequence), 0)?;
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
    /// appended after existing ones. With the number of a `generation` of the ruleset, the kernel refuses the batch by
    /// `ERESTART` if the ruleset has changed since.
    pub fn transact(&mut self, generation: Option<u32>, messages: &[(u16, Body)]) -> Result<(), NetlinkError> {
        /// `struct nfgenmsg` at the begin and end of a batch, with the subsystem as its resource.
        const BATCH: [u8; 4] = [0, 0, 0, libc::NFNL_SUBSYS_NFTABLES as u8];
        /// `NFNL_BATCH_GENID` of include/uapi/linux/netfilter/nfnetlink.h.
        const BATCH_GENERATION: u16 = 1;
        self.sequence = self.sequence.wrapping_add(1);
        let batch = Body::new(&BATCH);
        let mut bytes = Vec::new();
        let mut put = |kind, flags, body: &Body| put_message(&mut bytes, kind, flags, self.sequence, body);
        let begin = match generation {
            Some(number) => Body::new(&BATCH).attribute(BATCH_GENERATION, &number.to_be_bytes()),
            None => Body::new(&BATCH),
        };
        put(libc::NFNL_MSG_BATCH_BEGIN as u16, NLM_F_REQUEST, &begin);
        for (i, (kind, body)) in messages.iter().enumerate() {
            // A refusal arrives before the acknowledgement of any later message, so the last one's is enough.
            let acknowledged = if i + 1 == messages.len() { NLM_F_ACK } else { 0 };
            let kind = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | kind;
            put(kind, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND | acknowledged, body);
        }
        put(libc::NFNL_MSG_BATCH_END as u16, NLM_F_REQUEST, &batch);
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
        let mut bytes = Vec::new();
        put_message(&mut bytes, kind, flags, self.sequence, body);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Reads until the acknowledgement or the end of the dump. Returns whether a change interrupted the dump.
    fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<bool, NetlinkError> {
        let mut interrupted = false;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if read_datagram(&datagram, self.sequence, &mut interrupted, &mut each)? {
                return Ok(interrupted);
            }
        }
    }
}

/// Passes each message of a datagram that answers the request number `sequence` to `each`. Returns whether the answer
/// ends here, and sets `interrupted` if a change interrupted it.
pub fn read_datagram(
    datagram: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    mut each: impl FnMut(&[u8]),
) -> Result<bool, NetlinkError> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(|_| NetlinkError::Malformed)?;
        let length = message.length() as usize;
        let payload = rest.get(NLMSG_HEADER_BYTES..length).ok_or(NetlinkError::Malformed)?;
        // Other sequence numbers answer an earlier request that failed half-way.
        if message.sequence_number() == sequence {
            *interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            match message.message_type() {
                NLMSG_DONE | NLMSG_ERROR => {
                    return acknowledgement(message.message_type(), message.flags(), payload).map(|()| true);
                }
                _ => each(payload),
            }
        }
        rest = rest.get((length + 3) & !3..).unwrap_or(&[]);
    }
    Ok(false)
}
