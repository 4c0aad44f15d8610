//! The order of waiting packets: deficit round robin over flows, fair between devices, with a boost for
//! sparse flows.
//!
//! Deficit round robin is that of M. Shreedhar, G. Varghese (1995), the two lists and the boost those of fq_codel
//! (RFC 8290 section 4.2), the sharing of a device's quantum among its flows that of sch_cake. Bytes are charged as
//! they enter a cell, so a large packet that spans cells does not hold up the others.

use super::DEVICES;
use super::packet_pool::{Meta, NIL, PacketId};
use super::stats::Drops;
use crate::units::Nanos;
use crate::wire::block::LENGTH_KNOWN_BYTES;

/// Bytes that a device may send in its turn: less than a default cell, so that turns change with every cell.
const QUANTUM_BYTES: i32 = 256;

/// However many flows a device has, each gets on, and a turn of the round pays for at least so much: 32 busy flows
/// of one device share its quantum, more of them take more than their due.
const MIN_QUANTUM_BYTES: i32 = 8;

/// Holds the packets that a queue puts in order: the engine's [`super::packet_pool::PacketPool`] with their bytes, or the
/// [`super::ladder`]'s record of sizes and arrivals.
pub trait Store {
    /// What is known of a waiting packet.
    fn meta(&self, id: PacketId) -> Meta;
    /// Chains `next` behind `id`.
    fn link(&mut self, id: PacketId, next: PacketId);
    /// Whether a packet of `bytes` finds room now.
    fn has_room(&self, bytes: usize) -> bool;
    /// Forgets a packet.
    fn remove(&mut self, id: PacketId);
}

/// Index of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(u16);

/// What a cell asks the queue for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The moment.
    pub now: Nanos,
    /// Bytes that are left in the cell.
    pub room: usize,
    /// The flow whose packet an earlier cell began and none has ended.
    pub open: Option<FlowId>,
}

/// What goes into the cell next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pick {
    /// This packet, which fits.
    Whole(PacketId),
    /// The first bytes of this packet, which does not; its rest is in later cells.
    Start(FlowId, PacketId),
    /// More of the packet that an earlier cell began.
    Continue,
    /// Nothing that waits fits.
    Nothing,
}

/// Waiting packets, by flow. Flows share one of the `FLOWS` places where their hashes meet, which costs them
/// fairness, not packets.
pub struct Queue<const FLOWS: usize> {
    age: Nanos,
    flows: [Flow; FLOWS],
    /// Flows that just became busy: first in line for one quantum.
    sparse: List,
    /// All other busy flows, in turn.
    bulk: List,
    /// Flows of each device that are in one of the lists.
    busy_flows: [u16; DEVICES],
    waiting: usize,
}

#[derive(Clone, Copy)]
struct Flow {
    head: u16,
    tail: u16,
    /// The flow behind it in its list.
    behind: u16,
    busy: bool,
    device: u8,
    deficit: i32,
    bytes: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u16,
    tail: u16,
}

impl<const FLOWS: usize> Queue<FLOWS> {
    /// An empty queue. A packet that has waited longer than `age` is dropped.
    pub fn new(age: Nanos) -> Queue<FLOWS> {
        let idle = Flow { head: NIL, tail: NIL, behind: NIL, busy: false, device: 0, deficit: 0, bytes: 0 };
        Queue {
            age,
            flows: [idle; FLOWS],
            sparse: List { head: NIL, tail: NIL },
            bulk: List { head: NIL, tail: NIL },
            busy_flows: [0; DEVICES],
            waiting: 0,
        }
    }

    /// Whether no packet waits, the begun one included.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Makes room for a packet of `bytes`: where there is none, packets of the device that holds most are dropped;
    /// they are counted as overflow, and so is the new one where even that does not help, which gives false.
    pub fn make_room(&mut self, store: &mut impl Store, bytes: usize, drops: &mut Drops) -> bool {
        while !store.has_room(bytes) {
            drops.overflow += 1;
            if !self.drop_from_longest(store) {
                return false;
            }
        }
        true
    }

