//! The order of waiting packets: deficit round robin over flows, fair between devices, with a boost for
//! sparse flows.
//!
//! Deficit round robin follows M. Shreedhar, G. Varghese (1995). The lists and the boost follow fq_codel (RFC 8290
//! section 4.2). Flows share the quantum of their device as in sch_cake. Bytes are charged as they enter a cell, so a
//! large packet that spans cells does not delay the others.
//!
//! The number of devices and of their flows changes neither what another device gets nor what a packet costs.

#[cfg(test)]
mod tests;

use super::flow::{Flow, FlowId};
use super::flow_list::FlowList;
use super::flow_table::FlowTable;
use super::packet::{Meta, NIL, PacketId, Store};
use crate::core::stats::Drops;
use crate::units::{DeviceId, Nanos};
use crate::wire::block::LENGTH_KNOWN_BYTES;

/// Bytes that a device may send per round: less than a default cell, so that a turn ends within a cell.
const QUANTUM_BYTES: i32 = 256;

/// Flows of one device that are told apart. Flows whose hashes collide share one; they lose fairness, not packets.
const FLOWS: u32 = 32;
/// Flows of unknown devices that are told apart. Each counts as a device.
const UNKNOWN_FLOWS: u32 = 256;
/// The first number of the flows of unknown devices: greater than any device's.
const FIRST_UNKNOWN: u16 = 1 << 14;

/// Flows that are asked for a packet that fits beside the open one. If these have none, the open packet goes on, so the
/// cost of a cell does not grow with the number of flows.
const MAX_ASKED: usize = 64;

/// What a cell needs from the queue.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The current time.
    pub now: Nanos,
    /// Free bytes in the cell.
    pub room: usize,
    /// The flow of the open packet, if there is one: an earlier cell contains its first bytes and none its last.
    pub open: Option<FlowId>,
}

/// The queue's choice for the next bytes of the cell.
#[derive(Debug, PartialEq, Eq)]
pub enum Pick {
    /// This packet, which fits.
    Complete(PacketId),
    /// The first bytes of this packet, which does not fit; the rest goes into later cells.
    Start(FlowId, PacketId),
    /// More bytes of the open packet.
    Continue,
    /// No waiting packet fits.
    Nothing,
}

/// Waiting packets, by device and flow.
pub struct FairQueue {
    age: Nanos,
    /// Devices that wait longer, bit N for number N, and how long.
    patient: (u64, Nanos),
    table: FlowTable,
    /// Flows that just became busy, one of each device. They are served first, for one quantum.
    first: FlowList,
    /// The other flows that just became busy. They are served next, so a device with many of them delays no other.
    sparse: FlowList,
    /// All other busy flows, in round-robin order.
    bulk: FlowList,
    packets: usize,
}

impl FairQueue {
    /// An empty queue. A packet that has waited longer than `age` is dropped. With more than `max_flows` busy flows,
    /// some of them share.
    pub fn new(age: Nanos, max_flows: u16) -> FairQueue {
        FairQueue {
            age,
            patient: (0, Nanos::ZERO),
            table: FlowTable::new(max_flows),
            first: FlowList::EMPTY,
            sparse: FlowList::EMPTY,
            bulk: FlowList::EMPTY,
            packets: 0,
        }
    }

    /// Lets the packets of these devices, bit N for number N, wait for `age` if that is longer.
    pub fn set_patience(&mut self, devices: u64, age: Nanos) {
        self.patient = (devices, age.max(self.age));
    }

    /// Memory beside the type itself of a queue with so few flows that all are reserved, in bytes.
    pub const fn bytes(flows: usize) -> usize {
        FlowTable::bytes(flows)
    }

    /// Whether no packet waits. The open packet still waits.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Makes room for a packet of `bytes` bytes by dropping packets of the device that holds most. Returns false if
    /// there is no room even then. Dropped packets count as overflow, the new one included.
    pub fn make_room(&mut self, store: &mut impl Store, bytes: usize, drops: &mut Drops) -> bool {
        while !store.has_room(bytes) {
            drops.overflow += 1;
            if !self.drop_from_longest(store) {
                return false;
            }
        }
        true
    }

