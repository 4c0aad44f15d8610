//! One flow's packets in order of arrival, and lists of flows.

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
    /// Whether the flow is in a list.
    pub busy: bool,
    /// The device that made the flow busy.
    pub device: u8,
    /// Bytes that the flow may still send in this round; at most zero if its turn is over.
    pub deficit: i32,
    /// Length of all its packets.
    pub bytes: u32,
}

/// Flows in order; a flow is in one list at most, because its link is in the flow.
pub(super) struct FlowList {
    /// The first flow, or [`NIL`].
    pub head: u16,
    tail: u16,
}

impl Flow {
    /// A flow without packets, in no list.
    pub const IDLE: Flow = Flow { head: NIL, tail: NIL, next: NIL, busy: false, device: 0, deficit: 0, bytes: 0 };

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

impl FlowList {
    /// A list without flows.
    pub const EMPTY: FlowList = FlowList { head: NIL, tail: NIL };

    /// Adds `index` at the end.
    pub fn push(&mut self, flows: &mut [Flow], index: u16) {
        flows[usize::from(index)].next = NIL;
        match self.tail {
            NIL => self.head = index,
            tail => flows[usize::from(tail)].next = index,
        }
        self.tail = index;
    }

    /// Removes `index`, whose predecessor is `previous`; [`NIL`] if it is the first.
    pub fn remove(&mut self, flows: &mut [Flow], previous: u16, index: u16) {
        let next = flows[usize::from(index)].next;
        match previous {
            NIL => self.head = next,
            _ => flows[usize::from(previous)].next = next,
        }
        if self.tail == index {
            self.tail = previous;
        }
    }
}
