//! Identifies devices by the set of DNS names that they look up.

use std::collections::{BTreeMap, BTreeSet};

const HEADER_BYTES: usize = 12;
/// RFC 1035, section 3.1.
const MAX_LABEL_BYTES: usize = 63;
const MAX_NAME_BYTES: usize = 255;
/// Weight of a name that shares only its registered domain with a known name, relative to a known name.
const SAME_DOMAIN: f64 = 0.6;
/// Weight of the share of a device's known names that the set covers, against the share of the set that is known.
const COVERAGE: f64 = 0.2;

/// The name in the first question of a DNS query (RFC 1035, section 4.1), in lower case. `None` for responses,
/// truncated messages and anything else.
pub fn question(message: &[u8]) -> Option<String> {
    let is_answer = message.get(2)? & 0x80 != 0;
    let questions = u16::from_be_bytes(*message.get(4..)?.first_chunk()?);
    if is_answer || questions == 0 {
        return None;
    }
    let mut name = String::new();
    let mut rest = message.get(HEADER_BYTES..)?;
    loop {
        let (&length, after) = rest.split_first()?;
        let length = usize::from(length);
        if length == 0 {
            break;
        }
        if length > MAX_LABEL_BYTES || name.len() + length >= MAX_NAME_BYTES {
            return None;
        }
        let label = after.get(..length)?;
        if !label.iter().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|&byte| char::from(byte.to_ascii_lowercase())));
        rest = &after[length..];
    }
    (!name.is_empty()).then_some(name)
}

/// The DNS names of each device.
#[derive(Clone, Debug, Default)]
pub struct NameModel {
    names: Vec<BTreeSet<String>>,
    domains: Vec<BTreeSet<String>>,
    /// Number of devices that look up each name. A name that all devices look up identifies none.
    askers: BTreeMap<String, usize>,
}

impl NameModel {
    /// A model of `devices` devices without names.
    pub fn new(devices: usize) -> NameModel {
        NameModel { names: vec![BTreeSet::new(); devices], domains: vec![BTreeSet::new(); devices], ..Self::default() }
    }

    /// Adds names that a device looked up.
    pub fn learn(&mut self, device: usize, names: &BTreeSet<String>) {
        for name in names {
            if self.names[device].insert(name.clone()) {
                *self.askers.entry(name.clone()).or_default() += 1;
            }
            self.domains[device].insert(domain(name).to_owned());
        }
    }

    /// How well a set of names fits each device, 0..=1: mainly the share of the set that the device is known to look
    /// up, and partly the share of the device's names that the set contains. A name weighs more if fewer devices look
    /// it up.
    pub fn similarity(&self, names: &BTreeSet<String>) -> Vec<f64> {
        let weight = |name: &str| self.weight(name);
        let asked: f64 = names.iter().map(|name| weight(name)).sum();
        let fit = |device: usize| {
            let known = &self.names[device];
            let known_weight: f64 = known.iter().map(|name| weight(name)).sum();
            if asked == 0.0 || known_weight == 0.0 {
                return 0.0;
            }
            let mut exact = 0.0;
            let mut near = 0.0;
            for name in names {
                if known.contains(name) {
                    exact += weight(name);
                } else if self.domains[device].contains(domain(name)) {
                    near += SAME_DOMAIN * weight(name);
                }
            }
            (1.0 - COVERAGE) * (exact + near) / asked + COVERAGE * exact / known_weight
        };
        (0..self.names.len()).map(fit).collect()
    }

    fn weight(&self, name: &str) -> f64 {
        let askers = self.askers.get(name).copied().unwrap_or(0);
        (1.0 + self.names.len() as f64 / (1.0 + askers as f64)).ln()
    }
}

/// The last two labels of a name.
fn domain(name: &str) -> &str {
    match name.rmatch_indices('.').nth(1) {
        Some((at, _)) => &name[at + 1..],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        message
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn reads_the_name_of_a_query_only() {
        assert_eq!(question(&query("Time.Example.ORG")).as_deref(), Some("time.example.org"));
        let whole = query("a.example.org");
        for cut in 0..whole.len() - 5 {
            assert_eq!(question(&whole[..cut]), None, "cut at {cut}");
        }
        let mut answer = query("a.example.org");
        answer[2] |= 0x80;
        assert_eq!(question(&answer), None);
        let mut pointer = query("a.example.org");
        pointer[12] = 0xc0;
        assert_eq!(question(&pointer), None, "the first question cannot contain a compression pointer");
    }

    #[test]
    fn recognises_a_device_by_its_names_and_by_new_hosts_of_its_domains() {
        let mut model = NameModel::new(3);
        model.learn(0, &set(&["api.camera.example", "pool.ntp.org"]));
        model.learn(1, &set(&["relay-1.plug.example", "pool.ntp.org"]));
        model.learn(2, &set(&["pool.ntp.org"]));
        let fits = model.similarity(&set(&["relay-7.plug.example", "pool.ntp.org"]));
        assert!(fits[1] > fits[0] && fits[1] > fits[2], "{fits:?}");
        assert_eq!(model.similarity(&set(&["elsewhere.test"])), [0.0; 3]);
        assert_eq!(model.similarity(&BTreeSet::new()), [0.0; 3]);
    }
}
