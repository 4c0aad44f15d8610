//! What is wrong, or may be, about settings that are right by themselves, on the machine as it is.

use super::desired::Facts;
use super::policy_sets::interface;
use crate::config::model::{DnsMode, Policy, Role, Settings, Tunnel};

/// A kind of thing that does not fit. The name is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreflightIssueKind {
    /// An address inside the tunnel is one of the home's networks' too.
    AddressInLan,
    /// A resolver that should be beyond the tunnel is within the home.
    ResolverInLan,
    /// A network that the settings name leads out of the home.
    NetworkOutside,
    /// A network that the settings name is not there.
    NetworkMissing,
    /// An interface may be the home's or not.
    NetworkUnsure,
    /// Connections may pass in hardware, where no rule sees them.
    HardwareOffload,
}

impl PreflightIssueKind {
    /// Every kind.
    pub const ALL: [PreflightIssueKind; 6] = [
        PreflightIssueKind::AddressInLan,
        PreflightIssueKind::ResolverInLan,
        PreflightIssueKind::NetworkOutside,
        PreflightIssueKind::NetworkMissing,
        PreflightIssueKind::NetworkUnsure,
        PreflightIssueKind::HardwareOffload,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            PreflightIssueKind::AddressInLan => "address-in-lan",
            PreflightIssueKind::ResolverInLan => "resolver-in-lan",
            PreflightIssueKind::NetworkOutside => "network-outside",
            PreflightIssueKind::NetworkMissing => "network-missing",
            PreflightIssueKind::NetworkUnsure => "network-unsure",
            PreflightIssueKind::HardwareOffload => "hardware-offload",
        }
    }

    /// Whether something does not work because of it.
    pub fn is_error(self) -> bool {
        !matches!(self, PreflightIssueKind::NetworkMissing | PreflightIssueKind::NetworkUnsure)
    }

    /// What to do.
    pub fn fix(self) -> &'static str {
        match self {
            PreflightIssueKind::AddressInLan => {
                "choose addresses for the tunnel that no network of the home has, at both ends"
            }
            PreflightIssueKind::ResolverInLan => {
                "name a resolver on the Internet such as 9.9.9.9, or set dns.mode to router"
            }
            PreflightIssueKind::NetworkOutside => "name a network of the home",
            PreflightIssueKind::NetworkMissing => {
                "name a network of /etc/config/network, and its interface as option device if it is not br-NAME"
            }
            PreflightIssueKind::NetworkUnsure => {
                "if it is the home's, add a config network with its name, option device and option policy direct"
            }
            PreflightIssueKind::HardwareOffload => {
                "switch it off: uci set firewall.@defaults[0].flow_offloading_hw=0; software offloading may stay"
            }
        }
    }
}

/// Something that the owner should mend, or know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightIssue {
    /// What kind.
    pub kind: PreflightIssueKind,
    /// What is wrong.
    pub text: String,
}

/// All that is to be said about `settings` where `facts` hold, in the order of the settings.
pub fn preflight_issues(settings: &Settings, facts: &Facts) -> Vec<PreflightIssue> {
    if settings.role == Role::Endpoint {
        return Vec::new();
    }
    let mut preflight_issues = Vec::new();
    addresses(settings, facts, &mut preflight_issues);
    networks(settings, facts, &mut preflight_issues);
    let confines = settings.devices.iter().any(|device| device.policy != Policy::Direct)
        || settings.networks.iter().any(|network| network.policy != Policy::Direct);
    if facts.hardware_offload && confines {
        preflight_issues.push(PreflightIssue {
            kind: PreflightIssueKind::HardwareOffload,
            text: "the firewall's hardware flow offloading passes connections along where no rule sees them".into(),
        });
    }
    preflight_issues
}