    /// Puts a packet at the end of its flow, `hash` of its addresses and ports.
    pub fn push(&mut self, store: &mut impl Store, id: PacketId, hash: u32) {
        let Meta { device, bytes, .. } = store.meta(id);
        let index = (hash as usize + usize::from(device)) % FLOWS;
        let flow = &mut self.flows[index];
        match flow.tail {
            NIL => flow.head = id.0,
            tail => store.link(PacketId(tail), id),
        }
        flow.tail = id.0;
        flow.bytes += u32::from(bytes);
        self.waiting += 1;
        if !flow.busy {
            flow.busy = true;
            flow.device = device;
            self.busy_flows[usize::from(device)] += 1;
            self.flows[index].deficit = self.quantum(device);
            self.sparse.push(&mut self.flows, index as u16);
        }
    }

    /// Chooses what comes into the cell next. The caller charges the bytes that a `Start` or `Continue` takes
    /// ([`Queue::charge`]).
    pub fn pick(&mut self, store: &mut impl Store, request: &Demand, drops: &mut Drops) -> Pick {
        match self.pick_sparse(store, request, drops) {
            Pick::Nothing => {}
            pick => return pick,
        }
        match self.pick_bulk(store, request, drops) {
            // The others must wait for the end of the begun packet: get on with it, whosever turn it is.
            Pick::Nothing if request.open.is_some() => Pick::Continue,
            pick => pick,
        }
    }

    /// Charges a flow for bytes that entered the cell.
    pub fn charge(&mut self, flow: FlowId, bytes: usize) {
        self.flows[usize::from(flow.0)].deficit -= bytes as i32;
    }

    /// Drops a packet if it is the first of its flow, pushed with a hash of 0.
    pub fn drop_head(&mut self, store: &mut impl Store, id: PacketId) {
        let index = usize::from(store.meta(id).device) % FLOWS;
        if self.flows[index].head == id.0 {
            self.unlink_head(index as u16, store);
            self.remove(store, id);
        }
    }

    /// Forgets a packet that has left.
    pub fn remove(&mut self, store: &mut impl Store, id: PacketId) {
        store.remove(id);
        self.waiting -= 1;
    }

    fn pick_sparse(&mut self, store: &mut impl Store, request: &Demand, drops: &mut Drops) -> Pick {
        let mut before = NIL;
        let mut index = self.sparse.head;
        while index != NIL {
            let Flow { behind, deficit, .. } = self.flows[usize::from(index)];
            if deficit <= 0 {
                self.move_to_bulk(before, index);
                index = behind;
                continue;
            }
            match self.serve(index, store, request, drops) {
                // An emptied flow goes to the other list, or a trickle that empties it each time would starve all
                // others (RFC 8290 section 4.2).
                Service::Empty => self.move_to_bulk(before, index),
                Service::NoRoom => before = index,
                Service::Picked(pick) => return pick,
            }
            index = behind;
        }
        Pick::Nothing
    }

    fn pick_bulk(&mut self, store: &mut impl Store, request: &Demand, drops: &mut Drops) -> Pick {
        let mut before = NIL;
        let mut index = self.bulk.head;
        while index != NIL {
            let flow = self.flows[usize::from(index)];
            if flow.deficit <= 0 && !self.could_use(index, store, request) {
                // No turn passes for a flow that must wait for the end of the begun packet, nor for the one whose
                // packet that is: it goes on where nobody else can use the room, and pays for it afterwards.
                before = index;
                index = flow.behind;
                continue;
            }
            if flow.deficit <= 0 {
                // Its turn is over. It comes again at the end of the list, which this loop reaches if nobody else
                // can use the room; its deficit grows each time, so that is soon.
                self.flows[usize::from(index)].deficit += self.quantum(flow.device);
                self.bulk.remove(&mut self.flows, before, index);
                self.bulk.push(&mut self.flows, index);
                index = if flow.behind == NIL { index } else { flow.behind };
                continue;
            }
            match self.serve(index, store, request, drops) {
                Service::Empty => {
                    self.bulk.remove(&mut self.flows, before, index);
                    self.flows[usize::from(index)].busy = false;
                    self.busy_flows[usize::from(flow.device)] -= 1;
                }
                Service::NoRoom => before = index,
                Service::Picked(pick) => return pick,
            }
            index = flow.behind;
        }
        Pick::Nothing
    }

