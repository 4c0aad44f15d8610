//! The order of waiting packets: deficit round robin over flows, fair between devices, with a boost for
//! sparse flows.
//!
//! Deficit round robin follows M. Shreedhar, G. Varghese (1995). The two lists and the boost follow fq_codel (RFC 8290
//! section 4.2). Flows share the quantum of their device as in sch_cake. Bytes are charged as they enter a cell, so a
//! large packet that spans cells does not delay the others.

#[cfg(test)]
mod tests;

use super::flow::{Flow, FlowId, FlowList};
use super::packet::{Meta, NIL, PacketId, Store};
use crate::core::params::DEVICES;
use crate::core::stats::Drops;
use crate::units::Nanos;
use crate::wire::block::LENGTH_KNOWN_BYTES;

/// Bytes that a device may send per round: less than a default cell, so that a turn ends within a cell.
const QUANTUM_BYTES: i32 = 256;

/// Minimum quantum of a flow in bytes, so that every flow makes progress. Up to 32 busy flows of one device share the
/// device's quantum exactly; more flows get more than the device's fair share.
const MIN_QUANTUM_BYTES: i32 = 8;

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

/// Waiting packets, by flow. Flows whose hashes collide share one of the `FLOWS` slots; they lose fairness, not
/// packets.
pub struct FairQueue<const FLOWS: usize> {
    age: Nanos,
    /// Devices that wait longer, bit N for number N, and how long.
    patient: (u64, Nanos),
    flows: [Flow; FLOWS],
    /// Flows that just became busy. They are served first, for one quantum.
    sparse: FlowList,
    /// All other busy flows, in round-robin order.
    bulk: FlowList,
    /// Number of flows of each device that are in one of the lists.
    busy_flows: [u16; DEVICES],
    packets: usize,
}

impl<const FLOWS: usize> FairQueue<FLOWS> {
    /// An empty queue. A packet that has waited longer than `age` is dropped.
    pub fn new(age: Nanos) -> FairQueue<FLOWS> {
        FairQueue {
            age,
            patient: (0, Nanos::ZERO),
            flows: [Flow::IDLE; FLOWS],
            sparse: FlowList::EMPTY,
            bulk: FlowList::EMPTY,
            busy_flows: [0; DEVICES],
            packets: 0,
        }
    }

    /// Lets the packets of these devices, bit N for number N, wait for `age` if that is longer.
    pub fn set_patience(&mut self, devices: u64, age: Nanos) {
        self.patient = (devices, age.max(self.age));
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
        let index = (hash as usize + usize::from(device)) % FLOWS;
        let flow = &mut self.flows[index];
        flow.append(store, id, bytes);
        self.packets += 1;
        if !flow.busy {
            flow.busy = true;
            flow.device = device;
            self.busy_flows[usize::from(device)] += 1;
            self.flows[index].deficit = self.quantum(device);
            self.sparse.push(&mut self.flows, index as u16);
        }
    }

    /// Chooses the next bytes of the cell. The caller charges the bytes of a `Start` or `Continue` to the flow
    /// ([`FairQueue::charge`]).
    pub fn pick(&mut self, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        match self.pick_sparse(store, demand, drops) {
            Pick::Nothing => {}
            pick => return pick,
        }
        match self.pick_bulk(store, demand, drops) {
            // No other packet can start before the open one ends, so continue it out of turn.
            Pick::Nothing if demand.open.is_some() => Pick::Continue,
            pick => pick,
        }
    }

    /// Charges a flow for bytes that entered the cell.
    pub fn charge(&mut self, flow: FlowId, bytes: usize) {
        self.flows[usize::from(flow.0)].deficit -= bytes as i32;
    }

    /// Drops a packet if it is the first of its flow. For virtual shapers, which push every packet with hash 0, so that
    /// each device has one flow.
    pub fn drop_head(&mut self, store: &mut impl Store, id: PacketId) {
        let index = usize::from(store.meta(id).device) % FLOWS;
        if self.flows[index].head == id.0 {
            self.flows[index].unlink_head(store);
            self.remove(store, id);
        }
    }

    /// Removes a packet that has left.
    pub fn remove(&mut self, store: &mut impl Store, id: PacketId) {
        store.remove(id);
        self.packets -= 1;
    }

    fn pick_sparse(&mut self, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        let mut previous = NIL;
        let mut index = self.sparse.head;
        while index != NIL {
            let Flow { next, deficit, .. } = self.flows[usize::from(index)];
            if deficit <= 0 {
                self.move_to_bulk(previous, index);
                index = next;
                continue;
            }
            match self.serve(index, store, demand, drops) {
                // An emptied flow moves to the bulk list; otherwise a trickle that empties it each time would starve
                // all other flows (RFC 8290 section 4.2).
                Service::Empty => self.move_to_bulk(previous, index),
                Service::NoRoom => previous = index,
                Service::Picked(pick) => return pick,
            }
            index = next;
        }
        Pick::Nothing
    }

