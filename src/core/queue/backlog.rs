//! The devices' waiting packets: their bytes and their order.

use super::cell_plan::CellPlan;
use super::fair_queue::FairQueue;
use super::flow::FlowId;
use super::packet::{Meta, NIL, PacketId, Store};
use super::pool::PacketPool;
use crate::core::params::Limits;
use crate::core::stats::{Drops, Stats};
use crate::units::Nanos;
use crate::wire::ip::Packet;

/// Number of flow slots in the engine's queue.
const FLOWS: usize = 256;

/// The waiting packets and their order.
pub struct Backlog {
    queue: FairQueue<FLOWS>,
    pool: PacketPool,
}

impl Backlog {
    /// An empty backlog.
    pub fn new(limits: Limits) -> Backlog {
        Backlog { queue: FairQueue::new(limits.age), pool: PacketPool::new(limits.bytes) }
    }

    /// Whether no packet waits. A packet whose first bytes have left still waits until its last byte has left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lists devices, bit N for number N: what waits of them is counted from now on, they may wait as long as `limits`
    /// says, and there is at least as much memory.
    pub fn list_devices(&mut self, devices: u64, limits: Limits) {
        self.queue.set_patience(devices, limits.age);
        self.pool.list_devices(devices, limits.bytes);
    }

    /// Bytes of the listed devices that wait.
    pub fn listed_bytes(&self) -> u64 {
        self.pool.listed_bytes()
    }

    /// Adds a packet. If there is no room, drops other packets first; see [`FairQueue::make_room`].
    pub fn push(&mut self, now: Nanos, packet: &Packet<'_>, bytes: &[u8], drops: &mut Drops) {
        if !self.queue.make_room(&mut self.pool, bytes.len(), drops) {
            return;
        }
        let meta = Meta { arrived: now, bytes: bytes.len() as u16, next: NIL, device: packet.dscp() };
        if let Some(id) = self.pool.insert(packet, bytes, meta) {
            self.queue.push(&mut self.pool, id, packet.flow_hash());
        }
    }

    /// Chooses what fills `room` bytes of the next cell; see [`CellPlan::choose`].
    pub fn plan_cell(&mut self, now: Nanos, room: usize, open: Option<(FlowId, usize)>, drops: &mut Drops) -> CellPlan {
        CellPlan::choose(&mut self.queue, &mut self.pool, now, room, open, drops)
    }

    /// The bytes of the packets.
    pub fn pool(&self) -> &PacketPool {
        &self.pool
    }

    /// Records the delay of a packet whose last byte is in a cell, and removes the packet.
    pub fn finish(&mut self, id: PacketId, departure: Nanos, stats: &mut Stats) {
        let meta = self.pool.meta(id);
        let delay = departure.saturating_since(meta.arrived);
        stats.delay.record(delay);
        stats.devices[usize::from(meta.device)].record(usize::from(meta.bytes), delay);
        self.queue.remove(&mut self.pool, id);
    }
}
