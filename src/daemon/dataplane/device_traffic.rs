//! Finds the device that a packet from the Internet is for. A packet that leaves the tunnel carries the tunnel's
//! address, not the device's, so the table remembers which device sent the packets of the same conversation.

use crate::core::DEVICES;
use crate::wire::ip::Packet;

/// Slots for conversations. A new conversation may overwrite an old one.
const CONVERSATIONS: usize = 1024;

/// Conversations, and the packets received for each device by its number; 0 for devices without one. 5 KB.
pub struct TrafficByDevice {
    conversations: Box<[Conversation; CONVERSATIONS]>,
    received: [Received; DEVICES],
}

#[derive(Clone, Copy, Default)]
struct Conversation {
    /// The upper half of the conversation's hash, to tell it from others in the same slot.
    tag: u16,
    device: u8,
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
        let conversations = Box::new([Conversation::default(); CONVERSATIONS]);
        TrafficByDevice { conversations, received: [Received::default(); DEVICES] }
    }
}

impl TrafficByDevice {
    /// Records a packet from a device. Its DSCP is the device's number, which is returned.
    pub fn note_upload(&mut self, packet: &[u8]) -> u8 {
        let Ok(packet) = Packet::parse(packet) else { return 0 };
        let (slot, tag) = slot(&packet);
        self.conversations[slot] = Conversation { tag, device: packet.dscp() };
        packet.dscp()
    }

    /// Counts a packet for a device, and returns the number of that device, 0 if it is unknown.
    pub fn note_download(&mut self, packet: &[u8]) -> u8 {
        let bytes = packet.len() as u64;
        let Ok(packet) = Packet::parse(packet) else { return 0 };
        let (slot, tag) = slot(&packet);
        let Conversation { tag: stored, device } = self.conversations[slot];
        let device = if stored == tag { usize::from(device) } else { 0 };
        if let Some(received) = self.received.get_mut(device) {
            received.packets += 1;
            received.bytes += bytes;
        }
        device as u8
    }

    /// The packets received for the device of that number.
    pub fn received(&self, device: u8) -> Received {
        self.received.get(usize::from(device)).copied().unwrap_or_default()
    }

    /// Clears the table, because the numbers now mean other devices.
    pub fn clear(&mut self) {
        *self = TrafficByDevice::default();
    }
}

/// The conversation's slot and tag.
fn slot(packet: &Packet<'_>) -> (usize, u16) {
    let hash = packet.conversation_hash();
    (hash as usize % CONVERSATIONS, (hash >> 16) as u16)
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
        assert_eq!(device_traffic.received(5), Received { packets: 2, bytes: 206 });
        assert_eq!(device_traffic.received(0), Received { packets: 1, bytes: 29 });
        device_traffic.note_upload(&packet(6, [home, server], 10));
        device_traffic.note_download(&packet(0, [server, home], 0));
        assert_eq!(device_traffic.received(6).packets, 1, "another device now uses this port");
        device_traffic.note_download(&[]);
        device_traffic.clear();
        assert_eq!(device_traffic.received(5), Received::default());
    }
}
