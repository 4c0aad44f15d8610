//! What the settings ask the kernel to hold.

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

/// What the machine is like, as far as the settings do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The interfaces towards the home's own networks, with their prefixes; neither the WAN's nor ours.
    pub lan: Vec<LanInterface>,
    /// Interfaces that lead out of the home, now or before; sorted.
    pub outside: Vec<String>,
    /// Interfaces of which it is not certain; not counted to the home.
    pub unsure: Vec<String>,
    /// Interfaces that the settings name and that are not there.
    pub missing: Vec<String>,
    /// Whether the firewall lets hardware pass connections along by itself.
    pub hardware_offload: bool,
    /// The address of `tunnel.endpoint`, resolved (router).
    pub endpoint: Option<SocketAddr>,
    /// The interface that `tunnel.interface` names, if it exists.
    pub carrier: Option<Carrier>,
}

impl Facts {
    /// What a guard that was made before tells of the machine then.
    pub fn remembered(guard: &TableText) -> Facts {
        let names = |set| guard.elements(set).map(|name| name.trim_matches('"').to_owned());
        let lan = names("lan").map(|name| LanInterface { name, prefixes: Vec::new() }).collect();
        Facts { lan, outside: names("outside").collect(), ..Facts::default() }
    }

    /// Whether `address` is on one of the home's own networks.
    pub fn is_home(&self, address: IpAddr) -> bool {
        self.lan.iter().flat_map(|lan| &lan.prefixes).any(|prefix| prefix.contains(address))
    }
}

/// An interface towards a network of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// The kernel's name.
    pub name: String,
    /// The networks on it, host bits cleared.
    pub prefixes: Vec<Prefix>,
}

/// An interface of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: LinkKind,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// All that the kernel should hold of ours but the guard's table, which stands by itself. Lists are in the order in which things are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The tunnel's nftables table.
    pub table: Option<TableText>,
    /// Interfaces, to be up.
    pub links: Vec<Link>,
    /// Keys under /proc/sys, dotted, and their values.
    pub sysctls: Vec<(String, String)>,
    /// The WireGuard interface's own part.
    pub wireguard: Option<WireguardDevice>,
    /// Its peers.
    pub peers: Vec<Peer>,
    /// The queueing tree.
    pub tree: Option<QdiscTree>,
    /// Addresses on our interfaces.
    pub addresses: Vec<(String, Prefix)>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
}

/// Why settings that are valid by themselves cannot be brought into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredError {
    /// There is no `tunnel` section.
    NoTunnel,
    /// A router's tunnel lacks this option.
    Missing(&'static str),
    /// The endpoint's name has not been resolved.
    Unresolved,
    /// The interface to attach to is not there.
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
    /// The interface to attach to does not take packets as large as a cell.
    Mtu {
        /// The interface.
        dev: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// The cell inside the tunnel.
        cell_bytes: u16,
    },
    /// Somebody else's queue stands where ours has to stand.
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
            DesiredError::NoInterface(dev) => write!(f, "tunnel.interface: waiting for {dev}: there is none yet"),
            DesiredError::InterfaceDown(dev) => write!(f, "tunnel.interface: waiting for {dev}: it is down"),
            DesiredError::NotAddressed { dev, address } => {
                write!(f, "tunnel.address: {dev} does not have {address}: give it that address, or set one that it has")
            }
            DesiredError::Mtu { dev, mtu, cell_bytes } => {
                write!(f, "main.cell: {dev} takes packets of {mtu} bytes, a cell has {cell_bytes}: set a smaller cell")
            }
            DesiredError::ForeignQdisc { dev, kind } => {
                write!(
                    f,
                    "tunnel.interface: another's {kind} queue is on {dev}: take it off, as with SQM disabled there"
                )
            }
        }
    }
}

impl std::error::Error for DesiredError {}

impl Desired {
    /// Nothing of ours but the guard. What a machine forwarded before is told to [`Desired::forwarding`].
    pub fn nothing() -> Desired {
        Desired::default()
    }

    /// The same, with forwarding as it was `before`: a machine that forwarded only because of us stops again.
    pub fn forwarding(mut self, before: &Forwarding) -> Desired {
        self.sysctls.extend(before.0.iter().cloned());
        self
    }

    /// What `settings` ask for on a machine of which `facts` hold, with `guard` on the tunnel's queue. Settings that
    /// are not enabled ask for [`Desired::nothing`].
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
        // On both: what is masqueraded onto mp0 takes its address, the cells are bound to the tunnel's interface.
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
        // With mp0 gone its routes go too; these two remain, so that marked packets never fall through to main. Where
        // the tunnel carries IPv4 alone, IPv6 is refused, and devices fall back.
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
        // Answers from the Internet go into cells; cells, from sockets bound to the tunnel's interface, to the home.
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

/// The sysctl that lets a machine forward IPv4.
const IP_FORWARD: &str = "net.ipv4.ip_forward";
/// The sysctl that lets a machine forward IPv6.
const IP6_FORWARD: &str = "net.ipv6.conf.all.forwarding";
/// What a machine did about forwarding in either family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding(Vec<(String, String)>);

impl Forwarding {
    /// As it is in `snapshot`.
    pub fn of(snapshot: &Snapshot) -> Forwarding {
        let of = |key: &str| Some((key.to_owned(), snapshot.sysctls.get(key)?.clone()));
        Forwarding([IP_FORWARD, IP6_FORWARD].into_iter().filter_map(of).collect())
    }

    /// Reads what it prints as; what is not of that form is passed over.
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

/// Whether an interface has IPv6 at all. Where it need not, the kernel would only send of its own.
const DISABLE_IPV6: &str = "disable_ipv6";
/// Where it must: no address of the kernel's own choice, and no ear for router advertisements out of the tunnel.
const QUIET_IPV6: [(&str, &str); 2] = [("addr_gen_mode", "1"), ("accept_ra", "0")];

/// Of an interface that we attach to only the filter, which is given back at the end: what its owner lets the kernel
/// send of its own ends in the tree.
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
        // Loose, because one address stands on both interfaces and answers take the other.
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

/// The sysctl by which a kernel drops what came in by `name` and would not be answered by it.
pub fn reverse_path_filter(name: &str) -> String {
    // In a path, as this one becomes, a dot in an interface's name is its own: sysctl(8) writes a slash for it.
    format!("net.ipv4.conf.{}.rp_filter", name.replace('.', "/"))
}

/// Every sysctl that a plan may set, for the snapshot to read; `attached` is another's interface.
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

/// A home as WireGuard's peer; it calls from wherever it is. `None` where the tunnel is another.
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

/// Two interfaces may have one network between them, and the kernel takes a route only once.
fn dedup(routes: &mut Vec<Route>) {
    let mut seen = Vec::new();
    routes.retain(|route| {
        let new = !seen.contains(route);
        seen.push(route.clone());
        new
    });
}
