//! What a home reveals without protection, behind a plain VPN, behind millpond, and with devices blocked (the paper's
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
use super::identify::{CaptureSummary, Corpus, HostIdentity, ObservedHost, identify, oui::Vendors};
use super::simulate::SimulationConfig;
use super::trace::HomeTrace;
use crate::units::Nanos;

/// Captures that span more than this are not one recording of a home.
const MAX_RECORDING: Nanos = Nanos::from_secs(7 * 86_400);
/// The report covers only the busiest hosts, because the engine distinguishes no more than this.
const MAX_HOSTS: usize = 60;

/// The contents of the page.
pub struct Exposure {
    /// The captures.
    pub captures: Vec<PathBuf>,
    /// Time from the first packet to the last.
    pub length: Nanos,
    /// Number of labelled devices that the hosts were compared with.
    pub known: usize,
    /// The hosts without protection, busiest first.
    pub hosts: Vec<HostExposure>,
    /// The traces of these hosts on a common time axis, in the same order.
    pub home: HomeTrace,
    /// What the provider sees behind a plain VPN.
    pub vpn: LinkExposure,
    /// What the provider sees behind millpond.
    pub shaped: ShapedExposure,
}

/// What one host reveals without protection.
pub struct HostExposure {
    /// Which device it may be.
    pub identity: HostIdentity,
    /// When it became active, whether it was used or not.
    pub onsets: Vec<Onset>,
    /// Bytes to and from the Internet.
    pub bytes: u64,
}

impl HostExposure {
    /// The most likely device by DNS names, or else by traffic pattern, with the MAC address; the address alone if no
    /// device fits.
    pub fn name(&self) -> String {
        let best = self.identity.by_names.first().or(self.identity.by_shape.first());
        best.map_or_else(
            || self.identity.mac.clone(),
            |candidate| format!("{} ({})", candidate.device, self.identity.mac),
        )
    }
}

/// Analyses a home from captures of its network. An error if the captures do not belong to one recording or show no
/// host.
pub fn analyse(
    summaries: Vec<(PathBuf, CaptureSummary)>,
    corpus: &Corpus,
    vendors: &Vendors,
    config: &SimulationConfig,
) -> Result<Exposure, Error> {
    let captures = summaries.iter().map(|(path, _)| path.clone()).collect();
    let mut hosts = merge_captures(summaries)?;
    hosts.sort_by_key(|host| std::cmp::Reverse(bytes(host)));
    hosts.truncate(MAX_HOSTS);
    let identities = identify(corpus, vendors, &hosts, config.seed);
    let detector = Detector::default();
    let exposed: Vec<HostExposure> = hosts
        .iter()
        .zip(identities)
        .map(|(host, identity)| HostExposure { identity, onsets: detector.onsets(&host.trace), bytes: bytes(host) })
        .collect();
    let home = HomeTrace::merge(hosts.into_iter().map(|host| (host.trace, Nanos::ZERO)));
    let vpn = shared::through_vpn(&home, &exposed, &detector);
    let shaped = shared::shaped(&home, &exposed, config, &detector)?;
    Ok(Exposure { captures, length: home.length, known: corpus.in_use, hosts: exposed, home, vpn, shaped })
}

fn bytes(host: &ObservedHost) -> u64 {
    host.trace.packets.iter().map(|packet| u64::from(packet.bytes)).sum()
}

/// Each host once, from the capture with most of its packets. Times count from the first packet of all captures.
pub fn merge_captures(summaries: Vec<(PathBuf, CaptureSummary)>) -> Result<Vec<ObservedHost>, Error> {
    let first_ns = summaries.iter().map(|(_, summary)| summary.extent.first_ns).min().unwrap_or(0);
    let last_ns = summaries.iter().map(|(_, summary)| summary.extent.last_ns).max().unwrap_or(0);
    if last_ns.saturating_sub(first_ns) > MAX_RECORDING.0 {
        return Err(Error::Request(format!(
            "the captures span {} days; give captures from one recording of at most a week",
            (last_ns - first_ns) / 86_400_000_000_000
        )));
    }
    let mut hosts: BTreeMap<Mac, ObservedHost> = BTreeMap::new();
    for (_, summary) in summaries {
        let offset = Nanos(summary.extent.first_ns - first_ns);
        for mut host in summary.hosts {
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
            "no host in these captures talks to the Internet; capture on the home's side of the router".to_owned(),
        ));
    }
    Ok(hosts)
}
