//! Fills cells: which bytes of which packets go into the one that leaves next.

use super::pool::{Cursor, PacketId};
use super::queue::{FlowId, Pick, Queue};
use super::stats::Stats;
use crate::units::Nanos;
use crate::wire::block::LENGTH_KNOWN_BYTES;
use crate::wire::cell::{HEADER_BYTES, Header, SubType};
use crate::wire::control::Control;
use crate::wire::ip;

/// The most whole packets in one cell: a cell is at most an MTU long.
const MAX_WHOLE: usize = crate::wire::MAX_PACKET_BYTES / ip::MIN_BYTES;

/// Builds one cell after the other.
pub struct Packer {
    /// The packet whose first bytes are in an earlier cell.
    open: Option<Open>,
    sequence: u32,
}

struct Open {
    flow: FlowId,
    id: PacketId,
    cursor: Cursor,
    left: usize,
}

/// What the queue gave for one cell.
struct Load {
    continuation: usize,
    whole: [PacketId; MAX_WHOLE],
    count: usize,
    start: Option<(FlowId, PacketId)>,
}

impl Packer {
    /// A packer whose first cell has the number `sequence`.
    pub fn new(sequence: u32) -> Packer {
        Packer { open: None, sequence }
    }

    /// Writes a cell with what waits into the whole of `cell`; `departure` is when it leaves. A control message is
    /// taken where there is room. True if the cell carries anything.
    pub fn pack(
        &mut self,
        (now, departure): (Nanos, Nanos),
        queue: &mut Queue,
        control: &mut Option<Control>,
        cell: &mut [u8],
        stats: &mut Stats,
    ) -> bool {
        let (header, blocks) = cell.split_at_mut(HEADER_BYTES);
        let message = control.filter(|message| message.buffer_len() <= blocks.len());
        let room = blocks.len() - message.map_or(0, |message| message.buffer_len());
        let load = self.choose(now, queue, room, stats);

        let left_before = self.open.as_ref().map_or(0, |open| open.left);
        let mut at = self.put_continuation(queue, load.continuation, departure, blocks, stats);
        // A suspended or ended packet gives the place of the first block; one that fills the cell points past it.
        let block_offset = if at == blocks.len() { left_before } else { at };
        if let Some(message) = message {
            message.emit(&mut blocks[at..]);
            at += message.buffer_len();
            *control = None;
        }
        for id in &load.whole[..load.count] {
            let length = usize::from(queue.meta(*id).bytes);
            queue.read(&mut queue.cursor(*id), &mut blocks[at..at + length]);
            at += length;
            finish(queue, *id, departure, stats);
        }
        if let Some((flow, id)) = load.start {
            let mut cursor = queue.cursor(id);
            queue.read(&mut cursor, &mut blocks[at..]);
            self.open = Some(Open { flow, id, cursor, left: usize::from(queue.meta(id).bytes) - (blocks.len() - at) });
            at = blocks.len();
        }
        blocks[at..].fill(0);
        self.emit_header(header, block_offset as u16);
        at > 0
    }

    /// Writes a cell of padding outside the sequence.
    pub fn pack_unsequenced(&mut self, cell: &mut [u8]) {
        cell.fill(0);
        Header { sequence: 0, sub_type: SubType::Unsequenced, block_offset: 0 }.emit(cell);
    }

    fn choose(&self, now: Nanos, queue: &mut Queue, mut room: usize, stats: &mut Stats) -> Load {
        let mut load = Load { continuation: 0, whole: [PacketId(0); MAX_WHOLE], count: 0, start: None };
        let mut open = self.open.as_ref().map(|open| (open.flow, open.left));
        while room > 0 && load.count < MAX_WHOLE && (open.is_some() || room >= LENGTH_KNOWN_BYTES) {
            match queue.pick(now, room, open.map(|(flow, _)| flow), &mut stats.drops) {
                Pick::Whole(id) => {
                    load.whole[load.count] = id;
                    load.count += 1;
                    room -= usize::from(queue.meta(id).bytes);
                }
                Pick::Continue => {
                    let Some((flow, left)) = open else { break };
                    load.continuation = left.min(room);
                    queue.charge(flow, load.continuation);
                    room -= load.continuation;
                    open = None;
                }
                Pick::Start(flow, id) => {
                    load.start = Some((flow, id));
                    queue.charge(flow, room);
                    room = 0;
                }
                Pick::Nothing => break,
            }
        }
        load
    }

    fn put_continuation(
        &mut self,
        queue: &mut Queue,
        bytes: usize,
        departure: Nanos,
        blocks: &mut [u8],
        stats: &mut Stats,
    ) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        queue.read(&mut open.cursor, &mut blocks[..bytes]);
        open.left -= bytes;
        if open.left == 0 {
            finish(queue, open.id, departure, stats);
            self.open = None;
        }
        bytes
    }

    fn emit_header(&mut self, header: &mut [u8], block_offset: u16) {
        Header { sequence: self.sequence, sub_type: SubType::Sequenced, block_offset }.emit(header);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// Counts a packet whose last byte is in a cell, and forgets it.
fn finish(queue: &mut Queue, id: PacketId, departure: Nanos, stats: &mut Stats) {
    let meta = queue.meta(id);
    let delay = departure.saturating_since(meta.arrived);
    stats.delay.record(delay);
    stats.devices[usize::from(meta.device)].record(usize::from(meta.bytes), delay);
    queue.remove(id);
}
