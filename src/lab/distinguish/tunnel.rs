//! Reads the tunnel's packets from a capture taken on the provider's side.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use crate::lab::capture::{self, Frame, IpHeader};
use crate::lab::error::Error;
use crate::lab::trace::Direction;

/// Minimum share of all IP packets, in percent, that a UDP flow must have to be detected as the tunnel.
const DOMINANT_PERCENT: usize = 60;
/// Message types of WireGuard: handshake initiation, response, cookie reply, and data (its paper, section 5.4).
const WIREGUARD_HANDSHAKES: std::ops::RangeInclusive<u8> = 1..=3;
const WIREGUARD_DATA: u8 = 4;
const WIREGUARD_INITIATION: u8 = 1;
const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ICMPV6: u8 = 58;

/// The IP addresses of the tunnel's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelAddresses {
    /// WAN address of the home's router.
    pub router: IpAddr,
    /// Address of the endpoint.
    pub endpoint: IpAddr,
}

impl TunnelAddresses {
    /// Returns the addresses with the two ends swapped.
    pub fn swapped(self) -> TunnelAddresses {
        TunnelAddresses { router: self.endpoint, endpoint: self.router }
    }
}

/// One tunnel data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Timestamp in nanoseconds of Unix time.
    pub time_ns: u64,
    /// Direction of the packet.
    pub direction: Direction,
    /// Length of the IP packet in bytes.
    pub bytes: u32,
}

/// The packets of a tunnel in a capture.
#[derive(Clone, Debug)]
pub struct TunnelCapture {
    /// Addresses of the tunnel's ends.
    pub addresses: TunnelAddresses,
    /// Data packets, in order of time.
    pub cells: Vec<Cell>,
    /// Handshake packets: timestamp in nanoseconds of Unix time, and direction.
    pub handshakes: Vec<(u64, Direction)>,
    /// Timestamps of the home's packets outside the tunnel, in nanoseconds of Unix time.
    pub strays: Vec<u64>,
    /// Pairs of traffic class and hop limit in the outer headers of the data packets, for each direction.
    pub class_and_hops: [BTreeSet<(u8, u8)>; 2],
    /// Why the end of the capture could not be read; `None` if it was read completely.
    pub damage: Option<String>,
}

/// The parts of a captured IP packet that matter here.
struct CapturedIpPacket {
    time_ns: u64,
    source: IpAddr,
    destination: IpAddr,
    bytes: u32,
    udp: bool,
    first_byte: Option<u8>,
    class_and_hops: (u8, u8),
}

/// Reads a capture taken on the provider's side.
///
/// Without `addresses`, detects the tunnel: the UDP flow with most packets, if it has at least 60 % of all packets. Its
/// router is the end that starts WireGuard's handshakes or, without handshakes, the end that sends first.
pub fn read(path: &Path, addresses: Option<TunnelAddresses>) -> Result<TunnelCapture, Error> {
    let mut seen = Vec::new();
    let damage = match capture::read(path, |packet| {
        let Some(frame) = Frame::parse(packet.data) else { return };
        let Some(ip) = frame.ip() else { return };
        if is_link_housekeeping(&ip) {
            return;
        }
        let udp = ip.udp();
        seen.push(CapturedIpPacket {
            time_ns: packet.time_ns,
            source: ip.source,
            destination: ip.destination,
            bytes: packet.orig_len.saturating_sub(frame.header_bytes) as u32,
            udp: udp.is_some(),
            first_byte: udp.and_then(|udp| udp.payload.first().copied()),
            class_and_hops: class_and_hops(frame.payload),
        });
    }) {
        Ok(_) => None,
        Err(error @ Error::Damaged { .. }) if !seen.is_empty() => Some(format!("{error}; using the packets before it")),
        Err(error) => return Err(error),
    };
    if seen.is_empty() {
        return Err(Error::content(path, 0, "no IP packets in the capture; capture on the router's WAN side"));
    }
    let addresses = match addresses {
        Some(addresses) => addresses,
        None => detect(path, &seen)?,
    };
    let tunnel = sort(addresses, &seen, damage);
    if tunnel.cells.is_empty() {
        let TunnelAddresses { router, endpoint } = addresses;
        return Err(Error::content(
            path,
            0,
            format!(
                "no UDP packets between {router} and {endpoint}; give the tunnel's addresses with --router and \
                 --endpoint"
            ),
        ));
    }
    Ok(tunnel)
}

