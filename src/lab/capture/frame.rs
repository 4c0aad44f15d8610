//! Checked views of frames, IP headers and UDP datagrams; captures may be truncated anywhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::link::LinkType;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad and the older stacked tag.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// A PPPoE session (RFC 2516): six bytes of header, then a PPP protocol number.
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
const PPPOE_BYTES: usize = 8;
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PROTOCOL_UDP: u8 = 17;
/// IPv4 and IPv6 as the payload of IP: DS-Lite, 6in4 and the like.
const PROTOCOLS_IP: [u8; 2] = [4, 41];
/// Tunnels over IPv6 may put this header, with their encapsulation limit, before the inner packet (RFC 2473).
const PROTOCOL_DESTINATION_OPTIONS: u8 = 60;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// A frame without its VLAN tags and without the header of a PPPoE session.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Source address; `None` if the link type has none, or only that of the capturing host.
    pub source: Option<Mac>,
    /// Destination address; `None` if the link type has none.
    pub destination: Option<Mac>,
    /// EtherType of the payload.
    pub ethertype: u16,
    /// Number of bytes before the payload: the link header, 4 for each tag, and 8 for a PPPoE session.
    pub header_bytes: usize,
    /// Captured part of the payload.
    pub payload: &'a [u8],
}

/// The header of an IPv4 or IPv6 packet, and its payload. For IP inside IP (such as DS-Lite), the inner packet, but
/// the length of the outer one.
#[derive(Clone, Copy, Debug)]
pub struct IpHeader<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol (IPv4) or next header (IPv6; extension headers are not followed).
    pub protocol: u8,
    /// Length of the outermost packet in bytes, from its header; `None` if a segmentation offload left zero there.
    pub length: Option<usize>,
    /// Whether the packet is a fragment other than the first.
    pub later_fragment: bool,
    /// Captured part of the payload.
    pub payload: &'a [u8],
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct UdpDatagram<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Length of the payload in bytes, from the header.
    pub payload_bytes: usize,
    /// Captured part of the payload.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Parses a frame; `None` if its header is truncated.
    pub fn parse(link: LinkType, data: &'a [u8]) -> Option<Frame<'a>> {
        let header = link.header(data)?;
        let (mut ethertype, mut header_bytes) = (header.ethertype, header.bytes);
        while ETHERTYPES_VLAN.contains(&ethertype) {
            ethertype = be16(data, header_bytes + 2)?;
            header_bytes += 4;
        }
        if ethertype == ETHERTYPE_PPPOE_SESSION {
            // Other PPP protocols, such as the line's own echo requests, stay what they are: no IP.
            let inner = match be16(data, header_bytes + PPPOE_BYTES - 2)? {
                PPP_IPV4 => Some(ETHERTYPE_IPV4),
                PPP_IPV6 => Some(ETHERTYPE_IPV6),
                _ => None,
            };
            if let Some(inner) = inner {
                ethertype = inner;
                header_bytes += PPPOE_BYTES;
            }
        }
        let payload = data.get(header_bytes..)?;
        Some(Frame { source: header.source, destination: header.destination, ethertype, header_bytes, payload })
    }

    /// Returns the IP packet inside; `None` if there is none or its header is malformed or truncated.
    pub fn ip(&self) -> Option<IpHeader<'a>> {
        let outer = match self.ethertype {
            ETHERTYPE_IPV4 => ipv4(self.payload),
            ETHERTYPE_IPV6 => ipv6(self.payload),
            _ => None,
        }?;
        let inner = outer.encapsulated().map(|inner| IpHeader { length: outer.length, ..inner });
        Some(inner.unwrap_or(outer))
    }
}

impl<'a> IpHeader<'a> {
    /// Parses an IPv4 or IPv6 packet; `None` if its header is malformed or truncated.
    pub fn parse(data: &'a [u8]) -> Option<IpHeader<'a>> {
        ipv4(data).or_else(|| ipv6(data))
    }

    /// Returns the UDP datagram inside; `None` if there is none or its header is malformed or truncated.
    pub fn udp(&self) -> Option<UdpDatagram<'a>> {
        if self.protocol != PROTOCOL_UDP || self.later_fragment {
            return None;
        }
        Some(UdpDatagram {
            source_port: be16(self.payload, 0)?,
            destination_port: be16(self.payload, 2)?,
            payload_bytes: usize::from(be16(self.payload, 4)?).checked_sub(8)?,
            payload: self.payload.get(8..)?,
        })
    }

    /// Returns the IP packet that this one carries; `None` if it carries something else.
    fn encapsulated(&self) -> Option<IpHeader<'a>> {
        let (mut protocol, mut payload) = (self.protocol, self.payload);
        if protocol == PROTOCOL_DESTINATION_OPTIONS && self.source.is_ipv6() {
            let bytes = 8 * (usize::from(*payload.get(1)?) + 1);
            (protocol, payload) = (*payload.first()?, payload.get(bytes..)?);
        }
        if !PROTOCOLS_IP.contains(&protocol) || self.later_fragment {
            return None;
        }
        IpHeader::parse(payload)
    }
}

fn ipv4(data: &[u8]) -> Option<IpHeader<'_>> {
    let first = *data.first()?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < 20 {
        return None;
    }
    let address = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(*data.get(at..)?.first_chunk::<4>()?)));
    let length = usize::from(be16(data, 2)?);
    Some(IpHeader {
        source: address(12)?,
        destination: address(16)?,
        protocol: *data.get(9)?,
        length: (length >= header_bytes).then_some(length),
        later_fragment: be16(data, 6)? & 0x1fff != 0,
        payload: data.get(header_bytes..)?,
    })
}

fn ipv6(data: &[u8]) -> Option<IpHeader<'_>> {
    if data.first()? >> 4 != 6 {
        return None;
    }
    let address = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(*data.get(at..)?.first_chunk::<16>()?)));
    let length = usize::from(be16(data, 4)?);
    Some(IpHeader {
        source: address(8)?,
        destination: address(24)?,
        protocol: *data.get(6)?,
        length: (length > 0).then_some(40 + length),
        later_fragment: false,
        payload: data.get(40..)?,
    })
}

pub(super) fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;
    /// Parses six pairs of hexadecimal digits joined by colons.
    fn from_str(text: &str) -> Result<Mac, String> {
        let invalid = || format!("`{text}` is not a MAC address such as 18:b4:30:26:34:40");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Mac(octets))
    }
}
