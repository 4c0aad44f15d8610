//! What one's own home gives away: as it is, through a VPN alone, shaped, and with devices blocked (the paper's
//! sections 5 and 6).

mod page;
mod shared;

#[cfg(test)]
mod tests;

pub use page::page;
pub use shared::{Line, Shaped};

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::activity::{Detector, Onset};
use super::capture::Mac;
use super::error::Error;
use super::identify::{Corpus, Host, Sighting, Unknown, identify, oui::Vendors};
use super::simulate::Setup;
use super::trace::Home;
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
    pub hosts: Vec<Exposed>,
    /// The same traces on one time line, in the same order.
    pub home: Home,
    /// Through a VPN alone.
    pub vpn: Line,
    /// Shaped.
    pub shaped: Shaped,
}

/// One host as it is.
pub struct Exposed {
    /// What can be said of who it is.
    pub identity: Unknown,
    /// When it became active, by use or by itself.
    pub onsets: Vec<Onset>,
    /// Bytes to and from the Internet.
    pub bytes: u64,
}

impl Exposed {
    /// The likeliest device by names or, without any, by the shape of the traffic; else the address.
    pub fn name(&self) -> String {
        let best = self.identity.by_names.first().or(self.identity.by_shape.first());
        best.map_or_else(|| self.identity.mac.clone(), |guess| format!("{} ({})", guess.device, self.identity.mac))
    }
}

/// Studies a home from captures of its network.
pub fn study(
    sightings: Vec<(PathBuf, Sighting)>,
    corpus: &Corpus,
    vendors: &Vendors,
    setup: &Setup,
) -> Result<Exposure, Error> {
    let captures = sightings.iter().map(|(path, _)| path.clone()).collect();
    let mut hosts = on_one_time_line(sightings)?;
    hosts.sort_by_key(|host| std::cmp::Reverse(bytes(host)));
    hosts.truncate(MAX_HOSTS);
    let identities = identify(corpus, vendors, &hosts, setup.seed);
    let detector = Detector::default();
    let exposed: Vec<Exposed> = hosts
        .iter()
        .zip(identities)
        .map(|(host, identity)| Exposed { identity, onsets: detector.onsets(&host.trace), bytes: bytes(host) })
        .collect();
    let home = Home::merge(hosts.into_iter().map(|host| (host.trace, Nanos::ZERO)));
    let vpn = shared::through_vpn(&home, &exposed, &detector);
    let shaped = shared::shaped(&home, &exposed, setup, &detector)?;
    Ok(Exposure { captures, length: home.length, known: corpus.in_use, hosts: exposed, home, vpn, shaped })
}

fn bytes(host: &Host) -> u64 {
    host.trace.events.iter().map(|event| u64::from(event.bytes)).sum()
}

/// Every host once, from the capture that saw most of it, with times from the first packet of all.
pub fn on_one_time_line(sightings: Vec<(PathBuf, Sighting)>) -> Result<Vec<Host>, Error> {
    let first_ns = sightings.iter().map(|(_, sighting)| sighting.extent.first_ns).min().unwrap_or(0);
    let last_ns = sightings.iter().map(|(_, sighting)| sighting.extent.last_ns).max().unwrap_or(0);
    if last_ns.saturating_sub(first_ns) > LONGEST.0 {
        return Err(Error::Request(format!(
            "the captures span {} days; give captures of one recording, of a week at most",
            (last_ns - first_ns) / 86_400_000_000_000
        )));
    }
    let mut hosts: BTreeMap<Mac, Host> = BTreeMap::new();
    for (_, sighting) in sightings {
        let offset = Nanos(sighting.extent.first_ns - first_ns);
        for mut host in sighting.hosts {
            for event in &mut host.trace.events {
                event.time = event.time + offset;
            }
            match hosts.get_mut(&host.mac) {
                Some(known) if known.trace.events.len() >= host.trace.events.len() => {
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
    let hosts: Vec<Host> = hosts.into_values().filter(|host| !host.trace.events.is_empty()).collect();
    if hosts.is_empty() {
        return Err(Error::Request(
            "no host in these captures talks to the Internet; were they taken on the home's side of the router?"
                .to_owned(),
        ));
    }
    Ok(hosts)
}
