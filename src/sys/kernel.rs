//! The running kernel as [`crate::apply`] sees it.

use std::collections::BTreeMap;
use std::fs;

use nix::errno::Errno;

use super::flow_table::FlowTables;
use super::fw4_zones::Zones;
use super::link::{self, LinkEntry};
use super::netlink::{Netlink, NetlinkError};
use super::tun::Tun;
use super::wireguard::{self, PeerStatus};
use super::{addr, facts, nft, qdisc, route, rule};
use crate::apply::{Cause, Kernel, OpError};
use crate::config::model::Settings;
use crate::plan::coexistence::ForeignRouting;
use crate::plan::nft::{TableName, TableText};
use crate::plan::ownership::{OPENVPN, TUN, TUN_MTU, WIREGUARD};
use crate::plan::qdisc_tree::{Handle, Qdisc};
use crate::plan::routing::{Route, RouteKind};
use crate::plan::tunnel::Carrier;
use crate::plan::{Facts, InstalledLink, LinkKind, Op, Snapshot, watched_sysctls};

/// Whether this process runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The running kernel.
pub struct LinuxKernel {
    route: Netlink,
    generic: Netlink,
    wireguard_family: Option<u16>,
    tun: Option<Tun>,
    /// The interface to attach to, which another program manages.
    attached: Option<String>,
}

impl LinuxKernel {
    /// Opens the netlink sockets. Operations on them need root; see [`is_root`].
    pub fn open() -> Result<LinuxKernel, OpError> {
        let action = "opening netlink";
        let open = |protocol| Netlink::open(protocol).map_err(|error| failed(action, error));
        let (route, generic) = (open(libc::NETLINK_ROUTE as isize)?, open(libc::NETLINK_GENERIC as isize)?);
        Ok(LinuxKernel { route, generic, wireguard_family: None, tun: None, attached: None })
    }

