//! The kernel state that the settings ask for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::nft::TableText;
use super::op::LinkKind;
use super::ownership::{CELL_RULE_OFFSET, IPV6_METRIC, LAST_METRIC, OPENVPN, TUN, TUN_MTU, WIREGUARD};
use super::qdisc_tree::{QdiscTree, ShaperLimits};
use super::routing::{Family, MAIN, Prefix, Route, RouteKind, Rule, Selector};
use super::snapshot::Snapshot;
use super::tunnel::{self, Carrier, TunnelEnds};
use super::tunnel_table;
use super::wireguard::{Peer, WireguardDevice};
use crate::config::model::{Home, Role, Settings, Tunnel, Wireguard};

/// The facts about the host that the settings do not contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The interfaces of the home's networks, with their prefixes; neither WAN interfaces nor millpond's own.
    pub lan: Vec<LanInterface>,
    /// Interfaces that lead out of the home or once did; sorted.
    pub outside: Vec<String>,
    /// Interfaces that may belong to the home or lead out of it. They are not treated as the home's.
    pub unsure: Vec<String>,
    /// Interfaces that the settings name and that do not exist.
    pub missing: Vec<String>,
    /// Whether the firewall uses hardware flow offloading.
    pub hardware_offload: bool,
    /// The address of `tunnel.endpoint`, resolved (router).
    pub endpoint: Option<SocketAddr>,
    /// The interface that `tunnel.interface` names, if it exists.
    pub carrier: Option<Carrier>,
}

impl Facts {
    /// The facts that an installed guard recorded: the home's interfaces, without prefixes, and the outside interfaces.
    pub fn from_guard(guard: &TableText) -> Facts {
        let names = |set| guard.elements(set).map(|name| name.trim_matches('"').to_owned());
        let lan = names("lan").map(|name| LanInterface { name, prefixes: Vec::new() }).collect();
        Facts { lan, outside: names("outside").collect(), ..Facts::default() }
    }

    /// Whether `address` is on one of the home's own networks.
    pub fn is_home(&self, address: IpAddr) -> bool {
        self.lan.iter().flat_map(|lan| &lan.prefixes).any(|prefix| prefix.contains(address))
    }
}

/// The interface of a network of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// The kernel's name.
    pub name: String,
    /// The networks on it, with host bits cleared.
    pub prefixes: Vec<Prefix>,
}

/// An interface that millpond creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: LinkKind,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// All of millpond's desired kernel objects except the guard's table, which is separate. Lists are in the order of
/// creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The tunnel's nftables table.
    pub table: Option<TableText>,
    /// Interfaces; all of them are to be up.
    pub links: Vec<Link>,
    /// Sysctl keys in dotted form, with their values.
    pub sysctls: Vec<(String, String)>,
    /// The private key and port of the WireGuard interface.
    pub wireguard: Option<WireguardDevice>,
    /// The peers of the WireGuard interface.
    pub peers: Vec<Peer>,
    /// The qdisc tree on the tunnel's interface.
    pub tree: Option<QdiscTree>,
    /// Interface names with their addresses.
    pub addresses: Vec<(String, Prefix)>,
    /// Routes of millpond's protocol number.
    pub routes: Vec<Route>,
    /// Routing rules of millpond's protocol number.
    pub rules: Vec<Rule>,
}

/// Why valid settings cannot be applied on this host. Prints as one line with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredError {
    /// There is no `tunnel` section.
    NoTunnel,
    /// The router's tunnel section lacks this option.
    Missing(&'static str),
    /// The endpoint's name has not been resolved yet.
    Unresolved,
    /// The interface to attach to does not exist.
    NoInterface(String),
    /// The interface to attach to is not up.
    InterfaceDown(String),
    /// The interface to attach to lacks the tunnel's address.
    NotAddressed {
        /// The interface.
        dev: String,
        /// `tunnel.address`.
        address: Ipv4Addr,
    },
    /// The interface to attach to has an MTU below the length of a cell.
    Mtu {
        /// The interface.
        dev: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// Length of a cell inside the tunnel, IP header included.
        cell_bytes: u16,
    },
    /// Another program's root qdisc is on the interface to attach to.
    ForeignQdisc {
        /// The interface.
        dev: String,
        /// The qdisc's kind.
        kind: String,
    },
}

