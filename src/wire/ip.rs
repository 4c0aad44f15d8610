//! The parts of IPv4 (RFC 791) and IPv6 (RFC 8200) headers that shaping needs: length, flow, and the device's number.

use crate::units::{DeviceId, DeviceTag, RESTORED_TTL};

/// Minimum length of an IP packet in bytes.
pub const MIN_BYTES: usize = 20;

/// Length of an IPv4 header without options, in bytes.
pub const IPV4_HEADER_BYTES: usize = 20;
/// Length of an IPv6 header without extensions, in bytes.
pub const IPV6_HEADER_BYTES: usize = 40;
/// Maximum number of extension headers before the transport header; a packet with more counts as a flow without ports.
const MAX_EXTENSION_HEADERS: usize = 8;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_UDPLITE: u8 = 136;
const PROTOCOL_SCTP: u8 = 132;
const PROTOCOL_DCCP: u8 = 33;

/// Why the bytes are not a valid IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Neither version 4 nor 6.
    Version,
    /// Shorter than its header.
    Short,
    /// The length in the header differs from the number of bytes.
    Length,
}

/// The length that a packet's first bytes announce, header included. `None` if there are too few bytes, or if the
/// version is neither 4 nor 6.
pub fn total_bytes(start: &[u8]) -> Option<usize> {
    match (start.first()? >> 4, start) {
        (4, [_, _, high, low, ..]) => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        (6, [_, _, _, _, high, low, ..]) => Some(usize::from(u16::from_be_bytes([*high, *low])) + IPV6_HEADER_BYTES),
        _ => None,
    }
}