    /// The descriptor of `mp0`, if this object created the interface. Dropping the descriptor removes the interface.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.tun.take()
    }

    /// Opens an existing `mp0`. Fails if another process holds it.
    pub fn attach_tun(&mut self) -> std::io::Result<Tun> {
        Tun::open(TUN)
    }

    /// The index of an interface; 0 if it does not exist.
    pub fn interface_index(&mut self, name: &str) -> Result<u32, OpError> {
        Ok(self.links()?.iter().find(|link| link.name == name).map_or(0, |link| link.index))
    }

    /// The rtnetlink socket, for interfaces, addresses and routes.
    pub(super) fn route(&mut self) -> &mut Netlink {
        &mut self.route
    }

    /// The guard table, if it is loaded.
    pub fn guard(&mut self) -> Result<Option<TableText>, OpError> {
        table(TableName::Guard)
    }

    /// Reads the facts about the host. `before` holds the previous facts; `hardware_offload` comes from
    /// [`LinuxKernel::hardware_offload`], a separate call because it takes longer than everything else here.
    pub fn facts(&mut self, settings: &Settings, before: &Facts, hardware_offload: bool) -> Result<Facts, OpError> {
        let links = self.links()?;
        let addresses = addr::list(&mut self.route).map_err(|error| failed("listing addresses", error))?;
        let routes = route::list(&mut self.route).map_err(|error| failed("listing routes", error))?;
        let view = facts::HostView { links: &links, addresses: &addresses, routes: &routes, zones: &Zones::read() };
        Ok(Facts { hardware_offload, ..view.facts(settings, before) })
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
        let rules = rule::list_others(&mut self.route).map_err(|error| failed("listing rules", error))?;
        let routes = route::list(&mut self.route).map_err(|error| failed("listing routes", error))?;
        let routes = routes.iter().map(|route| (route.table, route.protocol, route.prefix.length == 0)).collect();
        Ok(ForeignRouting { rules, routes })
    }

    /// Sets the interface to attach to, and returns its properties if it exists.
    pub fn attach(&mut self, name: Option<&str>) -> Result<Option<Carrier>, OpError> {
        self.attached = name.map(str::to_owned);
        let Some(name) = name else { return Ok(None) };
        let Some(link) = self.links()?.into_iter().find(|link| link.name == name) else { return Ok(None) };
        let addresses = addr::list(&mut self.route).map_err(|error| failed("listing addresses", error))?;
        let qdiscs = qdisc::list(&mut self.route).map_err(|error| failed("listing qdiscs", error))?;
        let root = qdiscs.iter().find(|(index, qdisc)| *index == link.index && qdisc.parent == Handle::ROOT);
        let foreign_qdisc = root.filter(|(_, root)| !root.is_our_root()).map(|(_, root)| root.kind.name().to_owned());
        Ok(Some(Carrier {
            index: link.index,
            outer_ipv6: link.kind.as_deref() == Some("wireguard") && self.has_ipv6_peer(name)?,
            kind: link.kind.unwrap_or_else(|| "device".into()),
            mtu: link.mtu,
            up: link.up,
            addresses: addresses.iter().filter(|a| a.index == link.index).map(|a| a.prefix).collect(),
            foreign_qdisc,
        }))
    }

    /// The interface set by the last [`LinuxKernel::attach`].
    pub fn attached(&self) -> Option<&str> {
        self.attached.as_deref()
    }

    fn has_ipv6_peer(&mut self, name: &str) -> Result<bool, OpError> {
        let action = "reading WireGuard's peers";
        let family = self.wireguard_family().map_err(|error| failed(action, error))?;
        let installed = wireguard::read(&mut self.generic, family, name).map_err(|error| failed(action, error))?;
        Ok(installed.peers.iter().filter_map(|peer| peer.endpoint).any(|endpoint| endpoint.is_ipv6()))
    }

    /// The state of `mpwg0`'s peers.
    pub fn peers(&mut self) -> Result<Vec<PeerStatus>, OpError> {
        let action = "reading WireGuard's peers";
        let family = self.wireguard_family().map_err(|error| failed(action, error))?;
        let installed = wireguard::read(&mut self.generic, family, WIREGUARD);
        Ok(installed.map_err(|error| failed(action, error))?.status)
    }

    fn links(&mut self) -> Result<Vec<LinkEntry>, OpError> {
        link::list(&mut self.route).map_err(|error| failed("listing interfaces", error))
    }

    fn wireguard_family(&mut self) -> Result<u16, NetlinkError> {
        if let Some(family) = self.wireguard_family {
            return Ok(family);
        }
        let family = wireguard::family(&mut self.generic)?;
        self.wireguard_family = Some(family);
        Ok(family)
    }

    fn index(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let link = link::list(&mut self.route)?.into_iter().find(|link| link.name == name);
        link.map(|link| link.index).ok_or_else(|| NetlinkError::Io(Errno::ENODEV.into()))
    }

    fn route_index(&mut self, route: &Route) -> Result<Option<u32>, NetlinkError> {
        match &route.kind {
            RouteKind::Dev(dev) => self.index(dev).map(Some),
            RouteKind::Unreachable | RouteKind::Throw => Ok(None),
        }
    }

    fn run_netlink(&mut self, op: &Op) -> Result<(), NetlinkError> {
        match op {
            Op::AddLink { name, kind: LinkKind::Tun, mtu } => self.add_tun(name, *mtu),
            Op::AddLink { name, kind, mtu } => link::add(&mut self.route, name, kind, *mtu),
            Op::DeleteLink { name } => self.delete_link(name),
            Op::SetMtu { name, mtu } => {
                let index = self.index(name)?;
                link::set_mtu(&mut self.route, index, *mtu)
            }
            Op::SetUp { name, up } => {
                let index = self.index(name)?;
                link::set_up(&mut self.route, index, *up)
            }
            Op::SetSysctl { key, value } => Ok(fs::write(sysctl_path(key), value)?),
            Op::SetWireguard(device) => {
                let family = self.wireguard_family()?;
                wireguard::set_device(&mut self.generic, family, WIREGUARD, device)
            }
            Op::SetPeer(peer) => {
                let family = self.wireguard_family()?;
                wireguard::set_peer(&mut self.generic, family, WIREGUARD, peer)
            }
            Op::RemovePeer(key) => {
                let family = self.wireguard_family()?;
                wireguard::remove_peer(&mut self.generic, family, WIREGUARD, key)
            }
            Op::AddQdisc { dev, qdisc } => {
                let index = self.index(dev)?;
                qdisc::add(&mut self.route, index, qdisc)
            }
            Op::ChangeQdisc { dev, qdisc } => {
                let index = self.index(dev)?;
                qdisc::change(&mut self.route, index, qdisc)
            }
            Op::DeleteQdisc { dev, qdisc } => {
                let index = self.index(dev)?;
                qdisc::delete(&mut self.route, index, qdisc)
            }
            Op::AddClass { dev, class } => {
                let index = self.index(dev)?;
                qdisc::add_class(&mut self.route, index, class)
            }
            Op::ChangeClass { dev, class } => {
                let index = self.index(dev)?;
                qdisc::change_class(&mut self.route, index, class)
            }
            Op::DeleteClass { dev, class } => {
                let index = self.index(dev)?;
                qdisc::delete_class(&mut self.route, index, class)
            }
            Op::AddAddress { dev, address } => {
                let index = self.index(dev)?;
                addr::add(&mut self.route, index, *address)
            }
            Op::DeleteAddress { dev, address } => {
                let index = self.index(dev)?;
                addr::delete(&mut self.route, index, *address)
            }
            Op::AddRoute(route) => {
                let oif = self.route_index(route)?;
                route::add(&mut self.route, route, oif)
            }
            Op::DeleteRoute(route) => {
                let oif = self.route_index(route)?;
                route::delete(&mut self.route, route, oif)
            }
            Op::AddRule(rule) => rule::add(&mut self.route, rule),
            Op::DeleteRule(rule) => rule::delete(&mut self.route, rule),
            Op::SetTable(_) | Op::DeleteTable(_) => Ok(()),
        }
    }

    fn add_tun(&mut self, name: &str, mtu: u32) -> Result<(), NetlinkError> {
        let tun = Tun::open(name)?;
        if name == OPENVPN {
            return Ok(tun.persist()?);
        }
        if mtu != TUN_MTU {
            let index = self.index(name)?;
            link::set_mtu(&mut self.route, index, mtu)?;
        }
        self.tun = Some(tun);
        Ok(())
    }

    /// Removes an interface; closing the descriptor is enough for `mp0`.
    fn delete_link(&mut self, name: &str) -> Result<(), NetlinkError> {
        if name == TUN && self.tun.take().is_some() {
            return Ok(());
        }
        let index = self.index(name)?;
        link::delete(&mut self.route, index)
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

fn table(name: TableName) -> Result<Option<TableText>, OpError> {
    nft::list(name).map_err(|cause| OpError { action: format!("reading the nft table {name}"), cause })
}

impl LinuxKernel {
    fn read(&mut self, guard: Option<TableText>) -> Result<Snapshot, OpError> {
        let listed = self.links()?;
        let owned = || listed.iter().filter(|link| [TUN, WIREGUARD, OPENVPN].contains(&link.name.as_str()));
        let name_of = |index| listed.iter().find(|link| link.index == index).map(|link| link.name.clone());
        let mut snapshot = Snapshot {
            guard,
            table: table(TableName::Tunnel)?,
            links: owned().map(|link| (link.name.clone(), installed_link(link))).collect(),
            sysctls: read_sysctls(self.attached.as_deref()),
            ipv6: fs::exists("/proc/sys/net/ipv6").unwrap_or(false),
            ..Snapshot::default()
        };
        if snapshot.links.get(WIREGUARD).is_some_and(|link| link.kind == LinkKind::Wireguard) {
            let action = "reading WireGuard's settings";
            let family = self.wireguard_family().map_err(|error| failed(action, error))?;
            let installed =
                wireguard::read(&mut self.generic, family, WIREGUARD).map_err(|error| failed(action, error))?;
            snapshot.wireguard = Some(installed.device);
            snapshot.peers = installed.peers;
        }
        let addresses = addr::list(&mut self.route).map_err(|error| failed("listing addresses", error))?;
        for link in owned() {
            let of_it = addresses.iter().filter(|address| address.index == link.index);
            snapshot.addresses.extend(of_it.map(|address| (link.name.clone(), address.prefix)));
        }
        let qdiscs = qdisc::list(&mut self.route).map_err(|error| failed("listing qdiscs", error))?;
        for link in &listed {
            let of_it = || qdiscs.iter().filter(|(index, _)| *index == link.index).map(|(_, qdisc)| qdisc);
            // On other interfaces, only our own tree is of interest: a default such as fq_codel is the kernel's choice.
            let is_tunnel = link.name == WIREGUARD || link.name == OPENVPN;
            if !is_tunnel && !of_it().any(Qdisc::is_our_root) {
                continue;
            }
            snapshot.qdiscs.extend(of_it().map(|qdisc| (link.name.clone(), qdisc.clone())));
            let classes =
                qdisc::list_classes(&mut self.route, link.index).map_err(|error| failed("listing classes", error))?;
            snapshot.classes.extend(classes.into_iter().map(|class| (link.name.clone(), class)));
        }
        let routes = route::list(&mut self.route).map_err(|error| failed("listing routes", error))?;
        snapshot.routes = routes.iter().filter_map(|entry| route::owned(entry, name_of)).collect();
        snapshot.rules = rule::list(&mut self.route).map_err(|error| failed("listing rules", error))?;
        Ok(snapshot)
    }
}

impl Kernel for LinuxKernel {
    fn snapshot(&mut self) -> Result<Snapshot, OpError> {
        let guard = table(TableName::Guard)?;
        self.read(guard)
    }

    fn run(&mut self, op: &Op) -> Result<(), OpError> {
        let result = match op {
            Op::SetTable(table) => nft::replace(table),
            Op::DeleteTable(name) => nft::delete(*name),
            _ => self.run_netlink(op).map_err(|error| hint(op, &error).unwrap_or_else(|| error.to_string().into())),
        };
        result.map_err(|cause| OpError { action: op.to_string(), cause })
    }
}

pub(super) fn flow_tables() -> Result<FlowTables, OpError> {
    FlowTables::list().map_err(|cause| OpError { action: "looking for flow tables".into(), cause })
}

fn installed_link(link: &LinkEntry) -> InstalledLink {
    let kind = LinkKind::from_name(link.kind.as_deref().unwrap_or("device"));
    InstalledLink { kind, mtu: link.mtu, up: link.up }
}

fn read_sysctls(attached: Option<&str>) -> BTreeMap<String, String> {
    let read = |key: String| fs::read_to_string(sysctl_path(&key)).ok().map(|value| (key, value.trim().to_owned()));
    watched_sysctls(attached).into_iter().filter_map(read).collect()
}

fn sysctl_path(key: &str) -> String {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    format!("/proc/sys/{}", key.chars().map(swapped).collect::<String>())
}

pub(super) fn failed(action: &str, error: NetlinkError) -> OpError {
    OpError { action: action.into(), cause: error.to_string().into() }
}

/// A cause with the remedy, for errors that show what is missing.
fn hint(op: &Op, error: &NetlinkError) -> Option<Cause> {
    let missing = |what: &str, module: &str, package: &'static str| {
        Some(Cause::missing(format!("{what}: kernel module {module} is missing"), package))
    };
    match (op, error.errno()?) {
        (_, libc::EPERM | libc::EACCES) => Some(format!("{error}: run millpond as root").into()),
        (Op::AddLink { kind: LinkKind::Wireguard, .. }, libc::EOPNOTSUPP) => {
            missing("WireGuard", "wireguard", "kmod-wireguard")
        }
        (Op::AddLink { kind: LinkKind::Tun, .. }, libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            missing("TUN", "tun", "kmod-tun")
        }
        (Op::AddLink { kind: LinkKind::Tun, .. }, libc::EBUSY) => {
            Some("another process holds it: stop the other daemon first".into())
        }
        (Op::AddQdisc { qdisc, .. }, libc::ENOENT | libc::EOPNOTSUPP) => match qdisc.kind.name() {
            "htb" => missing("HTB", "sch_htb", "kmod-sched-core"),
            "prio" => missing("PRIO", "sch_prio", "kmod-sched-prio"),
            _ => None,
        },
        _ => None,
    }
}