    /// Whether a flow's first packet can go into `room` now, or the flow is empty and may leave its list.
    fn could_use(&self, index: u16, store: &impl Store, request: &Demand) -> bool {
        match (request.open, self.flows[usize::from(index)].head) {
            (None, _) => true,
            (Some(flow), _) if flow == FlowId(index) => false,
            (Some(_), NIL) => true,
            (Some(_), head) => usize::from(store.meta(PacketId(head)).bytes) <= request.room,
        }
    }

    fn serve(&mut self, index: u16, store: &mut impl Store, request: &Demand, drops: &mut Drops) -> Service {
        if request.open == Some(FlowId(index)) {
            return Service::Picked(Pick::Continue);
        }
        let Some(id) = self.fresh_head(index, store, request.now, drops) else { return Service::Empty };
        let bytes = usize::from(store.meta(id).bytes);
        if bytes <= request.room {
            self.unlink_head(index, store);
            self.charge(FlowId(index), bytes);
            return Service::Picked(Pick::Whole(id));
        }
        if request.open.is_none() && request.room >= LENGTH_KNOWN_BYTES {
            self.unlink_head(index, store);
            return Service::Picked(Pick::Start(FlowId(index), id));
        }
        Service::NoRoom
    }

    /// The first packet of a flow that is not too old; those before it are dropped.
    fn fresh_head(&mut self, index: u16, store: &mut impl Store, now: Nanos, drops: &mut Drops) -> Option<PacketId> {
        loop {
            let head = self.flows[usize::from(index)].head;
            if head == NIL {
                return None;
            }
            let id = PacketId(head);
            if now.saturating_since(store.meta(id).arrived) <= self.age {
                return Some(id);
            }
            self.unlink_head(index, store);
            self.remove(store, id);
            drops.aged += 1;
        }
    }

    fn unlink_head(&mut self, index: u16, store: &impl Store) {
        let flow = &mut self.flows[usize::from(index)];
        let meta = store.meta(PacketId(flow.head));
        flow.head = meta.next;
        flow.bytes -= u32::from(meta.bytes);
        if flow.head == NIL {
            flow.tail = NIL;
        }
    }

    /// Drops the packet at the head of the longest flow of the device that holds most bytes: its packets wait longest
    /// anyway, and its sender learns soonest from it. False where no packet waits.
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
        self.unlink_head(longest as u16, store);
        self.remove(store, PacketId(head));
        true
    }

    fn move_to_bulk(&mut self, before: u16, index: u16) {
        self.sparse.remove(&mut self.flows, before, index);
        self.bulk.push(&mut self.flows, index);
    }

    /// A device's quantum is shared by its busy flows. Number 0 stands for all unknown devices: there each flow
    /// counts as a device.
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

impl List {
    fn push(&mut self, flows: &mut [Flow], index: u16) {
        flows[usize::from(index)].behind = NIL;
        match self.tail {
            NIL => self.head = index,
            tail => flows[usize::from(tail)].behind = index,
        }
        self.tail = index;
    }

    /// Takes out `index`, which stands behind `before`, or first where that is [`NIL`].
    fn remove(&mut self, flows: &mut [Flow], before: u16, index: u16) {
        let behind = flows[usize::from(index)].behind;
        match before {
            NIL => self.head = behind,
            _ => flows[usize::from(before)].behind = behind,
        }
        if self.tail == index {
            self.tail = before;
        }
    }
}
