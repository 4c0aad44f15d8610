//! The kernel state that the settings ask for.

use std::fmt;
use std::net::Ipv4Addr;

use super::facts::Facts;
use super::nft::TableText;
use super::ownership::{CELL_RULE_OFFSET, IPV6_METRIC, LAST_METRIC, TUN, TUN_MTU};
use super::qdisc_tree::{QdiscTree, ShaperLimits};
use super::routing::{Family, MAIN, Prefix, Route, RouteKind, Rule, Selector};
use super::sysctls::{self, Forwarding};
use super::tunnel_table;
use super::wireguard::{Peer, WireguardDevice, home_peer};
use crate::config::model::{Role, Settings, Wireguard};
use crate::tunnel::{self, Link, LinkKind, TunnelError, TunnelProperties};

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
    /// This host cannot have the tunnel, or not yet.
    Tunnel(TunnelError),
}

impl fmt::Display for DesiredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DesiredError::NoTunnel => f.write_str("there is no tunnel: add a section `config tunnel 'tunnel'`"),
            DesiredError::Missing(option) => write!(f, "tunnel.{option}: missing, a router needs it"),
            DesiredError::Unresolved => f.write_str("tunnel.endpoint: the address of this name is not known yet"),
            DesiredError::Tunnel(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for DesiredError {}

impl From<TunnelError> for DesiredError {
    fn from(error: TunnelError) -> DesiredError {
        DesiredError::Tunnel(error)
    }
}

impl Desired {
    /// The same without the addresses of WireGuard's peers. WireGuard changes them: it sends to the address from which
    /// the peer's last packet came.
    pub fn without_endpoints(&self) -> Desired {
        let mut lasting = self.clone();
        lasting.peers.iter_mut().for_each(|peer| peer.endpoint = None);
        lasting
    }

    /// No objects except the guard, which is separate. [`Desired::restoring_forwarding`] adds the host's former
    /// forwarding.
    pub fn nothing() -> Desired {
        Desired::default()
    }

    /// Adds the forwarding sysctls as they were `before`, so that a host that forwarded only for millpond stops.
    pub fn restoring_forwarding(mut self, before: &Forwarding) -> Desired {
        self.sysctls.extend(before.sysctls().iter().cloned());
        self
    }

    /// The desired state for `settings` on a host with these `facts`, with a qdisc tree of these `limits`. Settings
    /// that are not enabled give [`Desired::nothing`].
    pub fn from_settings(settings: &Settings, facts: &Facts, limits: &ShaperLimits) -> Result<Desired, DesiredError> {
        if !settings.enabled {
            return Ok(Desired::nothing());
        }
        let tunnel = tunnel::properties(settings).ok_or(DesiredError::NoTunnel)?;
        tunnel::check(settings, &facts.tunnel, limits.inner_bytes)?;
        let tun = Link { name: TUN.into(), kind: LinkKind::Tun, mtu: TUN_MTU };
        let mut desired = Desired {
            links: tunnel.link.iter().cloned().chain([tun]).collect(),
            sysctls: tunnel.sysctls().into_iter().chain(sysctls::of_tun(settings)).collect(),
            tree: Some(QdiscTree::new(tunnel.interface, limits)),
            ..Desired::nothing()
        };
        if tunnel.link.is_some() {
            desired.addresses.push((tunnel.interface.into(), Prefix::host(tunnel.address)));
        }
        if let Some(wireguard) = tunnel.wireguard {
            let device = WireguardDevice::new(wireguard.key(), wireguard.listen_port);
            #[cfg(feature = "endpoint")]
            let device = WireguardDevice { fwmark: super::own_traffic::wireguard_mark(settings), ..device };
            desired.wireguard = Some(device);
            desired.peers = match settings.role {
                Role::Router => vec![endpoint_peer(wireguard, facts)?],
                Role::Endpoint => settings.homes.iter().filter_map(home_peer).collect(),
            };
        }
        match settings.role {
            Role::Router => desired.router(settings, &tunnel, facts)?,
            Role::Endpoint => desired.endpoint(settings, &tunnel, facts),
        }
        Ok(desired)
    }

    fn router(
        &mut self,
        settings: &Settings,
        tunnel: &TunnelProperties<'_>,
        facts: &Facts,
    ) -> Result<(), DesiredError> {
        let peer_address = tunnel.peer_address.ok_or(DesiredError::Missing("peer_address"))?;
        let routing_ids = settings.routing_ids;
        self.table = Some(TableText::from(&tunnel_table::router(settings, facts)));
        // The address is on both interfaces: masquerading uses the one on mp0, and the cell socket is bound to the
        // tunnel's interface.
        self.addresses.push((TUN.into(), Prefix::host(tunnel.address)));
        self.routes.push(Route { metric: tunnel.route_metric, ..host_route(MAIN, peer_address, tunnel.interface) });
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

    fn endpoint(&mut self, settings: &Settings, tunnel: &TunnelProperties<'_>, facts: &Facts) {
        let routing_ids = settings.routing_ids;
        self.table = Some(TableText::from(&tunnel_table::endpoint(settings, facts)));
        // Packets from the Internet to a home go to mp0 and into cells. Cells come from sockets bound to the tunnel's
        // interface and go to the home through it.
        for home in &settings.homes {
            self.routes.push(host_route(routing_ids.table, home.address, tunnel.interface));
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
            selector: Selector::Oif(tunnel.interface.into()),
            table: routing_ids.table,
        }];
        #[cfg(feature = "endpoint")]
        {
            let (routes, rules) = super::exit::routing(settings, facts);
            self.routes.extend(routes);
            self.rules.extend(rules);
        }
        self.addresses.extend(settings.address6.map(|address| (TUN.to_owned(), Prefix::host(address))));
        self.sysctls.push((sysctls::IP_FORWARD.into(), "1".into()));
        if settings.homes.iter().any(|home| home.address6.is_some()) {
            self.sysctls.push((sysctls::IP6_FORWARD.into(), "1".into()));
        }
        dedup(&mut self.routes);
    }
}

fn endpoint_peer(wireguard: &Wireguard, facts: &Facts) -> Result<Peer, DesiredError> {
    wireguard.endpoint.as_ref().ok_or(DesiredError::Missing("endpoint"))?;
    let peer_address = wireguard.peer_address.ok_or(DesiredError::Missing("peer_address"))?;
    Ok(Peer {
        public_key: wireguard.public_key.clone().ok_or(DesiredError::Missing("public_key"))?,
        preshared_key: wireguard.preshared_key.clone(),
        endpoint: Some(facts.tunnel.endpoint.ok_or(DesiredError::Unresolved)?),
        allowed_ips: vec![Prefix::host(peer_address)],
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
