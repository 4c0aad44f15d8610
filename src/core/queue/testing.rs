//! Packets for tests: with bytes, and as sizes alone.

use super::packet::{Meta, NIL, PacketId, Store};
use crate::units::{DeviceId, Nanos};

/// A store of sizes. It never gives a position twice and panics when a packet is used after its removal.
pub struct SizeStore {
    packets: Vec<Option<Meta>>,
    /// Length of all its packets.
    pub bytes: usize,
    /// Maximum length of all its packets.
    pub max_bytes: usize,
}

impl SizeStore {
    pub fn new(max_bytes: usize) -> SizeStore {
        SizeStore { packets: Vec::new(), bytes: 0, max_bytes }
    }

    pub fn insert(&mut self, arrived: Nanos, device: u16, bytes: u16) -> PacketId {
        self.bytes += usize::from(bytes);
        self.packets.push(Some(Meta { arrived, bytes, next: NIL, device: DeviceId(device) }));
        PacketId((self.packets.len() - 1) as u16)
    }

    /// Whether the packet has not been removed.
    pub fn holds(&self, id: PacketId) -> bool {
        self.packets[usize::from(id.0)].is_some()
    }
}

impl Store for SizeStore {
    fn meta(&self, id: PacketId) -> Meta {
        self.packets[usize::from(id.0)].expect("a packet that was not removed")
    }

    fn link(&mut self, id: PacketId, next: PacketId) {
        self.packets[usize::from(id.0)].as_mut().expect("a packet that was not removed").next = next.0;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.max_bytes
    }

    fn remove(&mut self, id: PacketId) {
        let meta = self.packets[usize::from(id.0)].take().expect("a packet that was not removed");
        self.bytes -= usize::from(meta.bytes);
    }
}

/// An IPv4/UDP packet of `bytes` bytes (at least 32) with the device's number in DSCP. Its bytes depend on `number`,
/// which [`number_of`] reads.
pub fn udp_packet(device: u8, port: u16, number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x45, device << 2, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, device, 192, 0, 2, 200];
    packet[2..4].copy_from_slice(&(bytes as u16).to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0, 53, 0, 0, 0, 0]);
    packet.extend(number.to_be_bytes());
    packet.extend((packet.len()..bytes).map(|at| (number as usize * 31 + at * 7 + at / 256) as u8));
    packet
}

/// The number of a packet that [`udp_packet`] has made.
pub fn number_of(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[28..32].try_into().expect("four bytes"))
}
