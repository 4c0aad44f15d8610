//! Checks valid settings against the host: reports what cannot work here, and what might fail.

use super::device_numbers::too_many_devices;
use super::facts::{Facts, Relay, Relayed, TunnelPort};
use super::path_mtu;
use super::policy_sets::interface;
use crate::config::model::{DnsMode, Policy, Role, Settings};
use crate::tunnel;
use crate::units::counted;

/// The kind of an issue. Its name is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreflightIssueKind {
    /// An address of the tunnel is inside a network of the home.
    AddressInLan,
    /// A resolver that must be reached through the tunnel is inside the home.
    ResolverInLan,
    /// A network that the settings name leads out of the home.
    NetworkOutside,
    /// The interface of a network that the settings name does not exist.
    NetworkMissing,
    /// An interface may belong to the home or lead out of it.
    NetworkUnsure,
    /// A bridge port of the home is a tunnel. It is closed for confined devices.
    TunnelPort,
    /// A bridge port of the home is a mesh of access points.
    MeshPort,
    /// A program on the router speaks for devices on an outside interface.
    Relay,
    /// The firewall uses hardware flow offloading, which bypasses all rules.
    HardwareOffload,
    /// No device can open the router's own pages.
    RouterClosed,
    /// The settings ask for more threads than there are processors.
    Threads,
    /// The way to the endpoint is too narrow for the cells that the settings ask for.
    CellTooLong,
    /// The exit of an endpoint's homes is not there.
    #[cfg(feature = "endpoint")]
    ExitMissing,
    /// There are more device sections than numbers.
    DeviceNumbers,
}

impl PreflightIssueKind {
    /// All kinds.
    pub const ALL: [PreflightIssueKind; if cfg!(feature = "endpoint") { 14 } else { 13 }] = [
        PreflightIssueKind::AddressInLan,
        PreflightIssueKind::ResolverInLan,
        PreflightIssueKind::NetworkOutside,
        PreflightIssueKind::NetworkMissing,
        PreflightIssueKind::NetworkUnsure,
        PreflightIssueKind::TunnelPort,
        PreflightIssueKind::MeshPort,
        PreflightIssueKind::Relay,
        PreflightIssueKind::HardwareOffload,
        PreflightIssueKind::RouterClosed,
        PreflightIssueKind::Threads,
        PreflightIssueKind::CellTooLong,
        #[cfg(feature = "endpoint")]
        PreflightIssueKind::ExitMissing,
        PreflightIssueKind::DeviceNumbers,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            PreflightIssueKind::AddressInLan => "address-in-lan",
            PreflightIssueKind::ResolverInLan => "resolver-in-lan",
            PreflightIssueKind::NetworkOutside => "network-outside",
            PreflightIssueKind::NetworkMissing => "network-missing",
            PreflightIssueKind::NetworkUnsure => "network-unsure",
            PreflightIssueKind::TunnelPort => "tunnel-port",
            PreflightIssueKind::MeshPort => "mesh-port",
            PreflightIssueKind::Relay => "relay",
            PreflightIssueKind::HardwareOffload => "hardware-offload",
            PreflightIssueKind::RouterClosed => "router-closed",
            PreflightIssueKind::Threads => "threads",
            PreflightIssueKind::CellTooLong => "cell-too-long",
            #[cfg(feature = "endpoint")]
            PreflightIssueKind::ExitMissing => "exit-missing",
            PreflightIssueKind::DeviceNumbers => "device-numbers",
        }
    }

    /// Whether the issue prevents something from working.
    pub fn is_error(self) -> bool {
        let can_fail = [
            PreflightIssueKind::AddressInLan,
            PreflightIssueKind::ResolverInLan,
            PreflightIssueKind::NetworkOutside,
            PreflightIssueKind::NetworkMissing,
            PreflightIssueKind::HardwareOffload,
        ];
        #[cfg(feature = "endpoint")]
        if self == PreflightIssueKind::ExitMissing {
            return true;
        }
        can_fail.contains(&self)
    }

    /// The remedy.
    pub fn fix(self) -> &'static str {
        match self {
            PreflightIssueKind::AddressInLan => "choose tunnel addresses outside the home's networks, at both ends",
            PreflightIssueKind::ResolverInLan => {
                "name a resolver on the Internet such as 9.9.9.9, or set dns.mode to router"
            }
            PreflightIssueKind::NetworkOutside => "name a network of the home",
            PreflightIssueKind::NetworkMissing => {
                "name a network of /etc/config/network; if that gives it no device, set option device to its interface"
            }
            PreflightIssueKind::NetworkUnsure => {
                "if it belongs to the home, add a config network with a name, option device and option policy direct"
            }
            PreflightIssueKind::TunnelPort => {
                "if all of its other end belongs to the home, add list home_port with its name to section main; else \
                 take it out of the bridge"
            }
            PreflightIssueKind::MeshPort => {
                "if the mesh is yours and encrypted, add list home_port with its name to section main"
            }
            PreflightIssueKind::Relay => {
                "stop that program; if it is odhcpd, set ra and dhcpv6 to server and ndp to disabled in \
                 /etc/config/dhcp"
            }
            PreflightIssueKind::HardwareOffload => {
                "turn it off: uci set firewall.@defaults[0].flow_offloading_hw=0; software offloading may stay on"
            }
            PreflightIssueKind::RouterClosed => {
                "give your computer a config device with policy direct, or add list router_service 'tcp/80' to main"
            }
            PreflightIssueKind::Threads => "remove option threads from section main: millpond then uses all processors",
            PreflightIssueKind::CellTooLong => "set main.cell to at most that, or correct the MTU of the interface",
            #[cfg(feature = "endpoint")]
            PreflightIssueKind::ExitMissing => {
                "bring that WireGuard or OpenVPN interface up, without routes of its own (wg-quick: Table = off)"
            }
            PreflightIssueKind::DeviceNumbers => {
                "choose the devices by their network: config network with policy shape"
            }
        }
    }
}

