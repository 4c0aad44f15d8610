//! Fills cells with the bytes of waiting packets.

#[cfg(test)]
mod tests;

use super::queue::{Backlog, Cursor, FlowId, PacketId, Store};
use super::stats::Stats;
use crate::units::Nanos;
use crate::wire::cell::{HEADER_BYTES, Header, SubType};
use crate::wire::control::ControlMessage;

/// Builds the cells in sequence.
pub struct Packer {
    /// The packet whose first bytes left in an earlier cell.
    open: Option<OpenPacket>,
    sequence: u32,
}

struct OpenPacket {
    flow: FlowId,
    id: PacketId,
    cursor: Cursor,
    left: usize,
}

impl Packer {
    /// A packer whose first cell has the sequence number `sequence`.
    pub fn new(sequence: u32) -> Packer {
        Packer { open: None, sequence }
    }

    /// Fills all of `cell` from the backlog; `departure` is its departure time. The cell takes the control message if
    /// there is room for it. Returns whether the cell carries anything.
    pub fn pack(
        &mut self,
        (now, departure): (Nanos, Nanos),
        backlog: &mut Backlog,
        control: &mut Option<ControlMessage>,
        cell: &mut [u8],
        stats: &mut Stats,
    ) -> bool {
        let (header, blocks) = cell.split_at_mut(HEADER_BYTES);
        let message = control.filter(|message| message.buffer_len() <= blocks.len());
        let room = blocks.len() - message.map_or(0, |message| message.buffer_len());
        let open = self.open.as_ref().map(|open| (open.flow, open.left));
        let plan = backlog.plan_cell(now, room, open, &mut stats.drops);

        let left_before = self.open.as_ref().map_or(0, |open| open.left);
        let mut at = self.put_continuation(backlog, plan.continuation, departure, blocks, stats);
        // BlockOffset is the position of the first block. If the open packet fills the cell, BlockOffset points beyond
        // the cell's end.
        let block_offset = if at == blocks.len() { left_before } else { at };
        if let Some(message) = message {
            message.emit(&mut blocks[at..]);
            at += message.buffer_len();
            *control = None;
        }
        for id in plan.complete() {
            let length = usize::from(backlog.pool().meta(*id).bytes);
            backlog.pool().read(&mut backlog.pool().cursor(*id), &mut blocks[at..at + length]);
            at += length;
            backlog.finish(*id, departure, stats);
        }
        if let Some((flow, id, bytes)) = plan.start {
            let pool = backlog.pool();
            let mut cursor = pool.cursor(id);
            pool.read(&mut cursor, &mut blocks[at..at + bytes]);
            self.open = Some(OpenPacket { flow, id, cursor, left: usize::from(pool.meta(id).bytes) - bytes });
            at += bytes;
        }
        blocks[at..].fill(0);
        self.emit_header(header, block_offset as u16);
        at > 0
    }

    /// Writes a cell of padding that does not take a sequence number.
    pub fn pack_unsequenced(&mut self, cell: &mut [u8]) {
        cell.fill(0);
        Header { sequence: 0, sub_type: SubType::Unsequenced, block_offset: 0 }.emit(cell);
    }

    fn put_continuation(
        &mut self,
        backlog: &mut Backlog,
        bytes: usize,
        departure: Nanos,
        blocks: &mut [u8],
        stats: &mut Stats,
    ) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        backlog.pool().read(&mut open.cursor, &mut blocks[..bytes]);
        open.left -= bytes;
        if open.left == 0 {
            backlog.finish(open.id, departure, stats);
            self.open = None;
        }
        bytes
    }

    fn emit_header(&mut self, header: &mut [u8], block_offset: u16) {
        Header { sequence: self.sequence, sub_type: SubType::Sequenced, block_offset }.emit(header);
        self.sequence = self.sequence.wrapping_add(1);
    }
}