impl fmt::Display for DesiredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DesiredError::NoTunnel => f.write_str("there is no tunnel: add a section `config tunnel 'tunnel'`"),
            DesiredError::Missing(option) => write!(f, "tunnel.{option}: missing, a router needs it"),
            DesiredError::Unresolved => f.write_str("tunnel.endpoint: the address of this name is not known yet"),
            DesiredError::NoInterface(dev) => write!(f, "tunnel.interface: waiting for {dev}: it does not exist yet"),
            DesiredError::InterfaceDown(dev) => write!(f, "tunnel.interface: waiting for {dev}: it is down"),
            DesiredError::NotAddressed { dev, address } => {
                write!(f, "tunnel.address: {dev} does not have {address}: assign it, or set an address that {dev} has")
            }
            DesiredError::Mtu { dev, mtu, cell_bytes } => {
                write!(f, "main.cell: a cell of {cell_bytes} bytes exceeds the MTU {mtu} of {dev}: set a smaller cell")
            }
            DesiredError::ForeignQdisc { dev, kind } => {
                write!(
                    f,
                    "tunnel.interface: another program's {kind} qdisc is on {dev}: remove it, for example by disabling \
                     SQM there"
                )
            }
        }
    }
}

impl std::error::Error for DesiredError {}

impl Desired {
    /// No objects except the guard, which is separate. [`Desired::restoring_forwarding`] adds the host's former
    /// forwarding.
    pub fn nothing() -> Desired {
        Desired::default()
    }

    /// Adds the forwarding sysctls as they were `before`, so that a host that forwarded only for millpond stops.
    pub fn restoring_forwarding(mut self, before: &Forwarding) -> Desired {
        self.sysctls.extend(before.0.iter().cloned());
        self
    }

    /// The desired state for `settings` on a host with these `facts`, with a qdisc tree of these `limits`. Settings
    /// that are not enabled give [`Desired::nothing`].
    pub fn from_settings(settings: &Settings, facts: &Facts, limits: &ShaperLimits) -> Result<Desired, DesiredError> {
        if !settings.enabled {
            return Ok(Desired::nothing());
        }
        let tunnel = settings.tunnel.as_ref().ok_or(DesiredError::NoTunnel)?;
        let ends = tunnel::ends(tunnel, facts, limits)?;
        let tun = Link { name: TUN.into(), kind: LinkKind::Tun, mtu: TUN_MTU };
        let mut desired = Desired {
            links: ends.link.iter().cloned().chain([tun]).collect(),
            sysctls: sysctls(settings, tunnel),
            tree: Some(QdiscTree::new(ends.dev, limits)),
            ..Desired::nothing()
        };
        if ends.link.is_some() {
            desired.addresses.push((ends.dev.into(), Prefix::host(ends.address)));
        }
        if let Tunnel::Wireguard(wireguard) = tunnel {
            desired.wireguard = Some(WireguardDevice::new(wireguard.key(), wireguard.listen_port));
            desired.peers = match settings.role {
                Role::Router => vec![endpoint_peer(wireguard, facts)?],
                Role::Endpoint => settings.homes.iter().filter_map(home_peer).collect(),
            };
        }
        match settings.role {
            Role::Router => desired.router(settings, &ends, facts)?,
            Role::Endpoint => desired.endpoint(settings, &ends),
        }
        Ok(desired)
    }

