//! What a capture shows of every device in it, in one reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dns;
use crate::lab::capture::{self, Extent, Frame, Mac};
use crate::lab::error::Error;
use crate::lab::trace::{Direction, Trace, internet_bytes, is_home, segments};

const PORT_DNS: u16 = 53;
/// More hosts in one capture are no home; the rest is left out.
const MAX_HOSTS: usize = 1_000;

/// One host of the home, by its Ethernet address.
#[derive(Clone, Debug)]
pub struct ObservedHost {
    /// Its address.
    pub mac: Mac,
    /// Names that it asked a resolver for.
    pub names: BTreeSet<String>,
    /// Its packets to and from the Internet.
    pub trace: Trace,
}

/// What a capture shows.
#[derive(Debug)]
pub struct CaptureSummary {
    /// Hosts with Internet traffic or a question for a resolver, in order of address.
    pub hosts: Vec<ObservedHost>,
    /// The whole capture.
    pub extent: Extent,
    /// Why the capture was not read to its end, if it was not.
    pub damage: Option<Error>,
}

#[derive(Default)]
struct HostBuilder {
    names: BTreeSet<String>,
    packets: Vec<(u64, Direction, usize)>,
}

/// Reads the capture at `path`. A host is on the home's side of a packet if its address there is a private one; of
/// IPv6 packets with global addresses at both ends, the side is that of the host already seen.
///
/// A damaged capture gives what came before the damage; one without any packet is an error, as there is nothing to see.
pub fn observe(path: &Path) -> Result<CaptureSummary, Error> {
    let mut seen: BTreeMap<Mac, HostBuilder> = BTreeMap::new();
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
            if let (Some(name), Some(host)) = (dns::question(udp.payload), slot(&mut seen, frame.source)) {
                host.names.insert(name);
            }
        }
        let Some(bytes) = internet_bytes(&packet, &frame) else { return };
        let (mac, direction) = if is_home(ip.source) {
            (frame.source, Direction::Up)
        } else if is_home(ip.destination) {
            (frame.destination, Direction::Down)
        } else if seen.contains_key(&frame.source) {
            (frame.source, Direction::Up)
        } else if seen.contains_key(&frame.destination) {
            (frame.destination, Direction::Down)
        } else {
            return;
        };
        if let Some(host) = slot(&mut seen, mac) {
            host.packets.push((packet.time_ns, direction, bytes));
        }
    });
    let damage = match result {
        Ok(_) if packets == 0 => {
            return Err(Error::content(path, 0, "the capture holds no packets; capture again for longer"));
        }
        Ok(_) => None,
        Err(error @ Error::Damaged { .. }) if packets > 0 => Some(error),
        Err(error) => return Err(error),
    };
    let host = |(mac, seen): (Mac, HostBuilder)| ObservedHost {
        mac,
        names: seen.names,
        trace: Trace { device: mac.to_string(), packets: segments(seen.packets, first_ns) },
    };
    let extent = Extent { packets, first_ns, last_ns };
    Ok(CaptureSummary { hosts: seen.into_iter().map(host).collect(), extent, damage })
}

fn slot(seen: &mut BTreeMap<Mac, HostBuilder>, mac: Mac) -> Option<&mut HostBuilder> {
    let multicast = mac.0[0] & 1 != 0;
    if multicast || (seen.len() >= MAX_HOSTS && !seen.contains_key(&mac)) {
        return None;
    }
    Some(seen.entry(mac).or_default())
}
