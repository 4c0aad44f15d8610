//! The running kernel as [`crate::apply`] sees it.

mod operation;
mod snapshot;
mod sockets;

use std::io;
use std::net::{IpAddr, SocketAddr};

use self::snapshot::table;
use self::sockets::RoutingSockets;
pub(super) use self::sockets::failed;
use super::flow_table::FlowTables;
use super::fw4_zones::Zones;
use super::netlink::socket::Netlink;
use super::netlink::wireguard::PeerStatus;
use super::netlink::{addr, conntrack, qdisc, route, rule};
use super::tun::Tun;
use super::{bridge_ports, facts, nft, relays, sysctl};
use crate::apply::{Kernel, OpError};
use crate::config::model::{Role, Settings};
use crate::plan::coexistence::ForeignRouting;
use crate::plan::nft::{TableName, TableText};
use crate::plan::ownership::TUN;
use crate::plan::qdisc_tree::Handle;
use crate::plan::wireguard::WireguardDevice;
use crate::plan::{Facts, Forwarding, Op, Snapshot};
use crate::tunnel::wireguard::WIREGUARD;
use crate::tunnel::{Carrier, EndpointRoute};

/// Whether this process runs as root, or may administer the network all the same, as under systemd.
pub fn is_root() -> bool {
    #[cfg(feature = "endpoint")]
    if super::capabilities::has(super::capabilities::NET_ADMIN) {
        return true;
    }
    nix::unistd::geteuid().is_root()
}

/// Number of processors that this process may use.
pub fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// The running kernel.
pub struct LinuxKernel {
    sockets: RoutingSockets,
    /// The descriptor of `mp0`, if this object created the interface.
    tun: Option<Tun>,
    /// Creates or opens `mp0`.
    open_tun: fn(&str) -> io::Result<Tun>,
    /// The interface to attach to, which another program manages.
    attached: Option<String>,
}

impl LinuxKernel {
    /// Opens the netlink sockets. Operations on them need root; see [`is_root`].
    pub fn open() -> Result<LinuxKernel, OpError> {
        let sockets = RoutingSockets::open().map_err(|error| failed("opening netlink", error))?;
        Ok(LinuxKernel { sockets, tun: None, open_tun: Tun::open, attached: None })
    }

