//! The devices' packets while they wait: their bytes, and their order.

use super::load::Load;
use super::packet_pool::{Meta, NIL, PacketId, PacketPool};
use super::params::Limits;
use super::queue::{FlowId, Queue, Store};
use super::stats::{Drops, Stats};
use crate::units::Nanos;
use crate::wire::ip::Packet;

/// Places for flows in the engine's queue.
const FLOWS: usize = 256;

/// The packets that wait, and their order.
pub struct Backlog {
    queue: Queue<FLOWS>,
    pool: PacketPool,
}

impl Backlog {
    /// Nothing waits.
    pub fn new(limits: Limits) -> Backlog {
        Backlog { queue: Queue::new(limits.age), pool: PacketPool::new(limits.bytes) }
    }

    /// Whether no packet waits, the begun one included.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a packet in, at the cost of others where there is no room.
    pub fn push(&mut self, now: Nanos, packet: &Packet<'_>, bytes: &[u8], drops: &mut Drops) {
        if !self.queue.make_room(&mut self.pool, bytes.len(), drops) {
            return;
        }
        let meta = Meta { arrived: now, bytes: bytes.len() as u16, next: NIL, device: packet.dscp() };
        if let Some(id) = self.pool.insert(packet, bytes, meta) {
            self.queue.push(&mut self.pool, id, packet.flow_hash());
        }
    }

    /// What goes into `room` bytes of the cell next; see [`Load::choose`].
    pub fn load(&mut self, now: Nanos, room: usize, open: Option<(FlowId, usize)>, drops: &mut Drops) -> Load {
        Load::choose(&mut self.queue, &mut self.pool, now, room, open, drops)
    }

    /// The packets' bytes.
    pub fn pool(&self) -> &PacketPool {
        &self.pool
    }

    /// Counts a packet whose last byte is in a cell, and forgets it.
    pub fn finish(&mut self, id: PacketId, departure: Nanos, stats: &mut Stats) {
        let meta = self.pool.meta(id);
        let delay = departure.saturating_since(meta.arrived);
        stats.delay.record(delay);
        stats.devices[usize::from(meta.device)].record(usize::from(meta.bytes), delay);
        self.queue.remove(&mut self.pool, id);
    }
}