    fn pick_bulk(&mut self, store: &mut impl Store, demand: &Demand, drops: &mut Drops) -> Pick {
        let mut previous = NIL;
        let mut index = self.bulk.head;
        while index != NIL {
            let flow = self.flows[usize::from(index)];
            if flow.deficit <= 0 && !self.could_use(index, store, demand) {
                // A flow that must wait for the end of the open packet keeps its turn. So does the flow of the open
                // packet: that packet continues if no other flow can use the room, and the flow pays for it later.
                previous = index;
                index = flow.next;
                continue;
            }
            if flow.deficit <= 0 {
                // The flow's turn is over. It moves to the end of the list, which this loop reaches if no other flow
                // can use the room. Its deficit grows each time, so only a few rounds are needed.
                self.flows[usize::from(index)].deficit += self.quantum(flow.device);
                self.bulk.remove(&mut self.flows, previous, index);
                self.bulk.push(&mut self.flows, index);
                index = if flow.next == NIL { index } else { flow.next };
                continue;
            }
            match self.serve(index, store, demand, drops) {
                Service::Empty => {
                    self.bulk.remove(&mut self.flows, previous, index);
                    self.flows[usize::from(index)].busy = false;
                    self.busy_flows[usize::from(flow.device)] -= 1;
                }
                Service::NoRoom => previous = index,
                Service::Picked(pick) => return pick,
            }
            index = flow.next;
        }
        Pick::Nothing
    }

    /// Whether the flow's first packet can use the room now. True for an empty flow as well: it may leave its list.
    fn could_use(&self, index: u16, store: &impl Store, demand: &Demand) -> bool {
        match (demand.open, self.flows[usize::from(index)].head) {
            (None, _) => true,
            (Some(flow), _) if flow == FlowId(index) => false,
            (Some(_), NIL) => true,
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
            self.flows[usize::from(index)].unlink_head(store);
            self.charge(FlowId(index), bytes);
            return Service::Picked(Pick::Complete(id));
        }
        if demand.open.is_none() && demand.room >= LENGTH_KNOWN_BYTES {
            self.flows[usize::from(index)].unlink_head(store);
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
            let head = self.flows[usize::from(index)].head;
            if head == NIL {
                return None;
            }
            let id = PacketId(head);
            let Meta { arrived, device, .. } = store.meta(id);
            let age = if self.patient.0 >> device & 1 == 1 { self.patient.1 } else { self.age };
            if now.saturating_since(arrived) <= age {
                return Some(id);
            }
            self.flows[usize::from(index)].unlink_head(store);
            self.remove(store, id);
            drops.aged += 1;
        }
    }

    /// Drops the packet at the head of the longest flow of the device that holds most bytes. The packets of that flow
    /// wait longest, and dropping the first one informs the sender soonest. Returns false if no packet waits.
    fn drop_from_longest(&mut self, store: &mut impl Store) -> bool {
        let mut waiting_bytes = [0; DEVICES];
        for flow in &self.flows {
            waiting_bytes[usize::from(flow.device)] += flow.bytes;
        }
        let weight = |flow: &Flow| match flow.device {
            0 => flow.bytes,
            device => waiting_bytes[usize::from(device)],
        };
        let by_weight = |index: &usize| (weight(&self.flows[*index]), self.flows[*index].bytes);
        let longest = (0..FLOWS).filter(|index| self.flows[*index].head != NIL).max_by_key(by_weight).unwrap_or(0);
        let head = self.flows[longest].head;
        if head == NIL {
            return false;
        }
        self.flows[longest].unlink_head(store);
        self.remove(store, PacketId(head));
        true
    }

    fn move_to_bulk(&mut self, previous: u16, index: u16) {
        self.sparse.remove(&mut self.flows, previous, index);
        self.bulk.push(&mut self.flows, index);
    }

    /// The quantum of a flow in bytes. The busy flows of a device share its quantum. Number 0 means all unknown
    /// devices: each flow there counts as a device.
    fn quantum(&self, device: u8) -> i32 {
        match device {
            0 => QUANTUM_BYTES,
            _ => (QUANTUM_BYTES / i32::from(self.busy_flows[usize::from(device)].max(1))).max(MIN_QUANTUM_BYTES),
        }
    }
}

enum Service {
    Picked(Pick),
    Empty,
    NoRoom,
}
