//! What the search for quotes reads of an IP packet. Captured packets may be truncated anywhere.

use super::hash::Hash;
use crate::wire::ip;

pub(super) const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Multicast listener queries, reports and dones (RFC 2710, RFC 9777).
const MLD: [u8; 4] = [130, 131, 132, 143];
const DNS: u16 = 53;
/// Length of DNS's header in front of the question.
const DNS_HEADER: usize = 12;
/// Longest name in DNS.
const MAX_NAME: usize = 255;

/// A packet with its addresses and the place of its transport header.
#[derive(Clone, Copy)]
pub(super) struct PacketView<'a> {
    /// The packet, without padding of the link.
    pub bytes: &'a [u8],
    /// 4 or 16 bytes.
    pub source: &'a [u8],
    /// 4 or 16 bytes.
    pub destination: &'a [u8],
    pub protocol: u8,
    /// Where the transport header starts.
    pub transport: usize,
    is_later_fragment: bool,
}

impl<'a> PacketView<'a> {
    /// `None` without a complete IP header, or if an IPv4 header claims to be shorter than any.
    pub fn parse(bytes: &'a [u8]) -> Option<PacketView<'a>> {
        let length = ip::total_bytes(bytes)?.min(bytes.len());
        let bytes = &bytes[..length];
        let part = |from, to| bytes.get(from..to);
        if bytes.first()? >> 4 == 4 {
            let transport = usize::from(bytes[0] & 15) * 4;
            if transport < ip::IPV4_HEADER_BYTES {
                return None;
            }
            let is_later_fragment = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x1fff != 0;
            let (source, destination) = (part(12, 16)?, part(16, 20)?);
            let protocol = bytes[9];
            return Some(PacketView { bytes, source, destination, protocol, transport, is_later_fragment });
        }
        let (source, destination) = (part(8, 24)?, part(24, 40)?);
        let (mut protocol, mut transport) = (bytes[6], 40);
        // Multicast reports have one extension header (RFC 9777); more than two are not looked through.
        for _ in 0..2 {
            if let (0 | 43 | 60, Some([next, units])) = (protocol, bytes.get(transport..transport + 2)) {
                protocol = *next;
                transport += (usize::from(*units) + 1) * 8;
            }
        }
        let is_later_fragment = protocol == 44;
        Some(PacketView { bytes, source, destination, protocol, transport, is_later_fragment })
    }

    /// Whether the packet goes to a group, or to everybody.
    pub fn is_multicast(&self) -> bool {
        match self.destination {
            [first, ..] if self.destination.len() == 4 => *first >= 224,
            [first, ..] => *first == 0xff,
            [] => false,
        }
    }

    /// What follows the IP header.
    pub fn transport_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.transport..).unwrap_or_default()
    }

    /// Source and destination port, of TCP and UDP.
    pub fn ports(&self) -> Option<[u16; 2]> {
        if !matches!(self.protocol, TCP | UDP) || self.is_later_fragment {
            return None;
        }
        let bytes = self.transport_bytes().first_chunk::<4>()?;
        Some([u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]])])
    }

    /// Number and sequence of an echo request or of its reply (RFC 792, RFC 4443).
    pub fn echo(&self) -> Option<&'a [u8]> {
        let kind = self.transport_bytes().first()?;
        let is_echo = matches!((self.protocol, kind), (ICMP, 0 | 8) | (ICMPV6, 128 | 129));
        self.transport_bytes().get(4..8).filter(|_| is_echo && !self.is_later_fragment)
    }

    /// What the transport header is followed by.
    pub fn content(&self) -> &'a [u8] {
        let transport = self.transport_bytes();
        let header = match self.protocol {
            _ if self.is_later_fragment => 0,
            TCP => transport.get(12).map_or(0, |offset| usize::from(offset >> 4) * 4),
            UDP | ICMP | ICMPV6 => 8,
            _ => 0,
        };
        transport.get(header..).unwrap_or_default()
    }

    /// A hash of the name that a DNS query asks for, without regard to case.
    pub fn question(&self) -> Option<Hash> {
        if self.ports()?[1] != DNS {
            return None;
        }
        // Over TCP a length comes first (RFC 1035, 4.2.2).
        let message = self.content().get(if self.protocol == TCP { 2 } else { 0 }..)?;
        let is_query = message.get(2)? & 0x80 == 0;
        let name = message.get(DNS_HEADER..).filter(|_| is_query)?;
        let end = name.iter().take(MAX_NAME).position(|byte| *byte == 0)?;
        // The root alone is no name.
        (end > 1).then(|| {
            name[..end].iter().fold(Hash::new(DNS as u8), |hash, byte| hash.with(&[byte.to_ascii_lowercase()]))
        })
    }

    /// The groups that a membership report names and that are not limited to the link.
    pub fn groups(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let transport = self.transport_bytes();
        let bytes = match self.protocol {
            IGMP => 4,
            ICMPV6 if transport.first().is_some_and(|kind| MLD.contains(kind)) => 16,
            _ => 0,
        };
        // Addresses lie on multiples of four in every version of both protocols.
        (4..transport.len()).step_by(4).filter_map(move |at| {
            let group = transport.get(at..at + bytes)?;
            match group {
                [224, 0, 0, _] | [] => None,
                [224..=239, ..] if bytes == 4 => Some(group),
                [0xff, scope, ..] if bytes == 16 && scope & 15 > 2 => Some(group),
                _ => None,
            }
        })
    }
}

/// The name of a protocol for people: `TCP`, `protocol 47`.
pub(super) fn protocol_name(protocol: u8) -> String {
    let known = match protocol {
        ICMP => "ICMP",
        IGMP => "IGMP",
        TCP => "TCP",
        UDP => "UDP",
        ICMPV6 => "ICMPv6",
        _ => return format!("protocol {protocol}"),
    };
    known.to_owned()
}
