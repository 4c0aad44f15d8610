//! Reads the tunnel's packets from a capture taken on the provider's side.

mod detect;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::lab::capture::{self, ContinuousReading, IpHeader, read_recording};
use crate::lab::error::Error;
use crate::lab::trace::{Direction, NOT_IP};

/// A gap between cells that is longer than this, and than this many times the median interval, interrupts the tunnel:
/// it was down, or the clock of the capturing host was set.
const MIN_INTERRUPTION_NS: u64 = 60_000_000_000;
const INTERRUPTION_INTERVALS: u64 = 1_000;
/// Message types of WireGuard: handshake initiation, response, cookie reply, and data (its paper, section 5.4).
const WIREGUARD_HANDSHAKES: std::ops::RangeInclusive<u8> = 1..=3;
const WIREGUARD_DATA: u8 = 4;
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
    /// Addresses of the tunnel's ends at first.
    pub addresses: TunnelAddresses,
    /// Addresses of its ends later, if one of them changed.
    pub later: Vec<TunnelAddresses>,
    /// Data packets, in order of time.
    pub cells: Vec<Cell>,
    /// Handshake packets: timestamp in nanoseconds of Unix time, and direction.
    pub handshakes: Vec<(u64, Direction)>,
    /// Timestamps of the home's packets outside the tunnel, in nanoseconds of Unix time.
    pub strays: Vec<u64>,
    /// Pairs of traffic class and hop limit in the outer headers of the data packets, for each direction.
    pub class_and_hops: [BTreeSet<(u8, u8)>; 2],
    /// Times of the first data packets after interruptions, ascending, in nanoseconds of Unix time.
    pub resumed_ns: Vec<u64>,
    /// Why the end of the capture could not be read; `None` if it was read completely.
    pub damage: Option<String>,
}

/// The parts of a captured IP packet that matter here.
struct CapturedIpPacket {
    time_ns: u64,
    source: IpAddr,
    destination: IpAddr,
    bytes: u32,
    /// Source and destination port of a UDP datagram.
    ports: Option<(u16, u16)>,
    first_byte: Option<u8>,
    class_and_hops: (u8, u8),
}

impl TunnelCapture {
    /// Whether the tunnel was interrupted between two data packets with these times.
    pub fn is_interrupted(&self, earlier_ns: u64, later_ns: u64) -> bool {
        let until = |time_ns| self.resumed_ns.partition_point(|resumed_ns| *resumed_ns <= time_ns);
        until(earlier_ns) < until(later_ns)
    }
}

/// Reads a capture taken on the provider's side. PPPoE and DS-Lite are looked through; the headers of DS-Lite count to
/// the length of a packet.
///
/// Without `addresses`, detects the tunnel: the UDP flow with most packets, if it has at least 60 % of all packets. If
/// one end changes its address meanwhile, the flow continues with the new one. The router is the end that starts
/// WireGuard's handshakes or, without handshakes, the end whose address changes, the one whose port is not a usual one
/// of VPNs, or the one that sends first.
pub fn read(path: &Path, addresses: Option<TunnelAddresses>) -> Result<TunnelCapture, Error> {
    let mut seen = Vec::new();
    let ContinuousReading { mut reading, steps_ns } = read_recording(path, |packet| {
        let frame = packet.frame().ok_or(NOT_IP)?;
        let ip = frame.ip().ok_or(NOT_IP)?;
        if is_link_housekeeping(&ip) {
            return Err("of neighbour discovery");
        }
        let udp = ip.udp();
        seen.push(CapturedIpPacket {
            time_ns: packet.time_ns,
            source: ip.source,
            destination: ip.destination,
            bytes: packet.orig_len.saturating_sub(frame.header_bytes) as u32,
            ports: udp.map(|udp| (udp.source_port, udp.destination_port)),
            first_byte: udp.and_then(|udp| udp.payload.first().copied()),
            class_and_hops: class_and_hops(frame.payload),
        });
        Ok(())
    })?;
    if seen.is_empty() {
        return Err(Error::content(path, 0, "no IP packets in the capture; capture on the router's WAN side"));
    }
    let addresses = match addresses {
        Some(addresses) => vec![addresses],
        None => detect::addresses(path, &seen)?,
    };
    let mut tunnel = sort(&addresses, &seen);
    let own = tunnel.cells.len() + tunnel.handshakes.len() + tunnel.strays.len();
    reading.tally.reclassify((seen.len() - own) as u64, "between other addresses");
    if tunnel.cells.is_empty() {
        let TunnelAddresses { router, endpoint } = tunnel.addresses;
        return Err(Error::content(
            path,
            0,
            format!(
                "no UDP packets between {router} and {endpoint}; give the tunnel's addresses with --router and \
                 --endpoint"
            ),
        ));
    }
    tunnel.damage = reading.damage.take().map(|damage| format!("{damage}; using the packets before it"));
    tunnel.resumed_ns = interruptions(path, &tunnel.cells, &steps_ns);
    Ok(tunnel)
}

