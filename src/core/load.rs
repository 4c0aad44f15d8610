//! What of a queue goes into one cell.

use super::packet_pool::PacketId;
use super::queue::{Demand, FlowId, Pick, Queue, Store};
use super::stats::Drops;
use crate::units::Nanos;
use crate::wire::block::LENGTH_KNOWN_BYTES;
use crate::wire::ip;

/// The most whole packets in one cell: a cell is at most an MTU long.
const MAX_WHOLE: usize = crate::wire::MAX_PACKET_BYTES / ip::MIN_BYTES;

/// What the queue gave for one cell.
pub struct Load {
    /// Bytes of the packet that an earlier cell began; its last ones if there are as many left.
    pub continuation: usize,
    /// The packet whose first bytes fill the rest of the cell, and how many those are.
    pub start: Option<(FlowId, PacketId, usize)>,
    whole: [PacketId; MAX_WHOLE],
    count: usize,
}

impl Load {
    /// Fills `room` bytes from the queue. `open` is what an earlier cell began: its flow, and how many bytes are left.
    pub fn choose<const FLOWS: usize>(
        queue: &mut Queue<FLOWS>,
        store: &mut impl Store,
        now: Nanos,
        mut room: usize,
        mut open: Option<(FlowId, usize)>,
        drops: &mut Drops,
    ) -> Load {
        let mut load = Load { continuation: 0, start: None, whole: [PacketId(0); MAX_WHOLE], count: 0 };
        while room > 0 && load.count < MAX_WHOLE && (open.is_some() || room >= LENGTH_KNOWN_BYTES) {
            let request = Demand { now, room, open: open.map(|(flow, _)| flow) };
            match queue.pick(store, &request, drops) {
                Pick::Whole(id) => {
                    load.whole[load.count] = id;
                    load.count += 1;
                    room -= usize::from(store.meta(id).bytes);
                }
                Pick::Continue => {
                    let Some((flow, left)) = open else { break };
                    load.continuation = left.min(room);
                    queue.charge(flow, load.continuation);
                    room -= load.continuation;
                    open = None;
                }
                Pick::Start(flow, id) => {
                    load.start = Some((flow, id, room));
                    queue.charge(flow, room);
                    room = 0;
                }
                Pick::Nothing => break,
            }
        }
        load
    }

    /// The packets that are in the cell from their first byte to their last.
    pub fn whole(&self) -> &[PacketId] {
        &self.whole[..self.count]
    }
}
