//! Lists of flows.

use super::flow_table::FlowTable;
use super::packet::NIL;

/// Flows in order; a flow is in one list at most, because its link is in the flow.
pub(super) struct FlowList {
    /// The first flow, or [`NIL`].
    pub head: u16,
    tail: u16,
}

impl FlowList {
    /// A list without flows.
    pub const EMPTY: FlowList = FlowList { head: NIL, tail: NIL };

    /// Adds `index` at the end.
    pub fn push(&mut self, flows: &mut FlowTable, index: u16) {
        flows[index].next = NIL;
        match self.tail {
            NIL => self.head = index,
            tail => flows[tail].next = index,
        }
        self.tail = index;
    }

    /// Removes `index`, whose predecessor is `previous`; [`NIL`] if it is the first.
    pub fn remove(&mut self, flows: &mut FlowTable, previous: u16, index: u16) {
        let next = flows[index].next;
        match previous {
            NIL => self.head = next,
            _ => flows[previous].next = next,
        }
        if self.tail == index {
            self.tail = previous;
        }
    }
}