    /// The descriptor of `mp0`, if this object created the interface. Dropping the descriptor removes the interface.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.tun.take()
    }

    /// Opens an existing `mp0`. Fails if another process holds it.
    pub fn attach_tun(&mut self) -> io::Result<Tun> {
        (self.open_tun)(TUN)
    }

    /// Gives `mp0`, if it is created from now on, a queue for each thread that opens it.
    #[cfg(feature = "endpoint")]
    pub fn use_tun_queues(&mut self) {
        self.open_tun = Tun::open_queue;
    }

    /// The index of an interface; 0 if it does not exist.
    pub fn interface_index(&mut self, name: &str) -> Result<u32, OpError> {
        Ok(self.sockets.links()?.iter().find(|link| link.name == name).map_or(0, |link| link.index))
    }

    /// The rtnetlink socket, for interfaces, addresses and routes.
    pub(super) fn route(&mut self) -> &mut Netlink {
        &mut self.sockets.route
    }

    /// The guard table, if it is loaded.
    pub fn guard(&mut self) -> Result<Option<TableText>, OpError> {
        table(TableName::Guard)
    }

    /// The table for bridge ports that are tunnels, if it is loaded. Runs no program if it is not.
    pub fn bridge_guard(&mut self) -> Result<Option<TableText>, OpError> {
        if nft::exists(TableName::Bridge) { table(TableName::Bridge) } else { Ok(None) }
    }

    /// Reads the facts about the host. `before` holds the previous facts; `hardware_offload` comes from
    /// [`LinuxKernel::hardware_offload`], a separate call because it takes longer than everything else here.
    pub fn facts(&mut self, settings: &Settings, before: &Facts, hardware_offload: bool) -> Result<Facts, OpError> {
        let links = self.sockets.links()?;
        let addresses = addr::list(&mut self.sockets.route).map_err(|error| failed("listing addresses", error))?;
        let routes = route::list(&mut self.sockets.route).map_err(|error| failed("listing routes", error))?;
        let view = facts::HostView { links: &links, addresses: &addresses, routes: &routes, zones: &Zones::read() };
        let forwarding =
            if settings.role == Role::Endpoint { Forwarding::read(sysctl::read) } else { Forwarding::default() };
        let facts = view.facts(settings, before);
        let tunnel_ports = bridge_ports::tunnel_ports(&links, &facts.outside, &mut self.sockets.generic);
        let relays = if settings.confines() { relays::read(&facts) } else { Vec::new() };
        Ok(Facts { hardware_offload, forwarding, tunnel_ports, relays, processors: processors(), ..facts })
    }

    /// Removes a table's draft, which a killed process may have left.
    pub fn discard_draft(&mut self, name: TableName) {
        nft::discard_draft(name);
    }

    /// Whether the firewall offloads connections to hardware.
    pub fn hardware_offload(&mut self) -> Result<bool, OpError> {
        Ok(flow_tables()?.hardware)
    }

    /// The rules and routes of other programs.
    pub fn others(&mut self) -> Result<ForeignRouting, OpError> {
        let rules = rule::list_others(&mut self.sockets.route).map_err(|error| failed("listing rules", error))?;
        let routes = route::list(&mut self.sockets.route).map_err(|error| failed("listing routes", error))?;
        let routes = routes.iter().map(|route| (route.table, route.protocol, route.prefix.length == 0)).collect();
        Ok(ForeignRouting { rules, routes })
    }

    /// Sets the interface to attach to, and returns its properties if it exists.
    pub fn attach(&mut self, name: Option<&str>) -> Result<Option<Carrier>, OpError> {
        self.attached = name.map(str::to_owned);
        let Some(name) = name else { return Ok(None) };
        let Some(link) = self.sockets.links()?.into_iter().find(|link| link.name == name) else { return Ok(None) };
        let addresses = addr::list(&mut self.sockets.route).map_err(|error| failed("listing addresses", error))?;
        let qdiscs = qdisc::list(&mut self.sockets.route).map_err(|error| failed("listing qdiscs", error))?;
        let root = qdiscs.iter().find(|(index, qdisc)| *index == link.index && qdisc.parent == Handle::ROOT);
        let foreign_qdisc = root.filter(|(_, root)| !root.is_our_root()).map(|(_, root)| root.kind.name().to_owned());
        Ok(Some(Carrier {
            index: link.index,
            outer_ipv6: link.kind.as_deref() == Some("wireguard") && self.has_ipv6_peer(name)?,
            kind: link.kind.unwrap_or_else(|| "device".into()),
            mtu: link.mtu,
            up: link.up,
            addresses: addresses.iter().filter(|a| a.index == link.index).map(|a| a.prefix.address).collect(),
            foreign_qdisc,
        }))
    }

    /// The interface set by the last [`LinuxKernel::attach`].
    pub fn attached(&self) -> Option<&str> {
        self.attached.as_deref()
    }

    /// The route of this host's packets to `to`; `None` if there is none.
    pub fn endpoint_route(&mut self, to: IpAddr) -> Option<EndpointRoute> {
        let (route, limit) = route::lookup(&mut self.sockets.route, to)?;
        let link = self.sockets.links().ok()?.into_iter().find(|link| Some(link.index) == route.oif)?;
        // What routers of the provider announce (RFC 4861, section 4.6.4) is in no route.
        let announced = || sysctl::read(&format!("net.ipv6.conf.{}.mtu", link.name.replace('.', "/")))?.parse().ok();
        let announced: Option<u32> = if to.is_ipv6() { announced() } else { None };
        let mtu = limit.into_iter().chain(announced).fold(link.mtu, u32::min);
        // Every host accepts packets of 576 bytes (RFC 791). A smaller limit is a mistake or a forgery.
        let mtu = mtu.clamp(576, u16::MAX.into()) as u16;
        Some(EndpointRoute { interface: link.name, kind: link.kind.unwrap_or_default(), mtu, table: route.table })
    }

    /// Makes firewalls judge the tunnel's own packets to `endpoint` again: they may have chosen a line for its
    /// connection that is dead. A `device` whose port is free gets another port, and so is another connection to
    /// every firewall on the way, too. `WIREGUARD` has to be down.
    pub fn renew_connection(&mut self, device: WireguardDevice, endpoint: SocketAddr) {
        // Every failure has the same remedy: the next attempt.
        if device.listen_port.is_none() {
            // The kernel chooses a port when the interface comes up.
            _ = self.run(&Op::SetWireguard(WireguardDevice { listen_port: Some(0), ..device }));
        } else if let Ok(mut netlink) = Netlink::open(libc::NETLINK_NETFILTER as isize) {
            _ = conntrack::delete_udp(&mut netlink, endpoint);
        }
    }

    fn has_ipv6_peer(&mut self, name: &str) -> Result<bool, OpError> {
        let installed = self.sockets.wireguard(name, "reading WireGuard's peers")?;
        Ok(installed.peers.iter().filter_map(|peer| peer.endpoint).any(|endpoint| endpoint.is_ipv6()))
    }

    /// The state of `mpwg0`'s peers.
    pub fn peers(&mut self) -> Result<Vec<PeerStatus>, OpError> {
        Ok(self.sockets.wireguard(WIREGUARD, "reading WireGuard's peers")?.status)
    }

    fn read(&mut self, guard: Option<TableText>) -> Result<Snapshot, OpError> {
        snapshot::read(&mut self.sockets, self.attached.as_deref(), guard)
    }
}

