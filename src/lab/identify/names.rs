//! How well do vendor prefixes and looked-up names tell devices apart? One capture left out at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::corpus::Corpus;
use super::dns::NameModel;
use super::oui::{Vendors, oui};

/// What names give away.
#[derive(Clone, Debug, Serialize)]
pub struct NameEvaluation {
    /// Captures with any name, of devices with names in another capture too.
    pub captures: usize,
    /// Of these, how many were given to the right device by all others' names.
    pub right: usize,
    /// How many were given to the right device or to one whose learned names are the same set.
    pub right_or_same_names: usize,
    /// Devices that were seen to look up anything.
    pub devices_with_names: usize,
    /// Of these, how many look up a name that no other device does.
    pub devices_with_own_name: usize,
    /// Expected share of right answers from guessing among those devices, 0..=1.
    pub chance: f64,
}

/// What addresses give away.
#[derive(Clone, Debug, Serialize)]
pub struct AddressEvaluation {
    /// Devices with a known address.
    pub devices: usize,
    /// Of these, how many have a vendor that is known.
    pub vendor_known: usize,
    /// How many share their prefix with no other device: the prefix alone names them among these.
    pub unique: usize,
    /// Expected share of right answers from guessing among the devices with the same prefix, 0..=1.
    pub accuracy: f64,
}

/// Tests identification by names.
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
    for (left_out, record) in corpus.captures.iter().enumerate().filter(|(_, record)| !record.names.is_empty()) {
        let mut model = NameModel::new(corpus.devices.len());
        let mut known = vec![BTreeSet::new(); corpus.devices.len()];
        for (_, other) in corpus.captures.iter().enumerate().filter(|(index, _)| *index != left_out) {
            model.learn(other.device, &other.names);
            known[other.device].extend(&other.names);
        }
        if known[record.device].is_empty() {
            continue;
        }
        captures += 1;
        let fits = model.similarity(&record.names);
        let best = (0..fits.len()).max_by(|&a, &b| fits[a].total_cmp(&fits[b]).then(b.cmp(&a))).unwrap_or(0);
        right += usize::from(best == record.device);
        right_or_same_names += usize::from(known[best] == known[record.device]);
    }
    let chance = 1.0 / devices_with_names.max(1) as f64;
    NameEvaluation { captures, right, right_or_same_names, devices_with_names, devices_with_own_name, chance }
}

/// Tests identification by vendor prefix.
pub fn by_address(corpus: &Corpus, vendors: &Vendors) -> AddressEvaluation {
    let mut addresses = Vec::new();
    for device in 0..corpus.devices.len() {
        addresses.extend(corpus.captures.iter().find(|record| record.device == device).and_then(|record| record.mac));
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
