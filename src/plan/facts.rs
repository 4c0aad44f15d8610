//! What is read from the host before anything is planned.

use std::net::IpAddr;

use super::nft::TableText;
use super::routing::Prefix;
use super::sysctls::Forwarding;
use crate::tunnel::TunnelFacts;

/// The guard's sets of the home's networks, IPv4 and IPv6.
pub(super) const HOME_NETWORKS: [&str; 2] = ["home4", "home6"];

/// The facts about the host that the settings do not contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The interfaces of the home's networks, with their prefixes; neither WAN interfaces nor millpond's own.
    pub lan: Vec<LanInterface>,
    /// The home's networks: the prefixes on its interfaces and those routed to them, and the last known ones while an
    /// interface is down. Sorted; none contains another.
    pub networks: Vec<Prefix>,
    /// Interfaces that lead out of the home or once did; sorted.
    pub outside: Vec<String>,
    /// Interfaces that may belong to the home or lead out of it. They are not treated as the home's.
    pub unsure: Vec<String>,
    /// Interfaces that the settings name, and that neither exist nor belong to a network of the host.
    pub missing: Vec<String>,
    /// The network of the settings' `wan` section by whose interface the default route leaves.
    pub wan: Option<String>,
    /// An endpoint's own networks: those that it reaches without a gateway, apart from millpond's. Sorted, with host
    /// bits cleared. Empty on a router, unless what it sends itself is confined.
    pub on_link: Vec<Prefix>,
    /// Tunnels that an endpoint's homes may have for an exit; empty on a router.
    pub exits: Vec<ExitInterface>,
    /// An endpoint's forwarding sysctls before millpond changed them. Empty on a router.
    pub forwarding: Forwarding,
    /// Ports of the home's bridges that are tunnels or meshes; sorted by name.
    pub tunnel_ports: Vec<TunnelPort>,
    /// Programs on a router that speak for devices on an outside interface; sorted. Empty if no device is confined.
    pub relays: Vec<Relay>,
    /// Whether the firewall uses hardware flow offloading.
    pub hardware_offload: bool,
    /// Number of processors that millpond may use; 0 if it is not known.
    pub processors: u32,
    /// The facts on which the tunnel depends.
    pub tunnel: TunnelFacts,
}

impl Facts {
    /// The facts that an installed guard recorded: the home's interfaces, without prefixes, its networks, and the
    /// outside interfaces.
    pub fn from_guard(guard: &TableText) -> Facts {
        let names = |set| guard.elements(set).map(|name| name.trim_matches('"').to_owned());
        let lan = names("lan").map(|name| LanInterface { name, prefixes: Vec::new() }).collect();
        let networks =
            HOME_NETWORKS.into_iter().flat_map(|set| guard.elements(set)).filter_map(Prefix::parse).collect();
        Facts { lan, networks, outside: names("outside").collect(), ..Facts::default() }
    }

    /// Whether `address` is on one of the home's own networks.
    pub fn is_home(&self, address: IpAddr) -> bool {
        self.lan.iter().flat_map(|lan| &lan.prefixes).any(|prefix| prefix.contains(address))
    }
}

/// A tunnel of another program that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitInterface {
    /// The kernel's name.
    pub name: String,
    /// Whether it has an IPv4 address, and one of IPv6 besides link-local ones.
    pub families: [bool; 2],
}

/// A bridge port that carries frames to other hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelPort {
    /// The kernel's name.
    pub name: String,
    /// The bridge.
    pub bridge: String,
    /// The kind of tunnel, as the kernel names it.
    pub kind: String,
    /// Whether it is a mesh of access points, which belongs to the home, instead of a tunnel.
    pub is_mesh: bool,
}

/// A program on the router that speaks for devices on another interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relay {
    /// The program.
    pub program: String,
    /// The network or server to which it speaks, if its settings name one.
    pub to: Option<String>,
    /// What it says there.
    pub relayed: Relayed,
}

/// What a [`Relay`] says of devices. Each value includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relayed {
    /// Requests of DHCP or DHCPv6. The guard drops them.
    Dhcp,
    /// Router solicitations: when a device joins.
    Solicitations,
    /// The devices' addresses, by ARP or neighbour discovery.
    Addresses,
    /// Whole packets.
    Packets,
}

/// The interface of a network of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// The kernel's name.
    pub name: String,
    /// The networks on it, with host bits cleared.
    pub prefixes: Vec<Prefix>,
}
