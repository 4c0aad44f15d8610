//! Executes one operation on the kernel's routing, interfaces and sysctls.

use super::sockets::RoutingSockets;
use crate::apply::Cause;
use crate::plan::ownership::{OPENVPN, TUN, TUN_MTU, WIREGUARD};
use crate::plan::routing::{Route, RouteKind};
use crate::plan::{LinkKind, Op};
use crate::sys::netlink::error::NetlinkError;
use crate::sys::netlink::{addr, link, qdisc, route, rule, wireguard};
use crate::sys::sysctl;
use crate::sys::tun::Tun;

/// Executes `op`, unless it is about an nft table. `tun` holds the descriptor of `mp0` if this process created it.
pub fn run(sockets: &mut RoutingSockets, tun: &mut Option<Tun>, op: &Op) -> Result<(), Cause> {
    execute(sockets, tun, op).map_err(|error| hint(op, &error).unwrap_or_else(|| error.into()))
}

fn execute(sockets: &mut RoutingSockets, tun: &mut Option<Tun>, op: &Op) -> Result<(), NetlinkError> {
    match op {
        Op::AddLink { name, kind: LinkKind::Tun, mtu } => add_tun(sockets, tun, name, *mtu),
        Op::AddLink { name, kind, mtu } => link::add(&mut sockets.route, name, kind, *mtu),
        Op::DeleteLink { name } => delete_link(sockets, tun, name),
        Op::SetMtu { name, mtu } => {
            let index = sockets.index(name)?;
            link::set_mtu(&mut sockets.route, index, *mtu)
        }
        Op::SetUp { name, up } => {
            let index = sockets.index(name)?;
            link::set_up(&mut sockets.route, index, *up)
        }
        Op::SetSysctl { key, value } => Ok(sysctl::write(key, value)?),
        Op::SetWireguard(device) => {
            let family = sockets.wireguard_family()?;
            wireguard::set_device(&mut sockets.generic, family, WIREGUARD, device)
        }
        Op::SetPeer(peer) => {
            let family = sockets.wireguard_family()?;
            wireguard::set_peer(&mut sockets.generic, family, WIREGUARD, peer)
        }
        Op::RemovePeer(key) => {
            let family = sockets.wireguard_family()?;
            wireguard::remove_peer(&mut sockets.generic, family, WIREGUARD, key)
        }
        Op::AddQdisc { dev, qdisc } => {
            let index = sockets.index(dev)?;
            qdisc::add(&mut sockets.route, index, qdisc)
        }
        Op::ChangeQdisc { dev, qdisc } => {
            let index = sockets.index(dev)?;
            qdisc::change(&mut sockets.route, index, qdisc)
        }
        Op::DeleteQdisc { dev, qdisc } => {
            let index = sockets.index(dev)?;
            qdisc::delete(&mut sockets.route, index, qdisc)
        }
        Op::AddClass { dev, class } => {
            let index = sockets.index(dev)?;
            qdisc::add_class(&mut sockets.route, index, class)
        }
        Op::ChangeClass { dev, class } => {
            let index = sockets.index(dev)?;
            qdisc::change_class(&mut sockets.route, index, class)
        }
        Op::DeleteClass { dev, class } => {
            let index = sockets.index(dev)?;
            qdisc::delete_class(&mut sockets.route, index, class)
        }
        Op::AddAddress { dev, address } => {
            let index = sockets.index(dev)?;
            addr::add(&mut sockets.route, index, *address)
        }
        Op::DeleteAddress { dev, address } => {
            let index = sockets.index(dev)?;
            addr::delete(&mut sockets.route, index, *address)
        }
        Op::AddRoute(route) => {
            let oif = route_index(sockets, route)?;
            route::add(&mut sockets.route, route, oif)
        }
        Op::DeleteRoute(route) => {
            let oif = route_index(sockets, route)?;
            route::delete(&mut sockets.route, route, oif)
        }
        Op::AddRule(rule) => rule::add(&mut sockets.route, rule),
        Op::DeleteRule(rule) => rule::delete(&mut sockets.route, rule),
        Op::SetTable(_) | Op::DeleteTable(_) => Ok(()),
    }
}

fn add_tun(sockets: &mut RoutingSockets, tun: &mut Option<Tun>, name: &str, mtu: u32) -> Result<(), NetlinkError> {
    let created = Tun::open(name)?;
    if name == OPENVPN {
        return Ok(created.persist()?);
    }
    if mtu != TUN_MTU {
        let index = sockets.index(name)?;
        link::set_mtu(&mut sockets.route, index, mtu)?;
    }
    *tun = Some(created);
    Ok(())
}

/// Removes an interface; closing the descriptor is enough for `mp0`.
fn delete_link(sockets: &mut RoutingSockets, tun: &mut Option<Tun>, name: &str) -> Result<(), NetlinkError> {
    if name == TUN && tun.take().is_some() {
        return Ok(());
    }
    let index = sockets.index(name)?;
    link::delete(&mut sockets.route, index)
}

fn route_index(sockets: &mut RoutingSockets, route: &Route) -> Result<Option<u32>, NetlinkError> {
    match &route.kind {
        RouteKind::Dev(dev) => sockets.index(dev).map(Some),
        RouteKind::Unreachable | RouteKind::Throw => Ok(None),
    }
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
