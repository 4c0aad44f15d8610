//! The operations that lead from the actual to the desired state.

use std::mem::take;

use super::desired::Desired;
use super::nft::{TableName, TableText};
use super::op::Op;
use super::qdisc_tree::{Qdisc, QdiscTree};
use super::snapshot::Snapshot;
use crate::tunnel::wireguard::WIREGUARD;

/// The operation that installs the guard's table `wanted`, or removes the table for `None`; empty if the kernel is
/// already in that state. No operation of [`plan`] touches that table.
pub fn plan_guard(wanted: Option<&TableText>, snapshot: &Snapshot) -> Vec<Op> {
    match (wanted, &snapshot.guard) {
        (Some(table), Some(installed)) if table.is_satisfied_by(installed) => Vec::new(),
        (Some(table), _) => vec![Op::SetTable(table.clone())],
        (None, Some(_)) => vec![Op::DeleteTable(TableName::Guard)],
        (None, None) => Vec::new(),
    }
}

/// The operations that lead from `snapshot` to `desired`, in order. Unwanted objects are removed, rules first and the
/// tunnel's table last; missing objects are added, the table first and rules last. Empty if nothing differs.
///
/// An interface of another kind that has the name of one of millpond's is deleted and created again.
pub fn plan(desired: &Desired, snapshot: &Snapshot) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut remaining = snapshot.clone();
    remove_unwanted(desired, &mut remaining, &mut ops);
    add_missing(desired, &remaining, &mut ops);
    if desired.table.is_none() && snapshot.table.is_some() {
        ops.push(Op::DeleteTable(TableName::Tunnel));
    }
    ops
}

/// Removes unwanted objects, also from `remaining`.
fn remove_unwanted(desired: &Desired, remaining: &mut Snapshot, ops: &mut Vec<Op>) {
    let obsolete: Vec<String> = remaining
        .links
        .iter()
        .filter(|(name, link)| !desired.links.iter().any(|want| want.name == **name && want.kind == link.kind))
        .map(|(name, _)| name.clone())
        .collect();
    let is_obsolete = |dev: &str| obsolete.iter().any(|name| name == dev);

    remove_matching(&mut remaining.rules, |rule| !desired.rules.contains(rule), |rule| ops.push(Op::DeleteRule(rule)));
    let uses_obsolete_link = |route: &super::routing::Route| match &route.kind {
        super::routing::RouteKind::Dev(dev) => is_obsolete(dev),
        _ => false,
    };
    remove_matching(
        &mut remaining.routes,
        |route| !desired.routes.contains(route) || uses_obsolete_link(route),
        |route| ops.push(Op::DeleteRoute(route)),
    );
    remove_matching(
        &mut remaining.addresses,
        |address| !desired.addresses.contains(address) || is_obsolete(&address.0),
        |(dev, address)| ops.push(Op::DeleteAddress { dev, address }),
    );
    // After the addresses: a kernel drops the IPv6 addresses of an interface that goes down.
    for name in &obsolete {
        if remaining.links.get(name).is_some_and(|link| link.up) {
            ops.push(Op::SetUp { name: name.clone(), up: false });
        }
    }
    remove_unwanted_qdiscs(desired, &is_obsolete, remaining, ops);
    let wireguard_is_obsolete = is_obsolete(WIREGUARD);
    remove_matching(
        &mut remaining.peers,
        |peer| wireguard_is_obsolete || !desired.peers.iter().any(|want| want.public_key == peer.public_key),
        |peer| ops.push(Op::RemovePeer(peer.public_key)),
    );
    let links = take(&mut remaining.links).into_iter();
    remaining.links = links.filter(|(name, _)| !is_obsolete(name)).collect();
    let is_of_obsolete = |key: &str| obsolete.iter().any(|name| key.contains(&format!(".{name}.")));
    let sysctls = take(&mut remaining.sysctls).into_iter();
    remaining.sysctls = sysctls.filter(|(key, _)| !is_of_obsolete(key)).collect();
    for name in obsolete.iter().rev() {
        ops.push(Op::DeleteLink { name: name.clone() });
        if name == WIREGUARD {
            remaining.wireguard = None;
        }
    }
}

