//! The devices' waiting packets: their bytes and their order.

use super::cell_plan::CellPlan;
use super::fair_queue::FairQueue;
use super::flow::FlowId;
use super::packet::{Meta, NIL, PacketId, Store};
use super::pool::{CHUNK_BYTES, PacketPool};
use crate::core::params::Limits;
use crate::core::stats::{Drops, Stats};
use crate::units::{DeviceTag, Nanos};
use crate::wire::ip::Packet;

/// Maximum busy flows of a small queue. A larger one has as many as it can hold packets.
const MIN_FLOWS: usize = 256;

/// The waiting packets and their order.
pub struct Backlog {
    queue: FairQueue,
    pool: PacketPool,
    tag: DeviceTag,
    /// The fields that are cleared in each packet. They never become fewer: packets with the previous tag may be on
    /// their way.
    cleared: DeviceTag,
}

impl Backlog {
    /// An empty backlog.
    pub fn new(limits: Limits) -> Backlog {
        let flows = (limits.bytes / CHUNK_BYTES).clamp(MIN_FLOWS, usize::from(NIL) - 1) as u16;
        let queue = FairQueue::new(limits.age, flows);
        let tag = DeviceTag::default();
        Backlog { queue, pool: PacketPool::new(limits.bytes), tag, cleared: tag }
    }

    /// Reads the devices' numbers from these header fields from now on.
    pub fn set_device_tag(&mut self, tag: DeviceTag) {
        self.tag = tag;
        self.clear_device_tag(tag);
    }

    /// Clears these header fields from now on, because the rules that write numbers into them are about to be loaded.
    pub fn clear_device_tag(&mut self, tag: DeviceTag) {
        self.cleared = self.cleared.max(tag);
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
        let meta = Meta { arrived: now, bytes: bytes.len() as u16, next: NIL, device: packet.device(self.tag) };
        if let Some(id) = self.pool.insert(packet, self.cleared, bytes, meta) {
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
        stats.devices.entry(meta.device).record(usize::from(meta.bytes), delay);
        self.queue.remove(&mut self.pool, id);
    }
}