fn sort(addresses: TunnelAddresses, seen: &[CapturedIpPacket], damage: Option<String>) -> TunnelCapture {
    let TunnelAddresses { router, endpoint } = addresses;
    let (mut cells, mut handshakes, mut strays) = (Vec::new(), Vec::new(), Vec::new());
    let mut class_and_hops: [BTreeSet<(u8, u8)>; 2] = Default::default();
    let own = |packet: &&CapturedIpPacket| packet.udp && is_between(packet, addresses);
    let data = seen.iter().filter(own).filter(|packet| packet.first_byte == Some(WIREGUARD_DATA)).count();
    let wireguard = 2 * data > seen.iter().filter(own).count();
    for packet in seen {
        if own(&packet) {
            let direction = if packet.source == router { Direction::Up } else { Direction::Down };
            let is_handshake = packet.first_byte.is_some_and(|byte| WIREGUARD_HANDSHAKES.contains(&byte));
            if wireguard && is_handshake {
                handshakes.push((packet.time_ns, direction));
            } else {
                cells.push(Cell { time_ns: packet.time_ns, direction, bytes: packet.bytes });
                class_and_hops[direction as usize].insert(packet.class_and_hops);
            }
        } else if [packet.source, packet.destination].contains(&router) {
            strays.push(packet.time_ns);
        }
    }
    cells.sort_by_key(|cell| cell.time_ns);
    TunnelCapture { addresses: TunnelAddresses { router, endpoint }, cells, handshakes, strays, class_and_hops, damage }
}

fn detect(path: &Path, seen: &[CapturedIpPacket]) -> Result<TunnelAddresses, Error> {
    let mut flows: BTreeMap<(IpAddr, IpAddr), usize> = BTreeMap::new();
    for packet in seen.iter().filter(|packet| packet.udp) {
        let pair = (packet.source.min(packet.destination), packet.source.max(packet.destination));
        *flows.entry(pair).or_default() += 1;
    }
    let largest = flows.iter().max_by_key(|(_, count)| **count);
    let Some((&pair, _)) = largest.filter(|(_, count)| **count * 100 >= seen.len() * DOMINANT_PERCENT) else {
        return Err(Error::content(
            path,
            0,
            "no tunnel detected: no UDP flow has most of the packets; give the tunnel's addresses with --router and \
             --endpoint",
        ));
    };
    let either = TunnelAddresses { router: pair.0, endpoint: pair.1 };
    let own = || seen.iter().filter(|packet| packet.udp && is_between(packet, either));
    let start = own().find(|packet| packet.first_byte == Some(WIREGUARD_INITIATION)).or_else(|| own().next());
    Ok(start.map_or(either, |packet| TunnelAddresses { router: packet.source, endpoint: packet.destination }))
}

fn is_between(packet: &CapturedIpPacket, addresses: TunnelAddresses) -> bool {
    let TunnelAddresses { router, endpoint } = addresses;
    [(router, endpoint), (endpoint, router)].contains(&(packet.source, packet.destination))
}

/// Returns the traffic class and hop limit of an IP header.
fn class_and_hops(header: &[u8]) -> (u8, u8) {
    let byte = |at: usize| header.get(at).copied().unwrap_or(0);
    match byte(0) >> 4 {
        4 => (byte(1), byte(8)),
        _ => (byte(0) << 4 | byte(1) >> 4, byte(7)),
    }
}

/// Returns whether the packet is neighbour discovery or a multicast report, which IPv6 hosts send on any link.
fn is_link_housekeeping(ip: &IpHeader<'_>) -> bool {
    matches!(ip.protocol, PROTOCOL_ICMPV6 | PROTOCOL_HOP_BY_HOP) && ip.destination.is_ipv6()
}