/// An issue that the user should fix or know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightIssue {
    /// Its kind.
    pub kind: PreflightIssueKind,
    /// The issue in words, without the remedy.
    pub text: String,
}

/// All issues of `settings` on a host with these `facts`, in the order of the settings.
pub fn preflight_issues(settings: &Settings, facts: &Facts) -> Vec<PreflightIssue> {
    if settings.role == Role::Endpoint {
        let issues = too_many_threads(settings, facts).into_iter();
        #[cfg(feature = "endpoint")]
        let issues = issues.chain(
            super::exit::issues(settings, facts)
                .into_iter()
                .map(|text| PreflightIssue { kind: PreflightIssueKind::ExitMissing, text }),
        );
        return issues.collect();
    }
    let mut issues = Vec::new();
    let too_long = path_mtu::too_long_cells(settings, facts);
    issues.extend(too_long.map(|text| PreflightIssue { kind: PreflightIssueKind::CellTooLong, text }));
    check_addresses(settings, facts, &mut issues);
    check_networks(settings, facts, &mut issues);
    let shared = too_many_devices(settings);
    issues.extend(shared.map(|text| PreflightIssue { kind: PreflightIssueKind::DeviceNumbers, text }));
    let confines = settings.confines();
    if facts.hardware_offload && confines {
        issues.push(PreflightIssue {
            kind: PreflightIssueKind::HardwareOffload,
            text: "the firewall's hardware flow offloading forwards connections past all rules".into(),
        });
    }
    if nobody_reaches_the_router(settings, facts) {
        issues.push(PreflightIssue {
            kind: PreflightIssueKind::RouterClosed,
            text: "every network of the home is shaped or blocked: no device can open this router's own pages".into(),
        });
    }
    if confines {
        check_ports(settings, facts, &mut issues);
        issues.extend(facts.relays.iter().map(relay_issue));
    }
    issues
}

/// More threads than processors would wait for each other.
fn too_many_threads(settings: &Settings, facts: &Facts) -> Option<PreflightIssue> {
    let (wanted, processors) = (u32::from(settings.threads?), facts.processors);
    let has = counted(processors as usize, "processor", "processors");
    let text = format!("main.threads: {wanted} threads on {has}: millpond uses {processors}");
    (processors > 0 && wanted > processors).then_some(PreflightIssue { kind: PreflightIssueKind::Threads, text })
}

/// Whether the settings lock the owner out of the router's pages: the guard keeps confined devices from all but a few
/// of the router's services.
fn nobody_reaches_the_router(settings: &Settings, facts: &Facts) -> bool {
    let is_confined = |name: &str| {
        let mut networks = settings.networks.iter().filter(|network| network.policy != Policy::Direct);
        networks.any(|network| interface(network) == name)
    };
    let is_exempt = settings.devices.iter().any(|device| device.policy == Policy::Direct);
    let mut lan = facts.lan.iter();
    !lan.as_slice().is_empty()
        && lan.all(|lan| is_confined(&lan.name))
        && !is_exempt
        && settings.router_services.is_empty()
}

