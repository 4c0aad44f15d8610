//! What is wrong, or may be, about settings that are right by themselves, on the machine as it is.

use super::choice::interface;
use super::desired::Facts;
use crate::config::model::{DnsMode, Policy, Role, Settings, Tunnel};

/// Something that the owner should mend, or know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Stable, for programs.
    pub code: &'static str,
    /// Whether something does not work because of it.
    pub is_error: bool,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub fix: &'static str,
}

/// All that is to be said about `settings` where `facts` hold, in the order of the settings.
pub fn doubts(settings: &Settings, facts: &Facts) -> Vec<Doubt> {
    if settings.role == Role::Endpoint {
        return Vec::new();
    }
    let mut doubts = Vec::new();
    addresses(settings, facts, &mut doubts);
    networks(settings, facts, &mut doubts);
    let confines = settings.devices.iter().any(|device| device.policy != Policy::Direct)
        || settings.networks.iter().any(|network| network.policy != Policy::Direct);
    if facts.hardware_offload && confines {
        doubts.push(Doubt {
            code: "hardware-offload",
            is_error: true,
            text: "the firewall's hardware flow offloading passes connections along where no rule sees them".into(),
            fix: "switch it off: uci set firewall.@defaults[0].flow_offloading_hw=0; software offloading may stay",
        });
    }
    doubts
}

fn addresses(settings: &Settings, facts: &Facts, doubts: &mut Vec<Doubt>) {
    let mut collides = |option: &str, address: std::net::IpAddr| {
        if facts.is_home(address) {
            doubts.push(Doubt {
                code: "address-in-lan",
                is_error: true,
                text: format!("tunnel.{option}: within the home's own network (got {address})"),
                fix: "choose addresses for the tunnel that no network of the home has, at both ends",
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
            doubts.push(Doubt {
                code: "resolver-in-lan",
                is_error: true,
                text: format!("dns.server: within the home, and not asked (got {server}): it would ask on in clear"),
                fix: "name a resolver on the Internet such as 9.9.9.9, or set dns.mode to router",
            });
        }
    }
}

fn networks(settings: &Settings, facts: &Facts, doubts: &mut Vec<Doubt>) {
    for network in &settings.networks {
        let (name, interface) = (&network.name, interface(network));
        if facts.outside.contains(&interface) {
            doubts.push(Doubt {
                code: "network-outside",
                is_error: true,
                text: format!("network {name}: leads out of the home (got interface {interface})"),
                fix: "name a network of the home",
            });
        } else if facts.missing.contains(&interface) {
            doubts.push(Doubt {
                code: "network-missing",
                is_error: false,
                text: format!("network {name}: its interface is not there (got {interface})"),
                fix: "name a network of /etc/config/network, and its interface as option device if it is not br-NAME",
            });
        }
    }
    for interface in &facts.unsure {
        doubts.push(Doubt {
            code: "network-unsure",
            is_error: false,
            text: format!("interface {interface} may be the home's or lead out: shaped devices do not reach it"),
            fix: "if it is the home's, add a section: config network, with its name, option device, option policy direct",
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
        doubts(settings, facts).into_iter().map(|doubt| doubt.code).collect()
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
