//! One flow's packets in order of arrival.

use super::packet::{Meta, NIL, PacketId, Store};

/// Index of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(pub(super) u16);

/// The waiting packets of one flow, chained through the [`Store`].
#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// The first packet, or [`NIL`].
    pub head: u16,
    /// The last packet, or [`NIL`].
    tail: u16,
    /// The flow after this one in its list, or [`NIL`].
    pub next: u16,
    /// The next flow of the same device, or [`NIL`].
    pub sibling: u16,
    /// The position of the device.
    pub device: u16,
    /// The part of the hash that tells the device's flows apart.
    pub bucket: u8,
    /// Whether the flow is the one of its device that goes before the sparse flows of others.
    pub is_first: bool,
    /// Bytes that the flow may still send in this round; at most zero if its turn is over.
    pub deficit: i32,
    /// Length of all its packets.
    pub bytes: u32,
}

impl Flow {
    /// A flow without packets, in no list.
    pub fn new(device: u16, bucket: u8, sibling: u16) -> Flow {
        Flow { head: NIL, tail: NIL, next: NIL, sibling, device, bucket, is_first: false, deficit: 0, bytes: 0 }
    }

    /// Adds a packet of `bytes` bytes behind the others.
    pub fn append(&mut self, store: &mut impl Store, id: PacketId, bytes: u16) {
        match self.tail {
            NIL => self.head = id.0,
            tail => store.link(PacketId(tail), id),
        }
        self.tail = id.0;
        self.bytes += u32::from(bytes);
    }

    /// Takes the first packet, which must exist, out of the flow. It stays in the store.
    pub fn unlink_head(&mut self, store: &impl Store) {
        let Meta { bytes, next, .. } = store.meta(PacketId(self.head));
        self.head = next;
        self.bytes -= u32::from(bytes);
        if self.head == NIL {
            self.tail = NIL;
        }
    }
}
