//! The tunnel as the provider captures it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use crate::lab::capture::{self, Frame, IpHeader};
use crate::lab::error::Error;
use crate::lab::trace::Direction;

/// Of all UDP packets so many in a hundred must belong to one flow for it to be taken for the tunnel unasked.
const DOMINANT_PERCENT: usize = 60;
/// WireGuard's handshake initiation, response and cookie reply, and its data (its paper, section 5.4).
const WIREGUARD_HANDSHAKES: std::ops::RangeInclusive<u8> = 1..=3;
const WIREGUARD_DATA: u8 = 4;
const WIREGUARD_INITIATION: u8 = 1;
const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ICMPV6: u8 = 58;

/// The two addresses of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelAddresses {
    /// The home's address on the Internet.
    pub router: IpAddr,
    /// The other end's.
    pub endpoint: IpAddr,
}

impl TunnelAddresses {
    /// The same two, each taken for the other.
    pub fn swapped(self) -> TunnelAddresses {
        TunnelAddresses { router: self.endpoint, endpoint: self.router }
    }
}

/// One tunnel data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// When it passed, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Which way.
    pub direction: Direction,
    /// Length of the IP packet.
    pub bytes: u32,
}

/// What a capture shows of a tunnel.
#[derive(Clone, Debug)]
pub struct TunnelCapture {
    /// Its addresses.
    pub addresses: TunnelAddresses,
    /// Data packets, in order of time.
    pub cells: Vec<Cell>,
    /// Handshake packets, as time in nanoseconds and direction.
    pub handshakes: Vec<(u64, Direction)>,
    /// Times of packets from or to the home beside the tunnel, in nanoseconds.
    pub strays: Vec<u64>,
    /// Values of the outer header's traffic class and hop limit that data packets had, per direction.
    pub class_and_hops: [BTreeSet<(u8, u8)>; 2],
    /// Why the capture was not read to its end, if it was not.
    pub damage: Option<String>,
}

struct ObservedPacket {
    time_ns: u64,
    source: IpAddr,
    destination: IpAddr,
    bytes: u32,
    udp: bool,
    first_byte: Option<u8>,
    class_and_hops: (u8, u8),
}

/// Reads a capture taken on the provider's side. Without `addresses` the UDP flow with most packets is the tunnel, if it has
/// most of all packets, and its router the end that starts WireGuard's handshakes or, without any, sends first.
pub fn read(path: &Path, addresses: Option<TunnelAddresses>) -> Result<TunnelCapture, Error> {
    let mut seen = Vec::new();
    let damage = match capture::read(path, |packet| {
        let Some(frame) = Frame::parse(packet.data) else { return };
        let Some(ip) = frame.ip() else { return };
        if is_link_housekeeping(&ip) {
            return;
        }
        let udp = ip.udp();
        seen.push(ObservedPacket {
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
        return Err(Error::content(path, 0, "no IP packet in the capture; take it where the provider sees the tunnel"));
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
                "no UDP packet between {router} and {endpoint}; name the tunnel's addresses with --router and --endpoint"
            ),
        ));
    }
    Ok(tunnel)
}

fn sort(addresses: TunnelAddresses, seen: &[ObservedPacket], damage: Option<String>) -> TunnelCapture {
    let TunnelAddresses { router, endpoint } = addresses;
    let (mut cells, mut handshakes, mut strays) = (Vec::new(), Vec::new(), Vec::new());
    let mut class_and_hops: [BTreeSet<(u8, u8)>; 2] = Default::default();
    let own = |packet: &&ObservedPacket| packet.udp && is_between(packet, addresses);
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

fn detect(path: &Path, seen: &[ObservedPacket]) -> Result<TunnelAddresses, Error> {
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
            "mixed traffic: no two hosts exchange most of the packets by UDP; name the tunnel's addresses with --router and --endpoint",
        ));
    };
    let either = TunnelAddresses { router: pair.0, endpoint: pair.1 };
    let own = || seen.iter().filter(|packet| packet.udp && is_between(packet, either));
    let start = own().find(|packet| packet.first_byte == Some(WIREGUARD_INITIATION)).or_else(|| own().next());
    Ok(start.map_or(either, |packet| TunnelAddresses { router: packet.source, endpoint: packet.destination }))
}

fn is_between(packet: &ObservedPacket, addresses: TunnelAddresses) -> bool {
    let TunnelAddresses { router, endpoint } = addresses;
    [(router, endpoint), (endpoint, router)].contains(&(packet.source, packet.destination))
}

/// Traffic class and hop limit of an IP header.
fn class_and_hops(header: &[u8]) -> (u8, u8) {
    let byte = |at: usize| header.get(at).copied().unwrap_or(0);
    match byte(0) >> 4 {
        4 => (byte(1), byte(8)),
        _ => (byte(0) << 4 | byte(1) >> 4, byte(7)),
    }
}

/// Neighbour discovery and multicast reports that IPv6 hosts send on any link.
fn is_link_housekeeping(ip: &IpHeader<'_>) -> bool {
    matches!(ip.protocol, PROTOCOL_ICMPV6 | PROTOCOL_HOP_BY_HOP) && ip.destination.is_ipv6()
}
