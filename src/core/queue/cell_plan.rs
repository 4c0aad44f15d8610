//! Chooses the packets that fill one cell.

#[cfg(test)]
mod tests;

use super::fair_queue::{Demand, FairQueue, Pick};
use super::flow::FlowId;
use super::packet::{PacketId, Store};
use crate::core::stats::Drops;
use crate::units::Nanos;
use crate::wire::block::LENGTH_KNOWN_BYTES;
use crate::wire::ip;

/// Maximum number of complete packets in one cell: a cell is at most an MTU long.
const MAX_COMPLETE: usize = crate::wire::MAX_PACKET_BYTES / ip::MIN_BYTES;

/// The packets and parts of packets for one cell.
pub struct CellPlan {
    /// Bytes of the packet that an earlier cell began. They end the packet if no more of it is left.
    pub continuation: usize,
    /// The packet whose first bytes fill the rest of the cell, and the number of those bytes.
    pub start: Option<(FlowId, PacketId, usize)>,
    complete: [PacketId; MAX_COMPLETE],
    count: usize,
}

impl CellPlan {
    /// Fills `room` bytes from the queue. `open` is the packet that an earlier cell began: its flow, and the bytes of
    /// it that have not left.
    pub fn choose(
        queue: &mut FairQueue,
        store: &mut impl Store,
        now: Nanos,
        mut room: usize,
        mut open: Option<(FlowId, usize)>,
        drops: &mut Drops,
    ) -> CellPlan {
        let mut plan = CellPlan { continuation: 0, start: None, complete: [PacketId(0); MAX_COMPLETE], count: 0 };
        while room > 0 && plan.count < MAX_COMPLETE && (open.is_some() || room >= LENGTH_KNOWN_BYTES) {
            let demand = Demand { now, room, open: open.map(|(flow, _)| flow) };
            match queue.pick(store, &demand, drops) {
                Pick::Complete(id) => {
                    plan.complete[plan.count] = id;
                    plan.count += 1;
                    room -= usize::from(store.meta(id).bytes);
                }
                Pick::Continue => {
                    let Some((flow, left)) = open else { break };
                    plan.continuation = left.min(room);
                    queue.charge(flow, plan.continuation);
                    room -= plan.continuation;
                    open = None;
                }
                Pick::Start(flow, id) => {
                    plan.start = Some((flow, id, room));
                    queue.charge(flow, room);
                    room = 0;
                }
                Pick::Nothing => break,
            }
        }
        plan
    }

    /// The packets that the cell contains from their first byte to their last.
    pub fn complete(&self) -> &[PacketId] {
        &self.complete[..self.count]
    }
}
