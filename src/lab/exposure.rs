//! What one's own home gives away: as it is, through a VPN alone, shaped, and with devices blocked (the paper's
//! sections 5 and 6).

mod page;
mod shared;

#[cfg(test)]
mod tests;

pub use page::page;
pub use shared::{LinkExposure, ShapedExposure};

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::activity::{Detector, Onset};
use super::capture::Mac;
use super::error::Error;
use super::identify::{Corpus, ObservedHost, CaptureSummary, HostIdentity, identify, oui::Vendors};
use super::simulate::SimulationConfig;
use super::trace::HomeTrace;
use crate::units::Nanos;

/// More than this is no one recording of a home.
const LONGEST: Nanos = Nanos::from_secs(7 * 86_400);
/// The busiest hosts are reported on; the engine tells no more apart.
const MAX_HOSTS: usize = 60;

/// Everything that the page says.
pub struct Exposure {
    /// The captures.
    pub captures: Vec<PathBuf>,
    /// From the first packet to the last.
    pub length: Nanos,
    /// Labelled devices that hosts were compared with.
    pub known: usize,
    /// As it is: the hosts, the busiest first.
    pub hosts: Vec<HostExposure>,
    /// The same traces on one time line, in the same order.
    pub home: HomeTrace,
    /// Through a VPN alone.
    pub vpn: LinkExposure,
    /// Shaped.
    pub shaped: ShapedExposure,
}

/// One host as it is.
pub struct HostExposure {
    /// What can be said of who it is.
    pub identity: HostIdentity,
    /// When it became active, by use or by itself.
    pub onsets: Vec<Onset>,
    /// Bytes to and from the Internet.
    pub bytes: u64,
}

impl HostExposure {
    /// The likeliest device by names or, without any, by the shape of the traffic; else the address.
    pub fn name(&self) -> String {
        let best = self.identity.by_names.first().or(self.identity.by_shape.first());
        best.map_or_else(|| self.identity.mac.clone(), |guess| format!("{} ({})", guess.device, self.identity.mac))
    }
}

/// Studies a home from captures of its network.
pub fn study(
    sightings: Vec<(PathBuf, CaptureSummary)>,
    corpus: &Corpus,
    vendors: &Vendors,
    setup: &SimulationConfig,
) -> Result<Exposure, Error> {
    let captures = sightings.iter().map(|(path, _)| path.clone()).collect();
    let mut hosts = on_one_time_line(sightings)?;
    hosts.sort_by_key(|host| std::cmp::Reverse(bytes(host)));
    hosts.truncate(MAX_HOSTS);
    let identities = identify(corpus, vendors, &hosts, setup.seed);
    let detector = Detector::default();
    let exposed: Vec<HostExposure> = hosts
        .iter()
        .zip(identities)
        .map(|(host, identity)| HostExposure { identity, onsets: detector.onsets(&host.trace), bytes: bytes(host) })
        .collect();
    let home = HomeTrace::merge(hosts.into_iter().map(|host| (host.trace, Nanos::ZERO)));
    let vpn = shared::through_vpn(&home, &exposed, &detector);
    let shaped = shared::shaped(&home, &exposed, setup, &detector)?;
    Ok(Exposure { captures, length: home.length, known: corpus.in_use, hosts: exposed, home, vpn, shaped })
}

fn bytes(host: &ObservedHost) -> u64 {
    host.trace.packets.iter().map(|packet| u64::from(packet.bytes)).sum()
}

/// Every host once, from the capture that saw most of it, with times from the first packet of all.
pub fn on_one_time_line(sightings: Vec<(PathBuf, CaptureSummary)>) -> Result<Vec<ObservedHost>, Error> {
    let first_ns = sightings.iter().map(|(_, sighting)| sighting.extent.first_ns).min().unwrap_or(0);
    let last_ns = sightings.iter().map(|(_, sighting)| sighting.extent.last_ns).max().unwrap_or(0);
    if last_ns.saturating_sub(first_ns) > LONGEST.0 {
        return Err(Error::Request(format!(
            "the captures span {} days; give captures of one recording, of a week at most",
            (last_ns - first_ns) / 86_400_000_000_000
        )));
    }
    let mut hosts: BTreeMap<Mac, ObservedHost> = BTreeMap::new();
    for (_, sighting) in sightings {
        let offset = Nanos(sighting.extent.first_ns - first_ns);
        for mut host in sighting.hosts {
            for packet in &mut host.trace.packets {
                packet.time = packet.time + offset;
            }
            match hosts.get_mut(&host.mac) {
                Some(known) if known.trace.packets.len() >= host.trace.packets.len() => {
                    known.names.append(&mut host.names)
                }
                Some(known) => {
                    host.names.append(&mut known.names);
                    *known = host;
                }
                None => {
                    hosts.insert(host.mac, host);
                }
            }
        }
    }
    let hosts: Vec<ObservedHost> = hosts.into_values().filter(|host| !host.trace.packets.is_empty()).collect();
    if hosts.is_empty() {
        return Err(Error::Request(
            "no host in these captures talks to the Internet; were they taken on the home's side of the router?"
                .to_owned(),
        ));
    }
    Ok(hosts)
}
