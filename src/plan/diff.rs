//! From what is to what should be.

use super::desired::Desired;
use super::nft::{TableName, TableText};
use super::op::{LinkKind, Op};
use super::qdisc_tree::{Qdisc, QdiscTree};
use super::snapshot::Snapshot;

/// The operation that makes the kernel hold the guard's table `wanted`, or none where it does. No other operation
/// touches that table, whatever becomes of the tunnel.
pub fn plan_guard(wanted: Option<&TableText>, snapshot: &Snapshot) -> Vec<Op> {
    match (wanted, &snapshot.guard) {
        (Some(table), Some(installed)) if table.is_met_by(installed) => Vec::new(),
        (Some(table), _) => vec![Op::SetTable(table.clone())],
        (None, Some(_)) => vec![Op::DeleteTable(TableName::Guard)],
        (None, None) => Vec::new(),
    }
}

/// The operations that make the kernel hold `desired` where it now holds `snapshot`, in order: what is not wanted goes,
/// rules first and the tunnel's table last; what is wanted comes, the table first and rules last. None where nothing
/// differs.
///
/// An interface in the way of ours, of another kind, is taken down whole and made anew.
pub fn plan(desired: &Desired, snapshot: &Snapshot) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut left = snapshot.clone();
    withdraw(desired, &mut left, &mut ops);
    establish(desired, &left, &mut ops);
    if desired.table.is_none() && snapshot.table.is_some() {
        ops.push(Op::DeleteTable(TableName::Tunnel));
    }
    ops
}

/// Removes what is not wanted, from `left` as well.
fn withdraw(desired: &Desired, left: &mut Snapshot, ops: &mut Vec<Op>) {
    let doomed: Vec<String> = left
        .links
        .iter()
        .filter(|(name, link)| !desired.links.iter().any(|want| want.name == **name && want.kind == link.kind))
        .map(|(name, _)| name.clone())
        .collect();
    let is_doomed = |dev: &str| doomed.iter().any(|name| name == dev);

    take(&mut left.rules, |rule| !desired.rules.contains(rule), |rule| ops.push(Op::DeleteRule(rule)));
    let leads_to_doomed = |route: &super::routing::Route| match &route.kind {
        super::routing::RouteKind::Dev(dev) => is_doomed(dev),
        _ => false,
    };
    take(
        &mut left.routes,
        |route| !desired.routes.contains(route) || leads_to_doomed(route),
        |route| ops.push(Op::DeleteRoute(route)),
    );
    for name in &doomed {
        if left.links.get(name).is_some_and(|link| link.up) {
            ops.push(Op::SetUp { name: name.clone(), up: false });
        }
    }
    take(
        &mut left.addresses,
        |address| !desired.addresses.contains(address) || is_doomed(&address.0),
        |(dev, address)| ops.push(Op::DeleteAddress { dev, address }),
    );
    withdraw_qdiscs(desired, &is_doomed, left, ops);
    let wireguard_is_doomed = is_doomed(super::ownership::WIREGUARD);
    take(
        &mut left.peers,
        |peer| wireguard_is_doomed || !desired.peers.iter().any(|want| want.public_key == peer.public_key),
        |peer| ops.push(Op::RemovePeer(peer.public_key)),
    );
    for name in doomed.iter().rev() {
        ops.push(Op::DeleteLink { name: name.clone() });
        left.links.remove(name);
        let part = format!(".{name}.");
        left.sysctls.retain(|key, _| !key.contains(&part));
        if name == super::ownership::WIREGUARD {
            left.wireguard = None;
        }
    }
}

/// Takes the qdiscs from every interface whose tree is not ours at the root, or which goes; and ones that have come to
/// stand in another's place. Children first, so that each can be put back.
fn withdraw_qdiscs(desired: &Desired, is_doomed: &dyn Fn(&str) -> bool, left: &mut Snapshot, ops: &mut Vec<Op>) {
    let tree_of = |dev: &str| desired.tree.as_ref().filter(|tree| tree.dev == dev && !is_doomed(dev));
    let root_stays =
        |dev: &str| tree_of(dev).is_some_and(|tree| left.qdiscs.contains(&(dev.to_owned(), tree.root.clone())));
    let stays = |dev: &str, qdisc: &Qdisc| {
        root_stays(dev)
            && tree_of(dev)
                .is_some_and(|tree| *qdisc == tree.root || tree.below.iter().any(|want| same_place(want, qdisc)))
    };
    let class_stays =
        |dev: &str, handle| root_stays(dev) && tree_of(dev).is_some_and(|tree| tree.class.handle == handle);
    let (kept, gone): (Vec<_>, Vec<_>) = left.qdiscs.iter().cloned().partition(|(dev, qdisc)| stays(dev, qdisc));
    let (kept_classes, gone_classes): (Vec<_>, Vec<_>) =
        left.classes.iter().cloned().partition(|(dev, class)| class_stays(dev, class.handle));
    let (roots, children): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|(_, qdisc)| qdisc.parent == super::qdisc_tree::Handle::ROOT);
    for (dev, qdisc) in children.into_iter().rev() {
        ops.push(Op::DeleteQdisc { dev, qdisc });
    }
    for (dev, class) in gone_classes.into_iter().rev() {
        ops.push(Op::DeleteClass { dev, class });
    }
    for (dev, qdisc) in roots {
        ops.push(Op::DeleteQdisc { dev, qdisc });
    }
    left.qdiscs = kept;
    left.classes = kept_classes;
}

