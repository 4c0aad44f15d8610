//! Every packet of one direction by its number: sent once, delivered at most once and unaltered, or accounted for.

use std::net::Ipv4Addr;

/// Packets that may be under way; a queue holds far fewer.
const WINDOW: u64 = 1 << 16;
/// Where the number of a packet is: after the IP header and the ports.
const NUMBER_AT: usize = 24;
/// The shortest packet.
pub const MIN_PACKET_BYTES: usize = NUMBER_AT + 8;

/// The packets of one direction.
pub struct PacketAccount {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// Packets that the daemon took.
    pub sent: u64,
    pub delivered: u64,
    /// Packets that the daemon did not take, because it sends nothing.
    pub refused: u64,
    /// One bit for each of the last packets: whether it is under way.
    under_way: Vec<u64>,
    number: u64,
    /// Sent minus delivered minus dropped, when it was last settled.
    lost_before: u64,
}

impl PacketAccount {
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> PacketAccount {
        let under_way = vec![0; (WINDOW / 64) as usize];
        PacketAccount { source, destination, sent: 0, delivered: 0, refused: 0, under_way, number: 0, lost_before: 0 }
    }

    /// Writes the next packet into all of `packet`. The device's number is in its DSCP.
    pub fn write_next(&mut self, device: u8, packet: &mut [u8]) {
        let bytes = packet.len() as u16;
        packet[..4].copy_from_slice(&[0x45, device << 2, (bytes >> 8) as u8, bytes as u8]);
        packet[4..12].copy_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
        packet[12..16].copy_from_slice(&self.source.octets());
        packet[16..20].copy_from_slice(&self.destination.octets());
        fill(self.number, packet);
    }

    /// Records whether the daemon took the packet that was written last.
    pub fn note_sent(&mut self, is_taken: bool) {
        if is_taken {
            self.sent += 1;
            let (word, bit) = place(self.number);
            self.under_way[word] |= bit;
        } else {
            self.refused += 1;
        }
        self.number += 1;
    }

    /// Records a packet that arrived. Panics if it was not sent, has arrived before, or has other bytes.
    pub fn note_delivered(&mut self, packet: &[u8], expected: &mut [u8]) {
        let number = u64::from_le_bytes(*packet[NUMBER_AT..].first_chunk().expect("a packet with a number"));
        assert!(number < self.number && number + WINDOW > self.number, "packet {number} of {}", self.number);
        let (word, bit) = place(number);
        assert!(self.under_way[word] & bit != 0, "packet {number} arrived twice");
        self.under_way[word] &= !bit;
        let expected = &mut expected[..packet.len()];
        fill(number, expected);
        assert_eq!(packet[20..], expected[20..], "packet {number} was altered");
        assert_eq!(packet[12..16], self.source.octets());
        assert_eq!(packet[16..20], self.destination.octets());
        self.delivered += 1;
    }

    /// Settles the account once nothing is under way: returns the packets that are neither delivered nor among the
    /// `dropped` ones of the queue, since the last time.
    pub fn settle(&mut self, dropped: u64) -> u64 {
        let lost = (self.sent - self.delivered).checked_sub(dropped).expect("what was delivered was not dropped");
        let since = lost.checked_sub(self.lost_before).expect("a lost packet does not come back");
        self.lost_before = lost;
        since
    }
}

fn place(number: u64) -> (usize, u64) {
    ((number % WINDOW / 64) as usize, 1 << (number % 64))
}

fn fill(number: u64, packet: &mut [u8]) {
    // Ports: eight flows.
    packet[20..24].copy_from_slice(&[0x9c, 0x40 + (number % 8) as u8, 1, 0xbb]);
    packet[NUMBER_AT..MIN_PACKET_BYTES].copy_from_slice(&number.to_le_bytes());
    for (index, byte) in packet[MIN_PACKET_BYTES..].iter_mut().enumerate() {
        *byte = (number as u8).wrapping_add(index as u8);
    }
}