    /// Appends a packet to its flow; `hash` is the hash of its addresses and ports.
    pub fn push(&mut self, store: &mut impl Store, id: PacketId, hash: u32) {
        let Meta { device, bytes, .. } = store.meta(id);
        let (key, bucket) = key(device, hash);
        let (index, is_new) = self.table.flow(key, bucket, hash);
        self.table.append(index, store, id, bytes);
        self.packets += 1;
        if is_new {
            let device = self.table[index].device;
            self.table[index].deficit = self.quantum(device);
            let is_first = !std::mem::replace(&mut self.table.device_mut(device).has_first, true);
            self.table[index].is_first = is_first;
            let list = if is_first { &mut self.first } else { &mut self.sparse };
            list.push(&mut self.table, index);
        }
    }

    /// Chooses the next bytes of the cell. The caller charges the bytes of a `Start` or `Continue` to the flow
    /// ([`FairQueue::charge`]).
    pub fn pick(&mut self, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        for is_first in [true, false] {
            match self.pick_sparse(is_first, store, demand, drops) {
                Pick::Nothing => {}
                pick => return pick,
            }
        }
        match self.pick_bulk(store, demand, drops) {
            // No other packet can start before the open one ends, so continue it out of turn.
            Pick::Nothing if demand.open.is_some() => Pick::Continue,
            pick => pick,
        }
    }

    /// Charges a flow for bytes that entered the cell.
    pub fn charge(&mut self, flow: FlowId, bytes: usize) {
        self.table[flow.0].deficit -= bytes as i32;
    }

    /// Drops a packet if it is the first of its flow. For virtual shapers, which push every packet with hash 0, so that
    /// each device has one flow.
    pub fn drop_head(&mut self, store: &mut impl Store, id: PacketId) {
        let (key, bucket) = key(store.meta(id).device, 0);
        let index = self.table.find(key, bucket);
        if index != NIL && self.table[index].head == id.0 {
            self.table.unlink_head(index, store);
            self.remove(store, id);
        }
    }

    /// Removes a packet that has left.
    pub fn remove(&mut self, store: &mut impl Store, id: PacketId) {
        store.remove(id);
        self.packets -= 1;
    }

    fn pick_sparse(&mut self, is_first: bool, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        let mut previous = NIL;
        let mut index = if is_first { self.first.head } else { self.sparse.head };
        let mut asked = 0;
        while index != NIL && asked < MAX_ASKED {
            let Flow { next, deficit, .. } = self.table[index];
            if deficit <= 0 {
                self.move_to_bulk(previous, index);
                index = next;
                continue;
            }
            match self.serve(index, store, demand, drops) {
                // An emptied flow moves to the bulk list; otherwise a trickle that empties it each time would starve
                // all other flows (RFC 8290 section 4.2).
                Service::Empty => self.move_to_bulk(previous, index),
                Service::NoRoom => {
                    previous = index;
                    asked += 1;
                }
                Service::Picked(pick) => return pick,
            }
            index = next;
        }
        Pick::Nothing
    }

    fn pick_bulk(&mut self, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        let mut previous = NIL;
        let mut index = self.bulk.head;
        let mut asked = 0;
        while index != NIL && asked < MAX_ASKED {
            let flow = self.table[index];
            if flow.deficit <= 0 && !self.could_use(index, store, demand) {
                // A flow that must wait for the end of the open packet keeps its turn. So does the flow of the open
                // packet: that packet continues if no other flow can use the room, and the flow pays for it later.
                previous = index;
                index = flow.next;
                asked += 1;
                continue;
            }
            if flow.deficit <= 0 {
                // The flow's turn is over. It moves to the end of the list, which this loop reaches if no other flow
                // can use the room. Its deficit grows each time, so only a few rounds are needed.
                self.table[index].deficit += self.quantum(flow.device);
                self.bulk.remove(&mut self.table, previous, index);
                self.bulk.push(&mut self.table, index);
                index = if flow.next == NIL { index } else { flow.next };
                continue;
            }
            match self.serve(index, store, demand, drops) {
                Service::Empty => {
                    self.bulk.remove(&mut self.table, previous, index);
                    self.table.release(index);
                }
                Service::NoRoom => {
                    previous = index;
                    asked += 1;
                }
                Service::Picked(pick) => return pick,
            }
            index = flow.next;
        }
        Pick::Nothing
    }

