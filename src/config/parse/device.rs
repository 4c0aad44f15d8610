//! `config device` and `config network`: the devices whose traffic is shaped.

use std::net::IpAddr;

use super::context::Context;
#[cfg(feature = "endpoint")]
use super::context::TunnelKind;
use super::reader::{OptionUse, SectionReader};
use super::value::{boolean, choice, device_address, interface_name, mac, network_name, number, shown, title};
use crate::config::model::{Device, Mac, Network, Policy, Role};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;
use crate::units::Nanos;

#[cfg(feature = "endpoint")]
const DEVICE_OPTIONS: [&str; 8] = ["name", "mac", "address", "policy", "kind", "tolerance", "watch", "self"];
#[cfg(not(feature = "endpoint"))]
const DEVICE_OPTIONS: [&str; 7] = ["name", "mac", "address", "policy", "kind", "tolerance", "watch"];
const NETWORK_OPTIONS: [&str; 4] = ["name", "device", "policy", "strict"];
/// Maximum MAC addresses of one device: a computer has one for its cable, one for each radio and one for each dock.
const MAX_MACS: usize = 8;
const POLICIES: &[(&str, Policy)] = &[("shape", Policy::Shape), ("block", Policy::Block), ("direct", Policy::Direct)];

/// How long the packets of each kind of device may wait before users notice: the longest delays in the paper's figure
/// 9, and the shortest of them for the plugs.
const KINDS: &[(&str, Nanos)] = &[
    ("plug", Nanos::from_millis(1_700)),
    ("speaker", Nanos::from_millis(4_400)),
    ("camera", Nanos::from_millis(17_600)),
    ("sleep", MIN_TOLERANCE),
    ("other", MIN_TOLERANCE),
];
/// The sleep monitor's tolerance, also the default: an unknown device may be the most sensitive kind.
const MIN_TOLERANCE: Nanos = Nanos::from_millis(1_400);

impl Policy {
    /// The value in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Shape => "shape",
            Policy::Block => "block",
            Policy::Direct => "direct",
        }
    }
}

/// Reads all `device` sections.
pub(super) fn read_devices<'a>(
    sections: impl Iterator<Item = &'a Section>,
    context: &mut Context,
    problems: &mut Vec<SettingsProblem>,
) -> Vec<Device> {
    let (mut macs, mut addresses) = (OptionUse::new(), OptionUse::new());
    let mut devices = Vec::new();
    for section in sections {
        let mut reader = SectionReader::new(section, &DEVICE_OPTIONS, problems);
        context.expect(Role::Router, &mut reader);
        #[cfg(feature = "endpoint")]
        let is_self = read_self(&mut reader, context, devices.iter().any(|device: &Device| device.is_self));
        #[cfg(not(feature = "endpoint"))]
        let is_self = false;
        if !is_self && !reader.given("mac") && !reader.given("address") {
            reader.error_section("no device selected (want option mac or option address)".to_owned());
        }
        let own_macs: Vec<Mac> = reader.words("mac", mac).into_iter().map(|(mac, _)| mac).collect();
        if own_macs.len() > MAX_MACS {
            reader.error("mac", format!("too many (got {}, want at most {MAX_MACS} for one device)", own_macs.len()));
        }
        for mac in &own_macs {
            let text = mac.to_string();
            reader.unique(&mut macs, &text, "mac", &text);
        }
        let address = reader.value("address", device_address);
        if let Some(address) = address {
            let text = address.to_string();
            reader.unique(&mut addresses, &text, "address", &text);
            check_outside_tunnel(&mut reader, context, address);
        }
        let name = reader.value("name", title);
        let name = name
            .or_else(|| own_macs.first().map(Mac::to_string))
            .or_else(|| address.map(|address| address.to_string()))
            .unwrap_or_else(|| reader.label().to_owned());
        let policy = reader.value("policy", choice(POLICIES)).unwrap_or(Policy::Shape);
        let kind_tolerance = reader.value("kind", choice(KINDS)).unwrap_or(MIN_TOLERANCE);
        let tolerance = reader.value("tolerance", number(1..=600_000, "ms"));
        let tolerance = tolerance.map_or(kind_tolerance, |ms| Nanos::from_millis(ms.into()));
        let watch = reader.value("watch", boolean).unwrap_or(false);
        devices.push(Device { name, macs: own_macs, address, is_self, policy, watch, tolerance });
    }
    devices
}

/// Reads `self`. `has_one` is whether an earlier section is this machine.
#[cfg(feature = "endpoint")]
fn read_self(reader: &mut SectionReader, context: &Context, has_one: bool) -> bool {
    if reader.value("self", boolean) != Some(true) {
        return false;
    }
    if has_one {
        reader.error("self", "duplicate: another section is this machine already (want one)".to_owned());
    }
    if context.tunnel.is_some_and(|tunnel| tunnel != TunnelKind::Wireguard) {
        let text =
            "millpond tells only WireGuard's own packets from this machine's others (want tunnel.type wireguard)";
        reader.error("self", text.to_owned());
    }
    true
}

fn check_outside_tunnel(reader: &mut SectionReader, context: &Context, address: IpAddr) {
    let IpAddr::V4(v4) = address else { return };
    if let Some((other, line)) = context.addresses.get(&v4.to_string()) {
        let text = format!(
            "an address inside the tunnel (got {address}, used by '{other}' on line {line}; \
             want the device's address on the LAN)"
        );
        reader.error("address", text);
    }
}

/// Reads all `network` sections.
pub(super) fn read_networks<'a>(
    sections: impl Iterator<Item = &'a Section>,
    context: &Context,
    problems: &mut Vec<SettingsProblem>,
) -> Vec<Network> {
    let mut names = OptionUse::new();
    let mut networks = Vec::new();
    for section in sections {
        let mut reader = SectionReader::new(section, &NETWORK_OPTIONS, problems);
        context.expect(Role::Router, &mut reader);
        let name = reader.needed(true, "name", "the name of a network in /etc/config/network", network_name);
        let device = reader.value("device", interface_name);
        let policy = reader.value("policy", choice(POLICIES)).unwrap_or(Policy::Shape);
        let strict = reader.value("strict", boolean).unwrap_or(false);
        let Some(name) = name else { continue };
        reader.unique(&mut names, &name, "name", &shown(&name));
        if !reader.given("device") && interface_name(&format!("br-{name}")).is_err() {
            let text =
                format!("too long for the bridge name 'br-{name}' (want option device with the interface's name)");
            reader.error("name", text);
        }
        networks.push(Network { name, device, policy, strict });
    }
    networks
}
