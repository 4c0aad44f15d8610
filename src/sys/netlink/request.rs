//! Requests to create, change or remove an object of the kernel.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};

use super::message::{Body, put_message};

/// A request that the kernel acknowledges or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkRequest {
    kind: u16,
    flags: u16,
    body: Body,
}

impl NetlinkRequest {
    /// Creates an object, which must not exist.
    pub fn create(kind: u16, body: Body) -> NetlinkRequest {
        NetlinkRequest { kind, flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body }
    }

    /// Changes or removes an object, which must exist.
    pub fn change(kind: u16, body: Body) -> NetlinkRequest {
        NetlinkRequest { kind, flags: NLM_F_REQUEST | NLM_F_ACK, body }
    }

    /// The message, with its netlink header.
    pub fn to_bytes(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_message(&mut bytes, self.kind, self.flags, sequence, &self.body);
        bytes
    }
}