    /// Whether the flow's first packet can use the room now. An empty flow waits for its turn like the others: if it
    /// left its list before it has paid for its last packet, it would be sparse again with the next one.
    fn could_use(&self, index: u16, store: &impl Store, demand: &Demand) -> bool {
        match (demand.open, self.table[index].head) {
            (None, _) => true,
            (Some(flow), _) if flow == FlowId(index) => false,
            (Some(_), NIL) => false,
            (Some(_), head) => usize::from(store.meta(PacketId(head)).bytes) <= demand.room,
        }
    }

    fn serve(&mut self, index: u16, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Service {
        if demand.open == Some(FlowId(index)) {
            return Service::Picked(Pick::Continue);
        }
        let Some(id) = self.first_unexpired(index, store, demand.now, drops) else { return Service::Empty };
        let bytes = usize::from(store.meta(id).bytes);
        if bytes <= demand.room {
            self.table.unlink_head(index, store);
            self.charge(FlowId(index), bytes);
            return Service::Picked(Pick::Complete(id));
        }
        if demand.open.is_none() && demand.room >= LENGTH_KNOWN_BYTES {
            self.table.unlink_head(index, store);
            return Service::Picked(Pick::Start(FlowId(index), id));
        }
        Service::NoRoom
    }

    /// The first packet of a flow that is not too old; older packets are dropped.
    fn first_unexpired(
        &mut self,
        index: u16,
        store: &mut impl Store,
        now: Nanos,
        drops: &mut Drops,
    ) -> Option<PacketId> {
        loop {
            let head = self.table[index].head;
            if head == NIL {
                return None;
            }
            let id = PacketId(head);
            let Meta { arrived, device, .. } = store.meta(id);
            let age = if device.is_in(self.patient.0) { self.patient.1 } else { self.age };
            if now.saturating_since(arrived) <= age {
                return Some(id);
            }
            self.table.unlink_head(index, store);
            self.remove(store, id);
            drops.aged += 1;
        }
    }

    /// Drops the packet at the head of the longest flow of the device that holds most bytes. The packets of that flow
    /// wait longest, and dropping the first one informs the sender soonest. Returns false if no packet waits.
    fn drop_from_longest(&mut self, store: &mut impl Store) -> bool {
        let Some(longest) = self.table.longest() else { return false };
        let head = self.table[longest].head;
        self.table.unlink_head(longest, store);
        self.remove(store, PacketId(head));
        true
    }

    fn move_to_bulk(&mut self, previous: u16, index: u16) {
        let Flow { is_first, device, .. } = self.table[index];
        if is_first {
            self.table.device_mut(device).has_first = false;
        }
        let list = if is_first { &mut self.first } else { &mut self.sparse };
        list.remove(&mut self.table, previous, index);
        self.bulk.push(&mut self.table, index);
    }

    /// The quantum of a flow in bytes. The busy flows of a device share its quantum.
    fn quantum(&self, device: u16) -> i32 {
        QUANTUM_BYTES / i32::from(self.table.device(device).busy_flows.max(1))
    }
}

/// What counts as a device, and as a flow of it: number 0 means all unknown devices, each flow of which counts as a
/// device.
fn key(device: DeviceId, hash: u32) -> (DeviceId, u8) {
    match device {
        DeviceId::UNKNOWN => (DeviceId(FIRST_UNKNOWN + (hash % UNKNOWN_FLOWS) as u16), 0),
        device => (device, (hash % FLOWS) as u8),
    }
}

enum Service {
    Picked(Pick),
    Empty,
    NoRoom,
}
