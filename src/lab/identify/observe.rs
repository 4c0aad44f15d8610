//! Extracts every host of a capture in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dns;
use crate::lab::capture::{ContinuousReading, Extent, Mac, read_recording};
use crate::lab::error::Error;
use crate::lab::trace::{
    Direction, NOT_INTERNET, NOT_IP, StationPacket, Stations, Trace, internet_bytes, is_home, segments,
};

const PORT_DNS: u16 = 53;
/// A home does not have more hosts than this; further ones are ignored.
const MAX_HOSTS: usize = 1_000;
const TOO_MANY: &str = "of multicast senders, or of hosts beyond the first 1000";

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
    packets: Vec<StationPacket>,
}

/// Reads the capture at `path`. The end of a packet that has a private address is a host of the home. If an IPv6
/// packet has global addresses at both ends, the end that is already known as a host is the one in the home.
///
/// A damaged capture yields the packets before the damage. A capture without packets is an error.
pub fn observe(path: &Path) -> Result<CaptureSummary, Error> {
    let mut hosts: BTreeMap<Mac, HostBuilder> = BTreeMap::new();
    let mut stations = Stations::default();
    let ContinuousReading { mut reading, .. } = read_recording(path, |packet| {
        let frame = packet.frame().ok_or(NOT_IP)?;
        let ip = frame.ip().ok_or(NOT_IP)?;
        stations.learn(&frame, &ip);
        let mut used = Err(NOT_INTERNET);
        if let (Some(udp), Some(mac)) = (ip.udp().filter(|udp| udp.destination_port == PORT_DNS), frame.source) {
            if let (Some(name), Some(host)) = (dns::question(udp.payload), host_entry(&mut hosts, mac)) {
                host.names.insert(name);
                used = Ok(());
            }
        }
        let Some(bytes) = internet_bytes(&packet, &frame) else { return used };
        let is_host = |mac: Option<Mac>| mac.is_some_and(|mac| hosts.contains_key(&mac));
        let (mac, address, direction) = if is_home(ip.source) {
            (frame.source, ip.source, Direction::Up)
        } else if is_home(ip.destination) {
            (frame.destination, ip.destination, Direction::Down)
        } else if is_host(frame.source) {
            (frame.source, ip.source, Direction::Up)
        } else if is_host(frame.destination) {
            (frame.destination, ip.destination, Direction::Down)
        } else {
            return used;
        };
        let packet = (packet.time_ns, direction, bytes);
        match mac {
            Some(mac) => host_entry(&mut hosts, mac).ok_or(TOO_MANY)?.packets.push(packet),
            None => stations.keep(address, packet),
        }
        Ok(())
    })?;
    stations.finish(path, &mut reading.tally, |mac, mut packets| {
        host_entry(&mut hosts, mac).ok_or(TOO_MANY)?.packets.append(&mut packets);
        Ok(())
    })?;
    let extent = reading.extent;
    let host = |(mac, host): (Mac, HostBuilder)| ObservedHost {
        mac,
        names: host.names,
        trace: Trace { device: mac.to_string(), packets: segments(host.packets, extent.first_ns) },
    };
    Ok(CaptureSummary { hosts: hosts.into_iter().map(host).collect(), extent, damage: reading.damage.take() })
}

fn host_entry(hosts: &mut BTreeMap<Mac, HostBuilder>, mac: Mac) -> Option<&mut HostBuilder> {
    let multicast = mac.0[0] & 1 != 0;
    if multicast || (hosts.len() >= MAX_HOSTS && !hosts.contains_key(&mac)) {
        return None;
    }
    Some(hosts.entry(mac).or_default())
}
