//! Executes one operation on the kernel's routing, interfaces and sysctls.

use std::io;

use super::sockets::RoutingSockets;
use crate::apply::Cause;
use crate::plan::Op;
use crate::plan::ownership::{TUN, TUN_MTU};
use crate::plan::routing::{Route, RouteKind};
use crate::sys::netlink::error::NetlinkError;
use crate::sys::netlink::{addr, class, link, qdisc, route, rule, wireguard};
use crate::sys::sysctl;
use crate::sys::tun::Tun;
use crate::tunnel::LinkKind;
use crate::tunnel::wireguard::WIREGUARD;

/// The descriptor of `mp0`, if this process created it, and what creates it.
type TunSlot<'a> = (&'a mut Option<Tun>, fn(&str) -> io::Result<Tun>);

/// Executes `op`, unless it is about an nft table.
pub fn run(sockets: &mut RoutingSockets, tun: TunSlot<'_>, op: &Op) -> Result<(), Cause> {
    match execute(sockets, tun, op) {
        Err(error) if is_gone(op, &error) => Ok(()),
        result => result.map_err(|error| hint(op, &error).unwrap_or_else(|| error.into())),
    }
}

/// Whether `op` removes something that is not there: another program, or the kernel with a part of the same object,
/// removed it first.
fn is_gone(op: &Op, error: &NetlinkError) -> bool {
    let removes = matches!(
        op,
        Op::DeleteLink { .. }
            | Op::DeleteAddress { .. }
            | Op::DeleteRoute(_)
            | Op::DeleteRule(_)
            | Op::DeleteQdisc { .. }
            | Op::DeleteClass { .. }
            | Op::RemovePeer(_)
    );
    let gone = [libc::ENODEV, libc::EADDRNOTAVAIL, libc::ESRCH, libc::ENOENT];
    removes && error.errno().is_some_and(|errno| gone.contains(&errno))
}

fn execute(sockets: &mut RoutingSockets, tun: TunSlot<'_>, op: &Op) -> Result<(), NetlinkError> {
    let request = match op {
        Op::AddLink { name, kind: LinkKind::Tun, mtu } => return add_tun(sockets, tun, name, *mtu),
        Op::AddLink { name, kind, mtu } => link::add(name, kind, *mtu),
        // Closing the descriptor is enough for `mp0`.
        Op::DeleteLink { name } if name == TUN && tun.0.is_some() => {
            *tun.0 = None;
            return Ok(());
        }
        Op::DeleteLink { name } => link::delete(sockets.index(name)?),
        Op::SetMtu { name, mtu } => link::set_mtu(sockets.index(name)?, *mtu),
        Op::SetUp { name, up } => link::set_up(sockets.index(name)?, *up),
        Op::SetSysctl { key, value } => return Ok(sysctl::write(key, value)?),
        Op::SetWireguard(_) | Op::SetPeer(_) | Op::RemovePeer(_) => return set_wireguard(sockets, op),
        Op::AddQdisc { dev, qdisc } => qdisc::add(sockets.index(dev)?, qdisc),
        Op::ChangeQdisc { dev, qdisc } => qdisc::change(sockets.index(dev)?, qdisc),
        Op::DeleteQdisc { dev, qdisc } => qdisc::delete(sockets.index(dev)?, qdisc),
        Op::AddClass { dev, class } => class::add(sockets.index(dev)?, class),
        Op::ChangeClass { dev, class } => class::change(sockets.index(dev)?, class),
        Op::DeleteClass { dev, class } => class::delete(sockets.index(dev)?, class),
        Op::AddAddress { dev, address } => addr::add(sockets.index(dev)?, *address),
        Op::DeleteAddress { dev, address } => addr::delete(sockets.index(dev)?, *address),
        Op::AddRoute(route) => route::add(route, route_index(sockets, route)?),
        Op::DeleteRoute(route) => route::delete(route, route_index(sockets, route)?),
        Op::AddRule(rule) => rule::add(rule),
        Op::DeleteRule(rule) => rule::delete(rule),
        Op::SetTable(_) | Op::DeleteTable(_) => return Ok(()),
    };
    sockets.route.request(&request)
}

fn set_wireguard(sockets: &mut RoutingSockets, op: &Op) -> Result<(), NetlinkError> {
    let family = sockets.wireguard_family()?;
    let request = match op {
        Op::SetWireguard(device) => wireguard::set_device(family, WIREGUARD, device),
        Op::SetPeer(peer) => wireguard::set_peer(family, WIREGUARD, peer),
        Op::RemovePeer(key) => wireguard::remove_peer(family, WIREGUARD, key),
        _ => return Ok(()),
    };
    sockets.generic.request(&request)
}

fn add_tun(sockets: &mut RoutingSockets, (tun, open): TunSlot<'_>, name: &str, mtu: u32) -> Result<(), NetlinkError> {
    // A process that carries the cells opens it again.
    if name != TUN {
        return Ok(Tun::open(name)?.persist()?);
    }
    let created = open(name)?;
    if mtu != TUN_MTU {
        let request = link::set_mtu(sockets.index(name)?, mtu);
        sockets.route.request(&request)?;
    }
    *tun = Some(created);
    Ok(())
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
