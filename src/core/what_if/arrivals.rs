//! The record of packets that all steps share: sizes and arrivals, chained by device.

use super::delays::SLOTS;
use crate::core::packet_pool::{Meta, NIL, PacketId};
use crate::units::Nanos;

/// Packets that can wait at once; at more, each step forgets the oldest as if its queue had overflowed.
const PACKETS: usize = 1024;

/// IntervalTable are kept in units of 2^14 ns, 16 microseconds, so that 32 bits last for 19 hours; a packet waits for
/// seconds.
const TICK_BITS: u32 = 14;

/// The high bits of `bytes_and_slot`.
const SLOT_SHIFT: u32 = 11;
const _: () = assert!(crate::wire::MAX_PACKET_BYTES < 1 << SLOT_SHIFT && SLOTS <= 1 << (16 - SLOT_SHIFT));

/// The last packets, oldest first in a ring.
pub(super) struct Arrivals {
    ring: [Arrival; PACKETS],
    next: u16,
    full: bool,
    /// The time of the latest, to tell the others' from.
    now: Nanos,
}

#[derive(Clone, Copy)]
struct Arrival {
    tick: u32,
    bytes_and_slot: u16,
    behind: u16,
}

impl Arrivals {
    pub fn new() -> Arrivals {
        let none = Arrival { tick: 0, bytes_and_slot: 0, behind: NIL };
        Arrivals { ring: [none; PACKETS], next: 0, full: false, now: Nanos::ZERO }
    }

    /// The packet whose place the next one takes.
    pub fn oldest(&self) -> Option<PacketId> {
        self.full.then_some(PacketId(self.next))
    }

    /// Enters a packet, and gives its place.
    pub fn push(&mut self, now: Nanos, slot: u8, bytes: u16) -> PacketId {
        let id = PacketId(self.next);
        self.now = now;
        let bytes = bytes.min((1 << SLOT_SHIFT) - 1);
        let bytes_and_slot = bytes | u16::from(slot) << SLOT_SHIFT;
        self.ring[usize::from(id.0)] = Arrival { tick: tick(now), bytes_and_slot, behind: NIL };
        self.next = (self.next + 1) % PACKETS as u16;
        self.full |= self.next == 0;
        id
    }

    pub fn meta(&self, id: PacketId) -> Meta {
        let arrival = &self.ring[usize::from(id.0)];
        let waited = tick(self.now).wrapping_sub(arrival.tick);
        Meta {
            arrived: self.now.saturating_since(Nanos(u64::from(waited) << TICK_BITS)),
            bytes: arrival.bytes_and_slot & ((1 << SLOT_SHIFT) - 1),
            next: arrival.behind,
            device: (arrival.bytes_and_slot >> SLOT_SHIFT) as u8,
        }
    }

    pub fn link(&mut self, id: PacketId, next: PacketId) {
        self.ring[usize::from(id.0)].behind = next.0;
    }
}

fn tick(moment: Nanos) -> u32 {
    (moment.0 >> TICK_BITS) as u32
}