/// Removes the qdiscs of every interface that is to be deleted or whose root is not millpond's, and single qdiscs that
/// differ from the tree in parent, handle or kind. Children go first, so that a rollback can add each one again.
fn remove_unwanted_qdiscs(
    desired: &Desired,
    is_obsolete: &dyn Fn(&str) -> bool,
    remaining: &mut Snapshot,
    ops: &mut Vec<Op>,
) {
    let tree_of = |dev: &str| desired.tree.as_ref().filter(|tree| tree.dev == dev && !is_obsolete(dev));
    let keeps_root =
        |dev: &str| tree_of(dev).is_some_and(|tree| remaining.qdiscs.contains(&(dev.to_owned(), tree.root.clone())));
    let keeps = |dev: &str, qdisc: &Qdisc| {
        keeps_root(dev)
            && tree_of(dev)
                .is_some_and(|tree| *qdisc == tree.root || tree.below.iter().any(|want| same_place(want, qdisc)))
    };
    let keeps_class =
        |dev: &str, handle| keeps_root(dev) && tree_of(dev).is_some_and(|tree| tree.class.handle == handle);
    let (kept, removed): (Vec<_>, Vec<_>) =
        remaining.qdiscs.iter().cloned().partition(|(dev, qdisc)| keeps(dev, qdisc));
    let (kept_classes, removed_classes): (Vec<_>, Vec<_>) =
        remaining.classes.iter().cloned().partition(|(dev, class)| keeps_class(dev, class.handle));
    let (roots, children): (Vec<_>, Vec<_>) =
        removed.into_iter().partition(|(_, qdisc)| qdisc.parent == super::qdisc_tree::Handle::ROOT);
    for (dev, qdisc) in children.into_iter().rev() {
        ops.push(Op::DeleteQdisc { dev, qdisc });
    }
    for (dev, class) in removed_classes.into_iter().rev() {
        ops.push(Op::DeleteClass { dev, class });
    }
    for (dev, qdisc) in roots {
        ops.push(Op::DeleteQdisc { dev, qdisc });
    }
    remaining.qdiscs = kept;
    remaining.classes = kept_classes;
}

fn same_place(a: &Qdisc, b: &Qdisc) -> bool {
    a.handle == b.handle && a.parent == b.parent && a.kind.name() == b.kind.name()
}

/// Adds the missing objects and changes those that differ.
fn add_missing(desired: &Desired, remaining: &Snapshot, ops: &mut Vec<Op>) {
    if let Some(table) = &desired.table {
        if !remaining.table.as_ref().is_some_and(|installed| table.is_satisfied_by(installed)) {
            ops.push(Op::SetTable(table.clone()));
        }
    }
    for want in &desired.links {
        match remaining.links.get(&want.name) {
            None => ops.push(Op::AddLink { name: want.name.clone(), kind: want.kind.clone(), mtu: want.mtu }),
            Some(link) if link.mtu != want.mtu => ops.push(Op::SetMtu { name: want.name.clone(), mtu: want.mtu }),
            Some(_) => {}
        }
    }
    for (key, value) in &desired.sysctls {
        if remaining.sysctls.get(key) != Some(value) && (remaining.ipv6 || !key.starts_with("net.ipv6.")) {
            ops.push(Op::SetSysctl { key: key.clone(), value: value.clone() });
        }
    }
    if let Some(device) = &desired.wireguard {
        if !remaining.wireguard.as_ref().is_some_and(|installed| device.is_satisfied_by(installed)) {
            ops.push(Op::SetWireguard(device.clone()));
        }
    }
    for peer in &desired.peers {
        if !remaining.peers.iter().any(|installed| peer.is_satisfied_by(installed)) {
            ops.push(Op::SetPeer(peer.clone()));
        }
    }
    if let Some(tree) = &desired.tree {
        add_missing_tree(tree, remaining, ops);
    }
    for (dev, address) in &desired.addresses {
        if !remaining.addresses.contains(&(dev.clone(), *address)) {
            ops.push(Op::AddAddress { dev: dev.clone(), address: *address });
        }
    }
    // Links go up only now, so that no packet leaves before the qdisc tree is complete.
    for want in &desired.links {
        if !remaining.links.get(&want.name).is_some_and(|link| link.up) {
            ops.push(Op::SetUp { name: want.name.clone(), up: true });
        }
    }
    let has_family = |family| remaining.ipv6 || family == super::routing::Family::V4;
    for route in &desired.routes {
        if !remaining.routes.contains(route) && has_family(route.prefix.family()) {
            ops.push(Op::AddRoute(route.clone()));
        }
    }
    for rule in &desired.rules {
        if !remaining.rules.contains(rule) && has_family(rule.family) {
            ops.push(Op::AddRule(rule.clone()));
        }
    }
}

fn add_missing_tree(tree: &QdiscTree, remaining: &Snapshot, ops: &mut Vec<Op>) {
    let dev = || tree.dev.clone();
    let mut qdiscs = std::iter::once(&tree.root).chain(&tree.below).map(|want| {
        match remaining.qdiscs.iter().find(|(d, q)| *d == tree.dev && same_place(q, want)) {
            Some((_, installed)) if installed == want => None,
            Some(_) => Some(Op::ChangeQdisc { dev: dev(), qdisc: want.clone() }),
            None => Some(Op::AddQdisc { dev: dev(), qdisc: want.clone() }),
        }
    });
    ops.extend(qdiscs.next().flatten());
    match remaining.classes.iter().find(|(d, c)| *d == tree.dev && c.handle == tree.class.handle) {
        Some((_, installed)) if *installed == tree.class => {}
        Some(_) => ops.push(Op::ChangeClass { dev: dev(), class: tree.class }),
        None => ops.push(Op::AddClass { dev: dev(), class: tree.class }),
    }
    ops.extend(qdiscs.flatten());
}

/// Removes the matching elements from `list`, the last first, and passes each to `sink`.
fn remove_matching<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool, mut sink: impl FnMut(T)) {
    for i in (0..list.len()).rev() {
        if matches(&list[i]) {
            sink(list.remove(i));
        }
    }
}