fn check_ports(settings: &Settings, facts: &Facts, issues: &mut Vec<PreflightIssue>) {
    for port in facts.tunnel_ports.iter().filter(|port| !settings.home_ports.contains(&port.name)) {
        let TunnelPort { name, bridge, kind, is_mesh } = port;
        let (kind, text) = if *is_mesh {
            let text = format!(
                "port {name} ({kind}) of {bridge} carries packets of shaped and blocked devices to other access points"
            );
            (PreflightIssueKind::MeshPort, text)
        } else {
            let text =
                format!("port {name} ({kind}) of {bridge} is a tunnel: it is closed for shaped and blocked devices");
            (PreflightIssueKind::TunnelPort, text)
        };
        issues.push(PreflightIssue { kind, text });
    }
}

fn relay_issue(relay: &Relay) -> PreflightIssue {
    let what = match relay.relayed {
        Relayed::Dhcp => "relays devices' DHCP requests",
        Relayed::Solicitations => "relays devices' router solicitations",
        Relayed::Addresses => "asks and answers for devices' addresses",
        Relayed::Packets => "repeats devices' packets",
    };
    let to = relay.to.as_ref().map(|to| format!(" towards {to}")).unwrap_or_default();
    let effect = match relay.relayed {
        Relayed::Dhcp => "the guard drops them on their way out of the home, so they get no answer",
        Relayed::Solicitations => "the provider sees when a shaped or blocked device joins",
        Relayed::Addresses => "the provider sees the addresses of shaped and blocked devices",
        Relayed::Packets => "the provider may see those of shaped and blocked devices",
    };
    PreflightIssue { kind: PreflightIssueKind::Relay, text: format!("{} {what}{to}: {effect}", relay.program) }
}

fn check_addresses(settings: &Settings, facts: &Facts, issues: &mut Vec<PreflightIssue>) {
    let mut check = |option: &str, address: std::net::IpAddr| {
        if facts.is_home(address) {
            issues.push(PreflightIssue {
                kind: PreflightIssueKind::AddressInLan,
                text: format!("tunnel.{option}: in a network of the home (got {address})"),
            });
        }
    };
    let tunnel = tunnel::properties(settings);
    tunnel.iter().for_each(|tunnel| check("address", tunnel.address.into()));
    settings.address6.into_iter().for_each(|address| check("address6", address.into()));
    tunnel.and_then(|tunnel| tunnel.peer_address).into_iter().for_each(|address| check("peer_address", address.into()));
    if settings.dns.mode == DnsMode::Tunnel {
        for server in settings.dns.servers.iter().filter(|server| facts.is_home(**server)) {
            issues.push(PreflightIssue {
                kind: PreflightIssueKind::ResolverInLan,
                text: format!(
                    "dns.server: not used: it is in the home and would forward queries in clear (got {server})"
                ),
            });
        }
    }
}

fn check_networks(settings: &Settings, facts: &Facts, issues: &mut Vec<PreflightIssue>) {
    for network in &settings.networks {
        let (name, interface) = (&network.name, interface(network));
        if facts.outside.contains(&interface) {
            issues.push(PreflightIssue {
                kind: PreflightIssueKind::NetworkOutside,
                text: format!("network {name}: leads out of the home (got interface {interface})"),
            });
        } else if facts.missing.contains(&interface) {
            let protected = if network.policy == Policy::Direct { "" } else { ", so none of its devices is protected" };
            let what = if network.device.is_some() { "does not exist (got" } else { "was not found (tried" };
            issues.push(PreflightIssue {
                kind: PreflightIssueKind::NetworkMissing,
                text: format!("network {name}: its interface {what} {interface}){protected}"),
            });
        }
    }
    for wan in &settings.line.wans {
        let interface = wan.device.as_ref().unwrap_or(&wan.network);
        if facts.missing.contains(interface) {
            issues.push(PreflightIssue {
                kind: PreflightIssueKind::NetworkMissing,
                text: format!(
                    "wan {}: its interface was not found (tried {interface}), so its level never holds",
                    wan.network
                ),
            });
        }
    }
    for interface in &facts.unsure {
        issues.push(PreflightIssue {
            kind: PreflightIssueKind::NetworkUnsure,
            text: format!(
                "interface {interface} may belong to the home or lead out of it: shaped devices cannot reach it"
            ),
        });
    }
}

#[cfg(test)]
mod tests;
