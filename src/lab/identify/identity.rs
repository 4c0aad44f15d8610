//! Identifies the hosts of an unlabelled capture.

use serde::Serialize;

use super::corpus::Corpus;
use super::dns::NameModel;
use super::evaluate::dataset;
use super::observe::ObservedHost;
use super::oui::{Vendors, is_locally_administered, oui};
use super::shape;
use crate::lab::learn::{ForestParams, RandomForest};
use crate::units::Nanos;

/// Length of the windows: the shortest of the paper.
const WINDOW: Nanos = Nanos::from_secs(60);
/// Maximum candidates per host and source.
const MAX_CANDIDATES: usize = 3;

/// A device that a host may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Name of the device.
    pub device: String,
    /// How well the device fits, 0..=1; for traffic patterns the mean share of the votes.
    pub fit: f64,
}

/// What a capture reveals about the identity of a host.
#[derive(Clone, Debug, Serialize)]
pub struct HostIdentity {
    /// Ethernet address of the host.
    pub mac: String,
    /// Whether the address is locally administered, usually a random one.
    pub made_up_address: bool,
    /// Vendor of the address.
    pub vendor: Option<String>,
    /// Known devices with the same vendor prefix.
    pub same_prefix: Vec<String>,
    /// Number of packets to and from the Internet.
    pub packets: usize,
    /// DNS names that the host looked up.
    pub names: Vec<String>,
    /// The best fitting devices by DNS names, best first; empty if no known device shares a name.
    pub by_names: Vec<Candidate>,
    /// Number of one-minute windows that contain a packet.
    pub windows: usize,
    /// The best fitting devices by traffic pattern, best first; empty without a complete window.
    pub by_shape: Vec<Candidate>,
}

/// Compares hosts with the devices of the corpus. The traffic pattern always yields the most similar devices, even if
/// the host is none of them.
pub fn identify(corpus: &Corpus, vendors: &Vendors, hosts: &[ObservedHost], seed: u64) -> Vec<HostIdentity> {
    let mut model = NameModel::new(corpus.devices.len());
    for capture in &corpus.captures {
        model.learn(capture.device, &capture.names);
    }
    let learned = dataset(corpus, WINDOW, |events, start| shape::features(events, start, WINDOW));
    let forest = (!learned.rows.is_empty()).then(|| RandomForest::train(&learned, ForestParams::default(), seed));
    let one = |host: &ObservedHost| {
        let rows: Vec<_> =
            shape::windows(&host.trace, WINDOW).map(|(start, events)| shape::features(events, start, WINDOW)).collect();
        let mut votes = vec![0.0; corpus.devices.len()];
        if let Some(forest) = &forest {
            for row in &rows {
                for (sum, share) in votes.iter_mut().zip(forest.vote_shares(row)) {
                    *sum += f64::from(share) / rows.len() as f64;
                }
            }
        }
        let mut same_prefix: Vec<String> = corpus
            .captures
            .iter()
            .filter(|capture| capture.mac.is_some_and(|mac| oui(mac) == oui(host.mac)))
            .map(|capture| corpus.devices[capture.device].clone())
            .collect();
        same_prefix.sort();
        same_prefix.dedup();
        HostIdentity {
            mac: host.mac.to_string(),
            made_up_address: is_locally_administered(host.mac),
            vendor: vendors.vendor(host.mac).map(str::to_owned),
            same_prefix,
            packets: host.trace.packets.len(),
            names: host.names.iter().cloned().collect(),
            by_names: best(corpus, &model.similarity(&host.names)),
            windows: rows.len(),
            by_shape: best(corpus, &votes),
        }
    };
    hosts.iter().map(one).collect()
}

fn best(corpus: &Corpus, fits: &[f64]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = corpus
        .devices
        .iter()
        .zip(fits)
        .filter(|(_, fit)| **fit > 0.0)
        .map(|(device, &fit)| Candidate { device: device.clone(), fit })
        .collect();
    candidates.sort_by(|a, b| b.fit.total_cmp(&a.fit));
    candidates.truncate(MAX_CANDIDATES);
    candidates
}
