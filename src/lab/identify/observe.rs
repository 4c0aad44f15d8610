//! Extracts every host of a capture in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dns;
use crate::lab::capture::{self, Extent, Frame, Mac};
use crate::lab::error::Error;
use crate::lab::trace::{Direction, Trace, internet_bytes, is_home, segments};

const PORT_DNS: u16 = 53;
/// A home does not have more hosts than this; further ones are ignored.
const MAX_HOSTS: usize = 1_000;

/// One host of the home, identified by its Ethernet address.
#[derive(Clone, Debug)]
pub struct ObservedHost {
    /// Ethernet address of the host.
    pub mac: Mac,
    /// DNS names that the host looked up.
    pub names: BTreeSet<String>,
    /// Packets of the host to and from the Internet.
    pub trace: Trace,
}

/// The hosts and the extent of a capture.
#[derive(Debug)]
pub struct CaptureSummary {
    /// Hosts with Internet traffic or a DNS query, sorted by address.
    pub hosts: Vec<ObservedHost>,
    /// Number of packets, and first and last time of the capture.
    pub extent: Extent,
    /// The error that stopped the reading before the end of the capture.
    pub damage: Option<Error>,
}

#[derive(Default)]
struct HostBuilder {
    names: BTreeSet<String>,
    packets: Vec<(u64, Direction, usize)>,
}

/// Reads the capture at `path`. The end of a packet that has a private address is a host of the home. If an IPv6
/// packet has global addresses at both ends, the end that is already known as a host is the one in the home.
///
/// A damaged capture yields the packets before the damage. A capture without packets is an error.
pub fn observe(path: &Path) -> Result<CaptureSummary, Error> {
    let mut hosts: BTreeMap<Mac, HostBuilder> = BTreeMap::new();
    let mut first_ns = u64::MAX;
    let mut last_ns = 0;
    let mut packets = 0;
    let result = capture::read(path, |packet| {
        first_ns = first_ns.min(packet.time_ns);
        last_ns = last_ns.max(packet.time_ns);
        packets += 1;
        let Some(frame) = Frame::parse(packet.data) else { return };
        let Some(ip) = frame.ip() else { return };
        if let Some(udp) = ip.udp().filter(|udp| udp.destination_port == PORT_DNS) {
            if let (Some(name), Some(host)) = (dns::question(udp.payload), host_entry(&mut hosts, frame.source)) {
                host.names.insert(name);
            }
        }
        let Some(bytes) = internet_bytes(&packet, &frame) else { return };
        let (mac, direction) = if is_home(ip.source) {
            (frame.source, Direction::Up)
        } else if is_home(ip.destination) {
            (frame.destination, Direction::Down)
        } else if hosts.contains_key(&frame.source) {
            (frame.source, Direction::Up)
        } else if hosts.contains_key(&frame.destination) {
            (frame.destination, Direction::Down)
        } else {
            return;
        };
        if let Some(host) = host_entry(&mut hosts, mac) {
            host.packets.push((packet.time_ns, direction, bytes));
        }
    });
    let damage = match result {
        Ok(_) if packets == 0 => {
            return Err(Error::content(path, 0, "the capture contains no packets; capture again for longer"));
        }
        Ok(_) => None,
        Err(error @ Error::Damaged { .. }) if packets > 0 => Some(error),
        Err(error) => return Err(error),
    };
    let host = |(mac, hosts): (Mac, HostBuilder)| ObservedHost {
        mac,
        names: hosts.names,
        trace: Trace { device: mac.to_string(), packets: segments(hosts.packets, first_ns) },
    };
    let extent = Extent { packets, first_ns, last_ns };
    Ok(CaptureSummary { hosts: hosts.into_iter().map(host).collect(), extent, damage })
}

fn host_entry(hosts: &mut BTreeMap<Mac, HostBuilder>, mac: Mac) -> Option<&mut HostBuilder> {
    let multicast = mac.0[0] & 1 != 0;
    if multicast || (hosts.len() >= MAX_HOSTS && !hosts.contains_key(&mac)) {
        return None;
    }
    Some(hosts.entry(mac).or_default())
}
