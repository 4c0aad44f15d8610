//! Detects which packets of a capture belong to the tunnel.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::{CapturedIpPacket, TunnelAddresses, is_between};
use crate::lab::capture;
use crate::lab::error::Error;

/// Minimum share of all IP packets, in percent, that a UDP flow must have to be detected as the tunnel.
const DOMINANT_PERCENT: usize = 60;
/// Minimum share of the tunnel's packets, in percent, of a later address of an end: a port scan has fewer.
const CHANGED_PERCENT: usize = 1;
/// For this long, the old and the new address of an end may both be in use.
const MAX_OVERLAP_NS: u64 = 10_000_000_000;
const WIREGUARD_INITIATION: u8 = 1;
/// The usual ports of WireGuard and OpenVPN, where the endpoint listens.
const VPN_PORTS: [u16; 2] = [51_820, 1_194];

/// The packets between one end of the tunnel and one address of the other end.
struct TunnelPeer {
    address: IpAddr,
    port: u16,
    packets: usize,
    first_to_last_ns: (u64, u64),
}

/// Returns the addresses of the tunnel's ends, and those that follow if one end changes its address.
pub(super) fn addresses(path: &Path, seen: &[CapturedIpPacket]) -> Result<Vec<TunnelAddresses>, Error> {
    let none = || {
        Error::content(
            path,
            0,
            "no tunnel detected: no UDP flow has most of the packets; give the tunnel's addresses with --router and \
             --endpoint",
        )
    };
    let (fixed, fixed_port) = busiest_end(seen).ok_or_else(none)?;
    let peers = successive_peers(seen, (fixed, fixed_port));
    let packets: usize = peers.iter().map(|peer| peer.packets).sum();
    if packets * 100 < seen.len() * DOMINANT_PERCENT {
        return Err(none());
    }
    let pairs = |fixed_is_router: bool| -> Vec<TunnelAddresses> {
        let ends = |peer: &TunnelPeer| TunnelAddresses { router: fixed, endpoint: peer.address };
        let pair = |peer: &TunnelPeer| if fixed_is_router { ends(peer) } else { ends(peer).swapped() };
        peers.iter().map(pair).collect()
    };
    let either = pairs(true);
    let own = || {
        let is_own = |packet: &&CapturedIpPacket| either.iter().any(|ends| is_between(packet, *ends));
        seen.iter().filter(|packet| packet.ports.is_some()).filter(is_own)
    };
    let usual = [fixed_port, peers[0].port].map(|port| VPN_PORTS.contains(&port));
    let fixed_is_router = match own().find(|packet| packet.first_byte == Some(WIREGUARD_INITIATION)) {
        Some(initiation) => initiation.source == fixed,
        None if peers.len() > 1 => false,
        None if usual[0] != usual[1] => usual[1],
        None => own().next().is_some_and(|first| first.source == fixed),
    };
    for pair in peers.windows(2) {
        capture::remark(format!(
            "{}: the {}'s address changes from {} to {}; both belong to the tunnel",
            path.display(),
            if fixed_is_router { "endpoint" } else { "router" },
            pair[0].address,
            pair[1].address
        ));
    }
    Ok(pairs(fixed_is_router))
}

/// Returns the address and UDP port with most packets: the end of the tunnel whose address does not change.
fn busiest_end(seen: &[CapturedIpPacket]) -> Option<(IpAddr, u16)> {
    let mut ends: BTreeMap<(IpAddr, u16), usize> = BTreeMap::new();
    for packet in seen {
        let Some((source_port, destination_port)) = packet.ports else { continue };
        *ends.entry((packet.source, source_port)).or_default() += 1;
        *ends.entry((packet.destination, destination_port)).or_default() += 1;
    }
    ends.into_iter().max_by_key(|(_, count)| *count).map(|(end, _)| end)
}

/// Returns the peer of an end that has most packets, and those before or after it, in order of time.
fn successive_peers(seen: &[CapturedIpPacket], end: (IpAddr, u16)) -> Vec<TunnelPeer> {
    let mut peers: BTreeMap<IpAddr, TunnelPeer> = BTreeMap::new();
    for packet in seen {
        let Some((source_port, destination_port)) = packet.ports else { continue };
        let (address, port) = match end {
            end if end == (packet.source, source_port) => (packet.destination, destination_port),
            end if end == (packet.destination, destination_port) => (packet.source, source_port),
            _ => continue,
        };
        let unseen = TunnelPeer { address, port, packets: 0, first_to_last_ns: (packet.time_ns, packet.time_ns) };
        let peer = peers.entry(address).or_insert(unseen);
        peer.packets += 1;
        let (first_ns, last_ns) = peer.first_to_last_ns;
        peer.first_to_last_ns = (first_ns.min(packet.time_ns), last_ns.max(packet.time_ns));
    }
    let all: usize = peers.values().map(|peer| peer.packets).sum();
    let mut busiest_first: Vec<TunnelPeer> = peers.into_values().collect();
    busiest_first.sort_by_key(|peer| std::cmp::Reverse(peer.packets));
    let mut successive: Vec<TunnelPeer> = Vec::new();
    for peer in busiest_first {
        let follows = |other: &TunnelPeer| {
            let start = peer.first_to_last_ns.0.max(other.first_to_last_ns.0);
            let end = peer.first_to_last_ns.1.min(other.first_to_last_ns.1);
            end.saturating_sub(start) <= MAX_OVERLAP_NS && peer.first_to_last_ns != other.first_to_last_ns
        };
        if successive.is_empty() || (peer.packets * 100 >= all * CHANGED_PERCENT && successive.iter().all(follows)) {
            successive.push(peer);
        }
    }
    successive.sort_by_key(|peer| peer.first_to_last_ns);
    successive
}