impl Kernel for LinuxKernel {
    fn snapshot(&mut self) -> Result<Snapshot, OpError> {
        let guard = table(TableName::Guard)?;
        self.read(guard)
    }

    fn run(&mut self, op: &Op) -> Result<(), OpError> {
        let result = match op {
            Op::SetTable(table) if table.name == TableName::Bridge => nft::replace_bridge(table),
            Op::SetTable(table) => nft::replace(table),
            Op::DeleteTable(name) => nft::delete(*name),
            _ => operation::run(&mut self.sockets, (&mut self.tun, self.open_tun), op),
        };
        result.map_err(|cause| OpError { action: op.to_string(), cause })
    }
}

/// The kernel without the guard, because reading that table takes longer than everything else.
pub struct WithoutGuard<'a>(pub &'a mut LinuxKernel);

impl Kernel for WithoutGuard<'_> {
    fn snapshot(&mut self) -> Result<Snapshot, OpError> {
        self.0.read(None)
    }

    fn run(&mut self, op: &Op) -> Result<(), OpError> {
        self.0.run(op)
    }
}

/// The kernel with only the guard.
pub struct GuardOnly<'a> {
    kernel: &'a mut LinuxKernel,
    /// The guard that was read beforehand, for the first snapshot.
    first: Option<Option<TableText>>,
    last: Option<TableText>,
}

impl<'a> GuardOnly<'a> {
    /// `guard` is the guard just read from `kernel`.
    pub fn new(kernel: &'a mut LinuxKernel, guard: Option<TableText>) -> GuardOnly<'a> {
        GuardOnly { kernel, first: Some(guard), last: None }
    }

    /// The guard of the last snapshot.
    pub fn into_last(self) -> Option<TableText> {
        self.last
    }
}

impl Kernel for GuardOnly<'_> {
    fn snapshot(&mut self) -> Result<Snapshot, OpError> {
        let guard = self.first.take().map_or_else(|| table(TableName::Guard), Ok)?;
        self.last.clone_from(&guard);
        Ok(Snapshot { guard, ..Snapshot::default() })
    }

    fn run(&mut self, op: &Op) -> Result<(), OpError> {
        self.kernel.run(op)
    }
}

pub(super) fn flow_tables() -> Result<FlowTables, OpError> {
    FlowTables::list().map_err(|cause| OpError { action: "looking for flow tables".into(), cause })
}
