//! Evaluates identification by vendor prefix and by DNS names, the latter with leave-one-out cross-validation.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::corpus::Corpus;
use super::dns::NameModel;
use super::oui::{Vendors, oui};

/// How well DNS names identify devices.
#[derive(Clone, Debug, Serialize)]
pub struct NameEvaluation {
    /// Captures with names, of devices that have names in another capture too.
    pub captures: usize,
    /// Captures of these that the names of all other captures assign to the right device.
    pub right: usize,
    /// Captures of these that are assigned to the right device or to one with the same set of learned names.
    pub right_or_same_names: usize,
    /// Devices that looked up a name.
    pub devices_with_names: usize,
    /// Devices of these that look up a name that no other device looks up.
    pub devices_with_own_name: usize,
    /// Expected accuracy of guessing among the devices with names, 0..=1.
    pub chance: f64,
}

/// How well Ethernet addresses identify devices.
#[derive(Clone, Debug, Serialize)]
pub struct AddressEvaluation {
    /// Devices with a known address.
    pub devices: usize,
    /// Devices of these with a known vendor.
    pub vendor_known: usize,
    /// Devices of these whose vendor prefix no other device has, so that the prefix alone identifies them.
    pub unique: usize,
    /// Expected accuracy of guessing among the devices with the same prefix, 0..=1.
    pub accuracy: f64,
}

/// Evaluates identification by DNS names.
pub fn by_names(corpus: &Corpus) -> NameEvaluation {
    let sets: Vec<BTreeSet<&String>> = (0..corpus.devices.len())
        .map(|device| corpus.captures.iter().filter(|r| r.device == device).flat_map(|r| &r.names).collect())
        .collect();
    let mut askers: BTreeMap<&String, usize> = BTreeMap::new();
    for name in sets.iter().flatten() {
        *askers.entry(name).or_default() += 1;
    }
    let devices_with_names = sets.iter().filter(|set| !set.is_empty()).count();
    let devices_with_own_name = sets.iter().filter(|set| set.iter().any(|name| askers[name] == 1)).count();
    let (mut captures, mut right, mut right_or_same_names) = (0, 0, 0);
    for (left_out, capture) in corpus.captures.iter().enumerate().filter(|(_, capture)| !capture.names.is_empty()) {
        let mut model = NameModel::new(corpus.devices.len());
        let mut known = vec![BTreeSet::new(); corpus.devices.len()];
        for (_, other) in corpus.captures.iter().enumerate().filter(|(index, _)| *index != left_out) {
            model.learn(other.device, &other.names);
            known[other.device].extend(&other.names);
        }
        if known[capture.device].is_empty() {
            continue;
        }
        captures += 1;
        let fits = model.similarity(&capture.names);
        let best = (0..fits.len()).max_by(|&a, &b| fits[a].total_cmp(&fits[b]).then(b.cmp(&a))).unwrap_or(0);
        right += usize::from(best == capture.device);
        right_or_same_names += usize::from(known[best] == known[capture.device]);
    }
    let chance = 1.0 / devices_with_names.max(1) as f64;
    NameEvaluation { captures, right, right_or_same_names, devices_with_names, devices_with_own_name, chance }
}

/// Evaluates identification by vendor prefix.
pub fn by_address(corpus: &Corpus, vendors: &Vendors) -> AddressEvaluation {
    let mut addresses = Vec::new();
    for device in 0..corpus.devices.len() {
        addresses
            .extend(corpus.captures.iter().find(|capture| capture.device == device).and_then(|capture| capture.mac));
    }
    let sharing = |mac| addresses.iter().filter(|other| oui(**other) == oui(mac)).count();
    let devices = addresses.len();
    AddressEvaluation {
        devices,
        vendor_known: addresses.iter().filter(|mac| vendors.vendor(**mac).is_some()).count(),
        unique: addresses.iter().filter(|mac| sharing(**mac) == 1).count(),
        accuracy: addresses.iter().map(|mac| 1.0 / sharing(*mac) as f64).sum::<f64>() / devices.max(1) as f64,
    }
}
