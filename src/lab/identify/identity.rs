//! Who are the hosts of a capture that nobody has labelled?

use serde::Serialize;

use super::corpus::Corpus;
use super::dns::NameModel;
use super::evaluate::table;
use super::observe::ObservedHost;
use super::oui::{Vendors, is_locally_administered, oui};
use super::shape;
use crate::lab::learn::{ForestParams, RandomForest};
use crate::units::Nanos;

/// Windows of unlabelled traffic; the paper's shortest.
const WINDOW: Nanos = Nanos::from_secs(60);
/// Guesses that are kept.
const MAX_CANDIDATES: usize = 3;

/// A device that a host may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub device: String,
    /// How well it fits, 0..=1; by shape, the mean share of votes.
    pub fit: f64,
}

/// What can be said of a host.
#[derive(Clone, Debug, Serialize)]
pub struct HostIdentity {
    /// Its Ethernet address.
    pub mac: String,
    /// Whether the host has drawn that address itself.
    pub made_up_address: bool,
    /// The address' vendor.
    pub vendor: Option<String>,
    /// Known devices with the same prefix.
    pub same_prefix: Vec<String>,
    /// Packets to and from the Internet.
    pub packets: usize,
    /// Names that it looked up.
    pub names: Vec<String>,
    /// Known devices by names, best first; empty if it looked up nothing that any of them does.
    pub by_names: Vec<Candidate>,
    /// Windows of a minute with any packet.
    pub windows: usize,
    /// Known devices by the shape of the traffic, best first; empty without a whole window.
    pub by_shape: Vec<Candidate>,
}

/// Compares hosts with the devices of the corpus. By shape, a host that is none of them is still given to the nearest.
pub fn identify(corpus: &Corpus, vendors: &Vendors, hosts: &[ObservedHost], seed: u64) -> Vec<HostIdentity> {
    let mut model = NameModel::new(corpus.devices.len());
    for record in &corpus.captures {
        model.learn(record.device, &record.names);
    }
    let learned = table(corpus, WINDOW, |events, start| shape::features(events, start, WINDOW));
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
            .filter(|record| record.mac.is_some_and(|mac| oui(mac) == oui(host.mac)))
            .map(|record| corpus.devices[record.device].clone())
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