    fn router(&mut self, settings: &Settings, ends: &TunnelEnds<'_>, facts: &Facts) -> Result<(), DesiredError> {
        let peer_address = ends.peer_address.ok_or(DesiredError::Missing("peer_address"))?;
        let routing_ids = settings.routing_ids;
        self.table = Some(TableText::from(&tunnel_table::router(settings, facts)));
        // The address is on both interfaces: masquerading uses the one on mp0, and the cell socket is bound to the
        // tunnel's interface.
        self.addresses.push((TUN.into(), Prefix::host(ends.address)));
        self.routes.push(Route { metric: ends.metric, ..host_route(MAIN, peer_address, ends.dev) });
        for lan in &facts.lan {
            for prefix in &lan.prefixes {
                self.routes.push(table_route(routing_ids.table, prefix.network(), 0, RouteKind::Throw));
            }
        }
        let all = |family| table_route(routing_ids.table, Prefix::all(family), 0, RouteKind::Dev(TUN.into()));
        self.routes.push(all(Family::V4));
        if let Some(address) = settings.address6 {
            self.addresses.push((TUN.into(), Prefix::host(address)));
            self.routes.push(all(Family::V6));
        }
        // If mp0 disappears, so do its routes. These two remain, so that marked packets never fall through to the table
        // main. If the tunnel carries only IPv4, they reject IPv6, and devices fall back to IPv4.
        for family in [Family::V4, Family::V6] {
            self.routes.push(table_route(routing_ids.table, Prefix::all(family), LAST_METRIC, RouteKind::Unreachable));
        }
        self.rules = [Family::V4, Family::V6]
            .map(|family| Rule {
                family,
                priority: routing_ids.priority,
                selector: Selector::Mark(routing_ids.mark),
                table: routing_ids.table,
            })
            .to_vec();
        dedup(&mut self.routes);
        Ok(())
    }

    fn endpoint(&mut self, settings: &Settings, ends: &TunnelEnds<'_>) {
        let routing_ids = settings.routing_ids;
        self.table = Some(TableText::from(&tunnel_table::endpoint(settings)));
        // Packets from the Internet to a home go to mp0 and into cells. Cells come from sockets bound to the tunnel's
        // interface and go to the home through it.
        for home in &settings.homes {
            self.routes.push(host_route(routing_ids.table, home.address, ends.dev));
            self.routes.push(host_route(MAIN, home.address, TUN));
            self.routes.extend(home.address6.map(|address| Route {
                table: MAIN,
                prefix: Prefix::host(address),
                metric: IPV6_METRIC,
                kind: RouteKind::Dev(TUN.into()),
            }));
        }
        self.rules = vec![Rule {
            family: Family::V4,
            priority: routing_ids.priority + CELL_RULE_OFFSET,
            selector: Selector::Oif(ends.dev.into()),
            table: routing_ids.table,
        }];
        self.addresses.extend(settings.address6.map(|address| (TUN.to_owned(), Prefix::host(address))));
        self.sysctls.push((IP_FORWARD.into(), "1".into()));
        if settings.homes.iter().any(|home| home.address6.is_some()) {
            self.sysctls.push((IP6_FORWARD.into(), "1".into()));
        }
        dedup(&mut self.routes);
    }
}

/// The sysctl that enables IPv4 forwarding.
const IP_FORWARD: &str = "net.ipv4.ip_forward";
/// The sysctl that enables IPv6 forwarding.
const IP6_FORWARD: &str = "net.ipv6.conf.all.forwarding";

/// The host's forwarding sysctls with their values, for both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding(Vec<(String, String)>);

impl Forwarding {
    /// The values in `snapshot`.
    pub fn of(snapshot: &Snapshot) -> Forwarding {
        let pair = |key: &str| Some((key.to_owned(), snapshot.sysctls.get(key)?.clone()));
        Forwarding([IP_FORWARD, IP6_FORWARD].into_iter().filter_map(pair).collect())
    }

