//! Reads everything that belongs to millpond, or could, from the kernel.

use std::collections::BTreeMap;
use std::fs;

use super::sockets::{RoutingSockets, failed};
use crate::apply::OpError;
use crate::plan::nft::{TableName, TableText};
use crate::plan::ownership::TUN;
use crate::plan::qdisc_tree::Qdisc;
use crate::plan::{InstalledLink, Snapshot, watched_sysctls};
use crate::sys::netlink::link::LinkEntry;
use crate::sys::netlink::{addr, class, qdisc, route, rule};
use crate::sys::{nft, sysctl};
use crate::tunnel::wireguard::WIREGUARD;
use crate::tunnel::{LinkKind, OWN_INTERFACES};

/// A snapshot with this guard. `attached` is the interface to attach to.
pub fn read(
    sockets: &mut RoutingSockets,
    attached: Option<&str>,
    guard: Option<TableText>,
) -> Result<Snapshot, OpError> {
    let listed = sockets.links()?;
    let is_tunnel = |link: &LinkEntry| OWN_INTERFACES.contains(&link.name.as_str());
    let owned = || listed.iter().filter(|link| link.name == TUN || is_tunnel(link));
    let name_of = |index| listed.iter().find(|link| link.index == index).map(|link| link.name.clone());
    let mut snapshot = Snapshot {
        guard,
        table: table(TableName::Tunnel)?,
        links: owned().map(|link| (link.name.clone(), installed_link(link))).collect(),
        sysctls: read_sysctls(attached),
        ipv6: fs::exists("/proc/sys/net/ipv6").unwrap_or(false),
        ..Snapshot::default()
    };
    if snapshot.links.get(WIREGUARD).is_some_and(|link| link.kind == LinkKind::Wireguard) {
        let installed = sockets.wireguard(WIREGUARD, "reading WireGuard's settings")?;
        snapshot.wireguard = Some(installed.device);
        snapshot.peers = installed.peers;
    }
    let addresses = addr::list(&mut sockets.route).map_err(|error| failed("listing addresses", error))?;
    for link in owned() {
        let of_it = addresses.iter().filter(|address| address.index == link.index);
        snapshot.addresses.extend(of_it.map(|address| (link.name.clone(), address.prefix)));
    }
    let qdiscs = qdisc::list(&mut sockets.route).map_err(|error| failed("listing qdiscs", error))?;
    for link in &listed {
        let of_it = || qdiscs.iter().filter(|(index, _)| *index == link.index).map(|(_, qdisc)| qdisc);
        // On other interfaces, only our own tree is of interest: a default such as fq_codel is the kernel's choice.
        if !is_tunnel(link) && !of_it().any(Qdisc::is_our_root) {
            continue;
        }
        snapshot.qdiscs.extend(of_it().map(|qdisc| (link.name.clone(), qdisc.clone())));
        let classes = class::list(&mut sockets.route, link.index).map_err(|error| failed("listing classes", error))?;
        snapshot.classes.extend(classes.into_iter().map(|class| (link.name.clone(), class)));
    }
    let routes = route::list(&mut sockets.route).map_err(|error| failed("listing routes", error))?;
    snapshot.routes = routes.iter().filter_map(|entry| route::owned(entry, name_of)).collect();
    snapshot.rules = rule::list(&mut sockets.route).map_err(|error| failed("listing rules", error))?;
    Ok(snapshot)
}

/// The text of an nft table, if it is loaded.
pub fn table(name: TableName) -> Result<Option<TableText>, OpError> {
    nft::list(name).map_err(|cause| OpError { action: format!("reading the nft table {name}"), cause })
}

fn installed_link(link: &LinkEntry) -> InstalledLink {
    let kind = LinkKind::from_name(link.kind.as_deref().unwrap_or("device"));
    InstalledLink { kind, mtu: link.mtu, up: link.up }
}

fn read_sysctls(attached: Option<&str>) -> BTreeMap<String, String> {
    let read = |key: String| sysctl::read(&key).map(|value| (key, value));
    watched_sysctls(attached).into_iter().filter_map(read).collect()
}