fn same_place(a: &Qdisc, b: &Qdisc) -> bool {
    a.handle == b.handle && a.parent == b.parent && a.kind.name() == b.kind.name()
}

/// Makes what is wanted and not there.
fn establish(desired: &Desired, left: &Snapshot, ops: &mut Vec<Op>) {
    if let Some(table) = &desired.table {
        if !left.table.as_ref().is_some_and(|installed| table.is_met_by(installed)) {
            ops.push(Op::SetTable(table.clone()));
        }
    }
    for want in &desired.links {
        match left.links.get(&want.name) {
            None => ops.push(Op::AddLink { name: want.name.clone(), kind: want.kind.clone(), mtu: want.mtu }),
            Some(link) if link.mtu != want.mtu => ops.push(Op::SetMtu { name: want.name.clone(), mtu: want.mtu }),
            Some(_) => {}
        }
    }
    for (key, value) in &desired.sysctls {
        if left.sysctls.get(key) != Some(value) && (left.ipv6 || !key.starts_with("net.ipv6.")) {
            ops.push(Op::SetSysctl { key: key.clone(), value: value.clone() });
        }
    }
    if let Some(device) = &desired.wireguard {
        if !left.wireguard.as_ref().is_some_and(|installed| device.is_met_by(installed)) {
            ops.push(Op::SetWireguard(device.clone()));
        }
    }
    for peer in &desired.peers {
        if !left.peers.iter().any(|installed| peer.is_met_by(installed)) {
            ops.push(Op::SetPeer(peer.clone()));
        }
    }
    if let Some(tree) = &desired.tree {
        establish_tree(tree, left, ops);
    }
    for (dev, address) in &desired.addresses {
        if !left.addresses.contains(&(dev.clone(), *address)) {
            ops.push(Op::AddAddress { dev: dev.clone(), address: *address });
        }
    }
    // Up only now, so that no packet goes out before the tree stands.
    for want in &desired.links {
        if !left.links.get(&want.name).is_some_and(|link| link.up) {
            ops.push(Op::SetUp { name: want.name.clone(), up: true });
        }
    }
    let speaks = |family| left.ipv6 || family == super::routing::Family::V4;
    for route in &desired.routes {
        if !left.routes.contains(route) && speaks(route.prefix.family()) {
            ops.push(Op::AddRoute(route.clone()));
        }
    }
    for rule in &desired.rules {
        if !left.rules.contains(rule) && speaks(rule.family) {
            ops.push(Op::AddRule(rule.clone()));
        }
    }
}

fn establish_tree(tree: &QdiscTree, left: &Snapshot, ops: &mut Vec<Op>) {
    let dev = || tree.dev.clone();
    let mut qdiscs = std::iter::once(&tree.root).chain(&tree.below).map(|want| {
        match left.qdiscs.iter().find(|(d, q)| *d == tree.dev && same_place(q, want)) {
            Some((_, installed)) if installed == want => None,
            Some(_) => Some(Op::ChangeQdisc { dev: dev(), qdisc: want.clone() }),
            None => Some(Op::AddQdisc { dev: dev(), qdisc: want.clone() }),
        }
    });
    ops.extend(qdiscs.next().flatten());
    match left.classes.iter().find(|(d, c)| *d == tree.dev && c.handle == tree.class.handle) {
        Some((_, installed)) if *installed == tree.class => {}
        Some(_) => ops.push(Op::ChangeClass { dev: dev(), class: tree.class }),
        None => ops.push(Op::AddClass { dev: dev(), class: tree.class }),
    }
    ops.extend(qdiscs.flatten());
}

/// Removes from `list` what `goes`, last first, and hands each to `sink`.
fn take<T>(list: &mut Vec<T>, goes: impl Fn(&T) -> bool, mut sink: impl FnMut(T)) {
    for i in (0..list.len()).rev() {
        if goes(&list[i]) {
            sink(list.remove(i));
        }
    }
}

impl LinkKind {
    /// The kind of the kernel's name.
    pub fn from_name(name: &str) -> LinkKind {
        match name {
            "wireguard" => LinkKind::Wireguard,
            "tun" => LinkKind::Tun,
            other => LinkKind::Other(other.to_owned()),
        }
    }
}
