//! Extracts packets and control messages from the peer's cells, which arrive here in order.

use super::stats::Stats;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::block::{self, Block};
use crate::wire::control::{ControlMessage, Malformed};
use crate::wire::ip;

/// Room for packets that the driver has not fetched: as many as the reordering window can release at once.
const READY_BYTES: usize = 6 * MAX_PACKET_BYTES;

/// Reassembles packets from the blocks of cells.
pub struct Reassembler {
    /// The bytes so far of the open packet: it has begun and not ended.
    open: Vec<u8>,
    /// The full length of the open packet; zero if no packet is open, `None` while the length is unknown.
    open_bytes: Option<usize>,
    /// Complete packets one after the other; each header gives the packet's length.
    ready: Vec<u8>,
    /// Bytes of `ready` that the driver has fetched.
    fetched: usize,
    /// The latest message that the driver has not fetched.
    control: Option<ControlMessage>,
}

impl Reassembler {
    /// A reassembler without packets. It allocates all its memory here.
    pub fn new() -> Reassembler {
        Reassembler {
            open: Vec::with_capacity(MAX_PACKET_BYTES),
            open_bytes: Some(0),
            ready: Vec::with_capacity(READY_BYTES),
            fetched: 0,
            control: None,
        }
    }

    /// Reads the blocks of the next cell.
    pub fn accept(&mut self, block_offset: u16, blocks: &[u8], stats: &mut Stats) {
        let offset = usize::from(block_offset);
        let (continuation, rest) = blocks.split_at(offset.min(blocks.len()));
        if self.is_open() && !self.handle_continuation(continuation, offset > blocks.len()) {
            stats.drops.malformed_block += 1;
            self.discard_open();
        }
        self.deliver_if_complete(stats);
        if self.handle_blocks(rest, stats).is_err() {
            stats.drops.malformed_block += 1;
        }
    }

    /// Discards the open packet: cells are missing, so it will never be complete.
    pub fn lost(&mut self, stats: &mut Stats) {
        if self.is_open() {
            stats.drops.lost_fragment += 1;
            self.discard_open();
        }
    }

    /// Copies the next complete packet into `buf` and returns its length. A packet longer than `buf` is truncated.
    pub fn poll_packet(&mut self, buf: &mut [u8]) -> Option<usize> {
        let waiting = &self.ready[self.fetched..];
        let length = ip::total_bytes(waiting)?.min(waiting.len());
        let copied = length.min(buf.len());
        buf[..copied].copy_from_slice(&waiting[..copied]);
        self.fetched += length;
        if self.fetched == self.ready.len() {
            self.ready.clear();
            self.fetched = 0;
        }
        Some(copied)
    }

    /// Returns the latest control message, each message once.
    pub fn poll_control(&mut self) -> Option<ControlMessage> {
        self.control.take()
    }

    fn is_open(&self) -> bool {
        self.open_bytes != Some(0)
    }

    fn discard_open(&mut self) {
        self.open.clear();
        self.open_bytes = Some(0);
    }

    /// Adds the bytes before the first block to the open packet. Returns false if they are more than the packet still
    /// needs, or if the packet should extend beyond this cell and does not.
    fn handle_continuation(&mut self, mut bytes: &[u8], fills_cell: bool) -> bool {
        if self.open_bytes.is_none() {
            let missing = block::LENGTH_KNOWN_BYTES.saturating_sub(self.open.len()).min(bytes.len());
            self.open.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            match block::classify(&self.open) {
                Ok(Block::Ip(length)) => self.open_bytes = Some(length),
                Ok(Block::Unknown) => return true,
                _ => return false,
            }
        }
        let missing = self.open_bytes.unwrap_or(0).saturating_sub(self.open.len());
        if bytes.len() > missing || (fills_cell && bytes.len() == missing) {
            return false;
        }
        self.open.extend_from_slice(bytes);
        true
    }

    fn deliver_if_complete(&mut self, stats: &mut Stats) {
        if self.is_open() && self.open_bytes == Some(self.open.len()) {
            deliver(&mut self.ready, &self.open, stats);
            self.discard_open();
        }
    }

    fn handle_blocks(&mut self, mut rest: &[u8], stats: &mut Stats) -> Result<(), block::Malformed> {
        loop {
            match block::classify(rest)? {
                Block::Pad => return Ok(()),
                Block::Ip(length) if length <= rest.len() => {
                    deliver(&mut self.ready, &rest[..length], stats);
                    rest = &rest[length..];
                }
                Block::ControlMessage(length) if length <= rest.len() => {
                    self.handle_control(&rest[..length], stats);
                    rest = &rest[length..];
                }
                // Only IP packets span cells, and only one packet at a time.
                Block::ControlMessage(_) => return Err(block::Malformed::Length),
                Block::Ip(_) | Block::Unknown if self.is_open() => return Err(block::Malformed::Length),
                Block::Ip(length) => {
                    self.open.extend_from_slice(rest);
                    self.open_bytes = Some(length);
                    return Ok(());
                }
                Block::Unknown => {
                    self.open.extend_from_slice(rest);
                    self.open_bytes = None;
                    return Ok(());
                }
            }
        }
    }

    fn handle_control(&mut self, bytes: &[u8], stats: &mut Stats) {
        match ControlMessage::parse(bytes) {
            Ok(message) => self.control = Some(message),
            Err(Malformed::Version | Malformed::Kind) => stats.drops.newer_control += 1,
            Err(Malformed::Length | Malformed::Value) => stats.drops.malformed_control += 1,
        }
    }
}

fn deliver(ready: &mut Vec<u8>, packet: &[u8], stats: &mut Stats) {
    // The block's length is valid, but the header may still announce fewer bytes than an IP header has.
    if ip::Packet::parse(packet).is_err() {
        stats.drops.malformed_block += 1;
        return;
    }
    if ready.len() + packet.len() > READY_BYTES {
        stats.drops.not_fetched += 1;
        return;
    }
    stats.packets_out += 1;
    stats.bytes_out += packet.len() as u64;
    ready.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 total length of 20 is valid for the block, but a header of 4 * 2 bytes is not. Found by the fuzz target
    /// `cell`.
    #[test]
    fn a_block_with_an_invalid_header_is_dropped_and_the_next_block_is_kept() {
        let good = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let mut blocks = good.repeat(2);
        blocks[0] = 0x42;
        let (mut reassembler, mut stats) = (Reassembler::new(), Stats::default());
        reassembler.accept(0, &blocks, &mut stats);
        let mut buf = [0; MAX_PACKET_BYTES];
        assert_eq!(reassembler.poll_packet(&mut buf), Some(20));
        assert_eq!(buf[..20], good);
        assert_eq!(reassembler.poll_packet(&mut buf), None);
        assert_eq!((stats.packets_out, stats.drops.malformed_block), (1, 1));
    }
}