    /// Reads the text that [`Forwarding`] prints as, and ignores everything else.
    pub fn from_text(text: &str) -> Forwarding {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        let known = pairs.filter(|(key, _)| [IP_FORWARD, IP6_FORWARD].contains(key));
        Forwarding(known.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// The sysctl that disables IPv6 on an interface. If the interface does not need IPv6, the kernel would use it only for
/// packets of its own.
const DISABLE_IPV6: &str = "disable_ipv6";
/// Sysctls for an interface that needs IPv6: the kernel generates no address and ignores router advertisements from the
/// tunnel.
const QUIET_IPV6: [(&str, &str); 2] = [("addr_gen_mode", "1"), ("accept_ra", "0")];

/// The sysctls of the tunnel's interfaces. On an attached interface only the reverse path filter is set, and restored
/// at the end. Packets that the kernel itself sends there are dropped in the qdisc tree.
fn sysctls(settings: &Settings, tunnel: &Tunnel) -> Vec<(String, String)> {
    let carrier = match tunnel {
        Tunnel::Wireguard(_) => WIREGUARD,
        Tunnel::Openvpn { .. } => OPENVPN,
        Tunnel::Interface { interface, .. } => interface,
    };
    let is_ours = !matches!(tunnel, Tunnel::Interface { .. });
    let ipv6 = settings.address6.is_some() || settings.homes.iter().any(|home| home.address6.is_some());
    let mut sysctls = Vec::new();
    for name in [carrier, TUN] {
        // Loose mode, because both interfaces have the same address and answers arrive on the other one.
        sysctls.push((reverse_path_filter(name), "2".into()));
        let carries = ipv6 && name == TUN;
        if carries {
            let quiet = QUIET_IPV6.map(|(key, value)| (format!("net.ipv6.conf.{name}.{key}"), value.into()));
            sysctls.extend(quiet);
        }
        if name == TUN || is_ours {
            sysctls.push((format!("net.ipv6.conf.{name}.{DISABLE_IPV6}"), if carries { "0" } else { "1" }.into()));
        }
    }
    sysctls
}

/// The reverse path filter of the interface `name`: the kernel drops packets whose answer would not leave through the
/// interface on which they arrived.
pub fn reverse_path_filter(name: &str) -> String {
    // The dots of the key separate path components; as in sysctl(8), a slash replaces a dot of the interface's name.
    format!("net.ipv4.conf.{}.rp_filter", name.replace('.', "/"))
}

/// Every sysctl that a plan may set, for the snapshot to read. `attached` is the attached interface of another program.
pub(crate) fn watched_sysctls(attached: Option<&str>) -> Vec<String> {
    let mut keys = vec![IP_FORWARD.to_owned(), IP6_FORWARD.to_owned()];
    keys.extend(attached.map(reverse_path_filter));
    for name in [WIREGUARD, OPENVPN, TUN] {
        keys.push(reverse_path_filter(name));
        let ipv6 = [DISABLE_IPV6].into_iter().chain(QUIET_IPV6.map(|(key, _)| key));
        keys.extend(ipv6.map(|key| format!("net.ipv6.conf.{name}.{key}")));
    }
    keys
}

fn endpoint_peer(wireguard: &Wireguard, facts: &Facts) -> Result<Peer, DesiredError> {
    wireguard.endpoint.as_ref().ok_or(DesiredError::Missing("endpoint"))?;
    let peer_address = wireguard.peer_address.ok_or(DesiredError::Missing("peer_address"))?;
    Ok(Peer {
        public_key: wireguard.public_key.clone().ok_or(DesiredError::Missing("public_key"))?,
        preshared_key: wireguard.preshared_key.clone(),
        endpoint: Some(facts.endpoint.ok_or(DesiredError::Unresolved)?),
        allowed_ips: vec![Prefix::host(peer_address)],
        keepalive_seconds: 0,
    })
}

/// A home as a WireGuard peer without a fixed endpoint address. `None` if the home has no key: its tunnel is not
/// WireGuard.
pub fn home_peer(home: &Home) -> Option<Peer> {
    Some(Peer {
        public_key: home.public_key.clone()?,
        preshared_key: home.preshared_key.clone(),
        endpoint: None,
        allowed_ips: vec![Prefix::host(home.address)],
        keepalive_seconds: 0,
    })
}

fn host_route(table: u32, address: Ipv4Addr, dev: &str) -> Route {
    Route { table, prefix: Prefix::host(address), metric: 0, kind: RouteKind::Dev(dev.into()) }
}

fn table_route(table: u32, prefix: Prefix, metric: u32, kind: RouteKind) -> Route {
    let metric = if metric == 0 && prefix.family() == Family::V6 { IPV6_METRIC } else { metric };
    Route { table, prefix, metric, kind }
}

/// Removes duplicate routes: two interfaces may share a network, and the kernel accepts each route only once.
fn dedup(routes: &mut Vec<Route>) {
    let mut kept = Vec::new();
    routes.retain(|route| {
        let is_new = !kept.contains(route);
        kept.push(route.clone());
        is_new
    });
}