fn addresses(settings: &Settings, facts: &Facts, preflight_issues: &mut Vec<PreflightIssue>) {
    let mut collides = |option: &str, address: std::net::IpAddr| {
        if facts.is_home(address) {
            preflight_issues.push(PreflightIssue {
                kind: PreflightIssueKind::AddressInLan,
                text: format!("tunnel.{option}: within the home's own network (got {address})"),
            });
        }
    };
    let (address, peer_address) = match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) => (Some(wireguard.address), wireguard.peer_address),
        Some(Tunnel::Openvpn { address, peer_address, .. } | Tunnel::Interface { address, peer_address, .. }) => {
            (Some(*address), *peer_address)
        }
        None => (None, None),
    };
    address.into_iter().for_each(|address| collides("address", address.into()));
    settings.address6.into_iter().for_each(|address| collides("address6", address.into()));
    peer_address.into_iter().for_each(|address| collides("peer_address", address.into()));
    if settings.dns.mode == DnsMode::Tunnel {
        for server in settings.dns.servers.iter().filter(|server| facts.is_home(**server)) {
            preflight_issues.push(PreflightIssue {
                kind: PreflightIssueKind::ResolverInLan,
                text: format!("dns.server: within the home, and not asked (got {server}): it would ask on in clear"),
            });
        }
    }
}

fn networks(settings: &Settings, facts: &Facts, preflight_issues: &mut Vec<PreflightIssue>) {
    for network in &settings.networks {
        let (name, interface) = (&network.name, interface(network));
        if facts.outside.contains(&interface) {
            preflight_issues.push(PreflightIssue {
                kind: PreflightIssueKind::NetworkOutside,
                text: format!("network {name}: leads out of the home (got interface {interface})"),
            });
        } else if facts.missing.contains(&interface) {
            preflight_issues.push(PreflightIssue {
                kind: PreflightIssueKind::NetworkMissing,
                text: format!("network {name}: its interface is not there (got {interface})"),
            });
        }
    }
    for interface in &facts.unsure {
        preflight_issues.push(PreflightIssue {
            kind: PreflightIssueKind::NetworkUnsure,
            text: format!("interface {interface} may be the home's or lead out: shaped devices do not reach it"),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config;
    use crate::plan::LanInterface;
    use crate::plan::routing::Prefix;

    fn settings(address: &str, server: &str, network: &str) -> Settings {
        let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let text = format!(
            "config millpond main\noption enabled 1\nconfig tunnel tunnel\noption private_key {key}\n\
             option public_key ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=\noption endpoint 203.0.113.9:51820\n\
             option address 10.77.0.2\noption peer_address {address}\nconfig dns dns\nlist server {server}\n\
             config network\noption name {network}\n"
        );
        config::parse(text.as_bytes()).settings.unwrap()
    }

    fn codes(settings: &Settings, facts: &Facts) -> Vec<&'static str> {
        preflight_issues(settings, facts).into_iter().map(|issue| issue.kind.name()).collect()
    }

    #[test]
    fn what_does_not_fit_the_machine_is_named() {
        let prefix = Prefix { address: Ipv4Addr::new(192, 168, 1, 0).into(), length: 24 };
        let facts = Facts {
            lan: vec![LanInterface { name: "br-lan".into(), prefixes: vec![prefix] }],
            outside: vec!["br-wan".into()],
            missing: vec!["br-iot".into()],
            ..Facts::default()
        };
        assert_eq!(codes(&settings("10.77.0.1", "9.9.9.9", "lan"), &facts), [""; 0]);
        assert_eq!(codes(&settings("192.168.1.9", "9.9.9.9", "lan"), &facts), ["address-in-lan"]);
        assert_eq!(codes(&settings("10.77.0.1", "192.168.1.5", "lan"), &facts), ["resolver-in-lan"]);
        assert_eq!(codes(&settings("10.77.0.1", "9.9.9.9", "iot"), &facts), ["network-missing"]);
        assert_eq!(codes(&settings("10.77.0.1", "9.9.9.9", "wan"), &facts), ["network-outside"]);
        let unsure = Facts { unsure: vec!["eth1".into()], hardware_offload: true, ..facts };
        assert_eq!(codes(&settings("10.77.0.1", "9.9.9.9", "lan"), &unsure), ["network-unsure", "hardware-offload"]);
    }
}