fn sort(addresses: &[TunnelAddresses], seen: &[CapturedIpPacket]) -> TunnelCapture {
    let (mut cells, mut handshakes, mut strays) = (Vec::new(), Vec::new(), Vec::new());
    let mut class_and_hops: [BTreeSet<(u8, u8)>; 2] = Default::default();
    let is_router = |address: IpAddr| addresses.iter().any(|ends| ends.router == address);
    let own =
        |packet: &&CapturedIpPacket| packet.ports.is_some() && addresses.iter().any(|ends| is_between(packet, *ends));
    let data = seen.iter().filter(own).filter(|packet| packet.first_byte == Some(WIREGUARD_DATA)).count();
    let wireguard = 2 * data > seen.iter().filter(own).count();
    for packet in seen {
        if own(&packet) {
            let direction = if is_router(packet.source) { Direction::Up } else { Direction::Down };
            let is_handshake = packet.first_byte.is_some_and(|byte| WIREGUARD_HANDSHAKES.contains(&byte));
            if wireguard && is_handshake {
                handshakes.push((packet.time_ns, direction));
            } else {
                cells.push(Cell { time_ns: packet.time_ns, direction, bytes: packet.bytes });
                class_and_hops[direction as usize].insert(packet.class_and_hops);
            }
        } else if is_router(packet.source) || is_router(packet.destination) {
            strays.push(packet.time_ns);
        }
    }
    cells.sort_by_key(|cell| cell.time_ns);
    TunnelCapture {
        addresses: addresses[0],
        later: addresses[1..].to_vec(),
        cells,
        handshakes,
        strays,
        class_and_hops,
        resumed_ns: Vec::new(),
        damage: None,
    }
}

/// Finds the data packets that follow an interruption, and remarks on long gaps.
fn interruptions(path: &Path, cells: &[Cell], steps_ns: &[u64]) -> Vec<u64> {
    let mut intervals: Vec<u64> = cells.windows(2).map(|pair| pair[1].time_ns - pair[0].time_ns).collect();
    let middle = intervals.len() / 2;
    let median_ns = if intervals.is_empty() { 0 } else { *intervals.select_nth_unstable(middle).1 };
    let longest_ns = MIN_INTERRUPTION_NS.max(median_ns.saturating_mul(INTERRUPTION_INTERVALS));
    let mut resumed_ns = steps_ns.to_vec();
    for (index, pair) in cells.windows(2).enumerate() {
        let gap_ns = pair[1].time_ns - pair[0].time_ns;
        if gap_ns > longest_ns {
            resumed_ns.push(pair[1].time_ns);
            capture::remark(format!(
                "{}: no tunnel packet for {:.0} s after number {}: the clock steps, or the tunnel was down; the times \
                 before and after count as separate stretches",
                path.display(),
                gap_ns as f64 / 1e9,
                index + 1
            ));
        }
    }
    resumed_ns.sort_unstable();
    resumed_ns
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