/// A packet whose version, header and length have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks `bytes`, which must be exactly one complete packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let version = bytes.first().ok_or(Malformed::Short)? >> 4;
        let header_bytes = match version {
            4 => usize::from(bytes[0] & 0x0f) * 4,
            6 => IPV6_HEADER_BYTES,
            _ => return Err(Malformed::Version),
        };
        if header_bytes < IPV4_HEADER_BYTES || bytes.len() < header_bytes {
            return Err(Malformed::Short);
        }
        if total_bytes(bytes) != Some(bytes.len()) {
            return Err(Malformed::Length);
        }
        Ok(Packet { bytes })
    }

    /// The differentiated services code point: 0..=63 (RFC 2474).
    pub fn dscp(&self) -> u8 {
        match self.is_v4() {
            true => self.bytes[1] >> 2,
            false => (self.bytes[0] << 4 | self.bytes[1] >> 4) >> 2,
        }
    }

    /// The number of the device that sent the packet.
    pub fn device(&self, tag: DeviceTag) -> DeviceId {
        match tag {
            DeviceTag::Dscp => DeviceId(u16::from(self.dscp())),
            DeviceTag::DscpAndTtl => DeviceId::from_tag(self.dscp(), self.bytes[if self.is_v4() { 8 } else { 7 }]),
        }
    }

    /// The packet's first twelve bytes without its device's number: with DSCP 0, the TTL restored if it held a part of
    /// the number, and, for IPv4, a valid checksum.
    pub fn start_without_tag(&self, tag: DeviceTag) -> [u8; 12] {
        let mut start = [0; 12];
        start.copy_from_slice(&self.bytes[..12]);
        let has_ttl = tag == DeviceTag::DscpAndTtl && self.device(tag) != DeviceId::UNKNOWN;
        if !self.is_v4() {
            start[0] &= 0xf0;
            start[1] &= 0x3f;
            if has_ttl {
                start[7] = RESTORED_TTL;
            }
            return start;
        }
        start[1] &= 0x03;
        if has_ttl {
            start[8] = RESTORED_TTL;
        }
        let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let checksum = [0, 8]
            .into_iter()
            .fold(word(&start, 10), |checksum, at| updated_checksum(checksum, word(self.bytes, at), word(&start, at)));
        start[10..].copy_from_slice(&checksum.to_be_bytes());
        start
    }

    /// A hash of the 5-tuple: addresses, protocol and ports; without ports for fragments and for protocols that have
    /// none. All packets of a flow have the same hash.
    pub fn flow_hash(&self) -> u32 {
        let (addresses, protocol, transport) = match self.is_v4() {
            true => self.v4_parts(),
            false => self.v6_parts(),
        };
        let seeded = fnv1a(FNV_OFFSET, addresses);
        let hash = fnv1a(fnv1a(seeded, &[protocol]), ports(protocol, transport).unwrap_or(&[]));
        // FNV-1a's low bits mix poorly on short input; the queue uses the low bits.
        hash ^ hash >> 15
    }

    /// A hash of the same fields that is equal for both directions of a conversation.
    pub fn conversation_hash(&self) -> u32 {
        let (addresses, protocol, transport) = match self.is_v4() {
            true => self.v4_parts(),
            false => self.v6_parts(),
        };
        let ports = ports(protocol, transport).unwrap_or(&[]);
        let (from, to) = addresses.split_at(addresses.len() / 2);
        let (from_port, to_port) = ports.split_at(ports.len() / 2);
        let side = |address, port| fnv1a(fnv1a(FNV_OFFSET, address), port);
        let hash = fnv1a(side(from, from_port).wrapping_add(side(to, to_port)), &[protocol]);
        hash ^ hash >> 15
    }

    fn is_v4(&self) -> bool {
        self.bytes[0] >> 4 == 4
    }

    fn v4_parts(&self) -> (&'a [u8], u8, &'a [u8]) {
        let header_bytes = usize::from(self.bytes[0] & 0x0f) * 4;
        // Only the first fragment contains the ports, but all fragments of a packet must go into one flow.
        let is_fragment = u16::from_be_bytes([self.bytes[6], self.bytes[7]]) & 0x3fff != 0;
        let transport = if is_fragment { &[][..] } else { &self.bytes[header_bytes..] };
        (&self.bytes[12..20], self.bytes[9], transport)
    }

    fn v6_parts(&self) -> (&'a [u8], u8, &'a [u8]) {
        let addresses = &self.bytes[8..40];
        let mut protocol = self.bytes[6];
        let mut rest = &self.bytes[IPV6_HEADER_BYTES..];
        for _ in 0..MAX_EXTENSION_HEADERS {
            let length = match (protocol, rest) {
                // Hop-by-hop, routing, destination options, mobility (RFC 8200 section 4).
                (0 | 43 | 60 | 135, [_, units, ..]) => (usize::from(*units) + 1) * 8,
                (44, _) => return (addresses, protocol, &[]),
                _ => return (addresses, protocol, rest),
            };
            protocol = rest[0];
            rest = rest.get(length..).unwrap_or(&[]);
        }
        (addresses, protocol, &[])
    }
}

/// RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
fn updated_checksum(checksum: u16, before: u16, after: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// The source and destination port, if the protocol has ports.
fn ports(protocol: u8, transport: &[u8]) -> Option<&[u8]> {
    match protocol {
        PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_UDPLITE | PROTOCOL_SCTP | PROTOCOL_DCCP => transport.get(..4),
        _ => None,
    }
}

fn fnv1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(header: &[u8]) -> u16 {
        let sum = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
        !((sum & 0xffff) + (sum >> 16)) as u16
    }

    fn udp4(dscp: u8, source_port: u16, fragment: u16) -> Vec<u8> {
        let mut packet = vec![0x45, dscp << 2 | 1, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 7];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(source_port.to_be_bytes());
        packet.extend([0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        packet
    }

    fn udp6(extensions: &[u8], first: u8, port: u16) -> Vec<u8> {
        let mut packet = vec![0x6f, 0xd0, 0, 9, 0, 0, first, 64];
        packet.extend([0xfd; 32]);
        packet.extend(extensions);
        packet.extend(port.to_be_bytes());
        packet.extend([0, 53, 0, 8, 0, 0]);
        let payload = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&payload.to_be_bytes());
        packet
    }

    #[test]
    fn dscp_is_read_and_cleared_with_a_valid_checksum() {
        for dscp in 0..64 {
            let mut bytes = udp4(dscp, 1000, 0);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.dscp(), dscp);
            let start = packet.start_without_tag(DeviceTag::Dscp);
            bytes[..12].copy_from_slice(&start);
            assert_eq!(bytes[1], 1, "ECN stays");
            assert_eq!(checksum(&bytes[..20]), 0);
        }
        let bytes = udp6(&[], 17, 9);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.dscp(), 0b111111);
        assert_eq!(packet.start_without_tag(DeviceTag::Dscp)[..4], [0x60, 0x10, 0, 9], "ECN and flow label stay");
    }

    #[test]
    fn a_number_in_dscp_and_ttl_is_read_and_replaced() {
        let tag = DeviceTag::DscpAndTtl;
        for number in [1, 63, 64, 10_000] {
            let device = DeviceId(number);
            let mut bytes = udp4(device.dscp(), 1000, 0);
            bytes[8] = device.ttl();
            bytes[10..12].fill(0);
            let sum = checksum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.device(tag), device);
            let start = packet.start_without_tag(tag);
            bytes[..12].copy_from_slice(&start);
            assert_eq!((bytes[1], bytes[8], checksum(&bytes[..20])), (1, 64, 0));
            let mut bytes = udp6(&[], 17, 9);
            (bytes[0], bytes[1]) = (0x60 | device.dscp() >> 2, device.dscp() << 6 | 0x15);
            bytes[7] = device.ttl();
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.device(tag), device);
            assert_eq!(packet.start_without_tag(tag)[..8], [0x60, 0x15, 0, 9, 0, 8, 17, 64]);
        }
        for dscp in [0, 46] {
            let mut untagged = udp4(dscp, 1000, 0);
            untagged[8] = 7;
            let packet = Packet::parse(&untagged).unwrap();
            assert_eq!(packet.device(tag), DeviceId::UNKNOWN);
            let start = packet.start_without_tag(tag);
            assert_eq!((start[1], start[8]), (1, 7), "traceroute works, and DSCP is never seen outside");
        }
    }

    #[test]
    fn flows_differ_by_port_and_fragments_stay_together() {
        let hash = |bytes: &[u8]| Packet::parse(bytes).unwrap().flow_hash();
        assert_eq!(hash(&udp4(0, 1000, 0)), hash(&udp4(5, 1000, 0)));
        assert_ne!(hash(&udp4(0, 1000, 0)), hash(&udp4(0, 1001, 0)));
        assert_eq!(hash(&udp4(0, 1000, 0x2000)), hash(&udp4(0, 2000, 0x0010)));
    }

    #[test]
    fn extension_headers_are_followed_to_the_ports() {
        let hash = |bytes: &[u8]| Packet::parse(bytes).unwrap().flow_hash();
        let destination_options = [17, 0, 1, 4, 0, 0, 0, 0];
        assert_ne!(hash(&udp6(&destination_options, 60, 1)), hash(&udp6(&destination_options, 60, 2)));
        let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(100);
        hash(&udp6(&endless, 60, 1));
        hash(&udp6(&[60, 255], 60, 1));
    }

    #[test]
    fn wrong_lengths_and_versions_are_rejected() {
        let bytes = udp4(0, 1, 0);
        assert_eq!(Packet::parse(&bytes[..31]).unwrap_err(), Malformed::Length);
        assert_eq!(Packet::parse(&bytes[..10]).unwrap_err(), Malformed::Short);
        assert_eq!(Packet::parse(&[]).unwrap_err(), Malformed::Short);
        assert_eq!(Packet::parse(&[0x50; 40]).unwrap_err(), Malformed::Version);
        let mut short_header = bytes.clone();
        short_header[0] = 0x44;
        assert_eq!(Packet::parse(&short_header).unwrap_err(), Malformed::Short);
    }
}
