//! The record of packets that all steps share: sizes and arrival times, chained by device.

use super::delays::SLOTS;
use crate::core::queue::{Meta, NIL, PacketId};
use crate::units::{DeviceId, Nanos};

/// Maximum number of waiting packets. With more, each step drops the oldest as if its queue had overflowed.
const PACKETS: usize = 1024;

/// Arrival times are stored in units of 2^14 ns (16 microseconds), so that 32 bits last for 19 hours; a packet waits
/// for seconds.
const TICK_BITS: u32 = 14;

/// Position of the slot in `bytes_and_slot`; the length uses the bits below it.
const SLOT_SHIFT: u32 = 11;
const _: () = assert!(crate::wire::MAX_PACKET_BYTES < 1 << SLOT_SHIFT && SLOTS <= 1 << (16 - SLOT_SHIFT));

/// The most recent packets in a ring buffer.
pub(super) struct Arrivals {
    ring: [Arrival; PACKETS],
    next: u16,
    full: bool,
    /// Arrival time of the latest packet. The other times are computed from it, because ticks wrap.
    now: Nanos,
}

#[derive(Clone, Copy)]
struct Arrival {
    tick: u32,
    bytes_and_slot: u16,
    next: u16,
}

impl Arrivals {
    pub fn new() -> Arrivals {
        let none = Arrival { tick: 0, bytes_and_slot: 0, next: NIL };
        Arrivals { ring: [none; PACKETS], next: 0, full: false, now: Nanos::ZERO }
    }

    /// The packet that the next one will overwrite; `None` until the ring is full.
    pub fn oldest(&self) -> Option<PacketId> {
        self.full.then_some(PacketId(self.next))
    }

    /// Adds a packet and returns its position.
    pub fn push(&mut self, now: Nanos, slot: DeviceId, bytes: u16) -> PacketId {
        let id = PacketId(self.next);
        self.now = now;
        let bytes = bytes.min((1 << SLOT_SHIFT) - 1);
        let bytes_and_slot = bytes | slot.0 << SLOT_SHIFT;
        self.ring[usize::from(id.0)] = Arrival { tick: tick(now), bytes_and_slot, next: NIL };
        self.next = (self.next + 1) % PACKETS as u16;
        self.full |= self.next == 0;
        id
    }

    pub fn meta(&self, id: PacketId) -> Meta {
        let arrival = &self.ring[usize::from(id.0)];
        let age = tick(self.now).wrapping_sub(arrival.tick);
        Meta {
            arrived: self.now.saturating_since(Nanos(u64::from(age) << TICK_BITS)),
            bytes: arrival.bytes_and_slot & ((1 << SLOT_SHIFT) - 1),
            next: arrival.next,
            device: DeviceId(arrival.bytes_and_slot >> SLOT_SHIFT),
        }
    }

    pub fn link(&mut self, id: PacketId, next: PacketId) {
        self.ring[usize::from(id.0)].next = next.0;
    }
}

fn tick(time: Nanos) -> u32 {
    (time.0 >> TICK_BITS) as u32
}
