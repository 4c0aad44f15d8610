//! Finds the device that a packet from the Internet is for. A packet that leaves the tunnel carries the tunnel's
//! address, not the device's, so the table remembers which device sent the packets of the same conversation.

use crate::core::device_map::DeviceMap;
use crate::units::{DeviceId, DeviceTag};
use crate::wire::ip::Packet;

/// Slots for conversations at first: 4 KB. A new conversation may overwrite an old one.
const CONVERSATIONS: usize = 1024;
/// Devices for each of which there are that many slots; with more devices there are more slots.
const SLOTS_PER_DEVICE: usize = 4;

/// Conversations, and the packets received for each device.
pub struct TrafficByDevice {
    /// A power of two of them.
    conversations: Vec<Conversation>,
    received: DeviceMap<Received>,
    tag: DeviceTag,
}

#[derive(Clone, Copy, Default)]
struct Conversation {
    /// The upper half of the conversation's hash, to tell it from others in the same slot.
    tag: u16,
    device: DeviceId,
}

/// The packets received for one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of packets.
    pub packets: u64,
    /// Sum of their lengths, IP headers included.
    pub bytes: u64,
}

impl Default for TrafficByDevice {
    fn default() -> TrafficByDevice {
        TrafficByDevice {
            conversations: vec![Conversation::default(); CONVERSATIONS],
            received: DeviceMap::default(),
            tag: DeviceTag::default(),
        }
    }
}

impl TrafficByDevice {
    /// Reads the devices' numbers from these header fields from now on.
    pub fn set_device_tag(&mut self, tag: DeviceTag) {
        self.tag = tag;
    }

    /// Records a packet from a device, and returns the device.
    pub fn note_upload(&mut self, packet: &[u8]) -> DeviceId {
        let Ok(packet) = Packet::parse(packet) else { return DeviceId::UNKNOWN };
        let device = packet.device(self.tag);
        let (slot, tag) = self.slot(&packet);
        self.conversations[slot] = Conversation { tag, device };
        device
    }

    /// Counts a packet for a device, and returns the device.
    pub fn note_download(&mut self, packet: &[u8]) -> DeviceId {
        let bytes = packet.len() as u64;
        let Ok(packet) = Packet::parse(packet) else { return DeviceId::UNKNOWN };
        let (slot, tag) = self.slot(&packet);
        let Conversation { tag: stored, device } = self.conversations[slot];
        let device = if stored == tag { device } else { DeviceId::UNKNOWN };
        let received = self.received.entry(device);
        received.packets += 1;
        received.bytes += bytes;
        if self.received.len() * SLOTS_PER_DEVICE > self.conversations.len() {
            // Conversations find their slots again with the next packet from their device.
            self.conversations = vec![Conversation::default(); self.conversations.len() * 2];
        }
        device
    }

    /// The packets received for a device.
    pub fn received(&self, device: DeviceId) -> Received {
        self.received.get(device).copied().unwrap_or_default()
    }

    /// Clears the table, because the numbers now mean other devices.
    pub fn clear(&mut self) {
        *self = TrafficByDevice { tag: self.tag, ..TrafficByDevice::default() };
    }

    /// The conversation's slot and tag.
    fn slot(&self, packet: &Packet<'_>) -> (usize, u16) {
        let hash = packet.conversation_hash();
        (hash as usize & (self.conversations.len() - 1), (hash >> 16) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP over IPv4, both ways of one conversation.
    fn packet(device: u8, [from, to]: [(u8, u16); 2], bytes: u8) -> Vec<u8> {
        let mut packet = vec![0x45, device << 2, 0, 28 + bytes, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 77, 0, from.0, 192, 0, 2, 0]);
        packet[16..20].copy_from_slice(&[10, 77, 0, to.0]);
        packet.extend(from.1.to_be_bytes());
        packet.extend(to.1.to_be_bytes());
        packet.resize(28 + usize::from(bytes), 0);
        packet
    }

    #[test]
    fn an_answer_counts_for_the_device_that_asked() {
        let mut device_traffic = TrafficByDevice::default();
        let (home, server, other) = ((2, 5000), (9, 443), (8, 443));
        device_traffic.note_upload(&packet(5, [home, server], 10));
        device_traffic.note_download(&packet(0, [server, home], 100));
        device_traffic.note_download(&packet(0, [server, home], 50));
        device_traffic.note_download(&packet(0, [other, home], 1));
        assert_eq!(device_traffic.received(DeviceId(5)), Received { packets: 2, bytes: 206 });
        assert_eq!(device_traffic.received(DeviceId(0)), Received { packets: 1, bytes: 29 });
        device_traffic.note_upload(&packet(6, [home, server], 10));
        device_traffic.note_download(&packet(0, [server, home], 0));
        assert_eq!(device_traffic.received(DeviceId(6)).packets, 1, "another device now uses this port");
        device_traffic.note_download(&[]);
        device_traffic.clear();
        assert_eq!(device_traffic.received(DeviceId(5)), Received::default());
    }

    /// The other part of the 200 bytes is tested in `tests/allocations.rs`.
    #[test]
    fn an_idle_device_costs_at_most_70_bytes() {
        let tag = DeviceTag::DscpAndTtl;
        for devices in [1_000, 10_000] {
            let mut device_traffic = TrafficByDevice::default();
            device_traffic.set_device_tag(tag);
            for device in (1..=devices).map(DeviceId) {
                let mut sent = packet(device.dscp(), [(2, 5000 + device.0), (9, 443)], 10);
                sent[8] = device.ttl();
                assert_eq!(device_traffic.note_upload(&sent), device);
                device_traffic.note_download(&packet(0, [(9, 443), (2, 5000 + device.0)], 100));
            }
            let conversations = device_traffic.conversations.capacity() * size_of::<Conversation>();
            let each = (conversations + device_traffic.received.memory()) as f64 / f64::from(devices);
            let of_all = (1..=devices).map(|device| device_traffic.received(DeviceId(device)).packets);
            let counted: u64 = of_all.sum();
            println!("{each} bytes for each of {devices} devices, whose answers were counted {counted} times");
            assert!(each <= 70.0 && counted > u64::from(devices) * 9 / 10, "{each} bytes, {counted} answers");
        }
    }
}
