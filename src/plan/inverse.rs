//! The inverses of operations, for rollbacks.

use super::nft::TableName;
use super::op::Op;
use super::snapshot::Snapshot;
use crate::tunnel::wireguard::WIREGUARD;

impl Op {
    /// The operations that undo this one and restore its part of `before`, in order. Empty if the inverses of other
    /// operations undo it.
    pub fn inverse(&self, before: &Snapshot) -> Vec<Op> {
        match self.clone() {
            Op::SetTable(table) => vec![restored_table(table.name, before).unwrap_or(Op::DeleteTable(table.name))],
            Op::DeleteTable(name) => restored_table(name, before).into_iter().collect(),
            Op::AddLink { name, .. } => vec![Op::DeleteLink { name }],
            Op::DeleteLink { name } => restored_link(&name, before),
            Op::SetMtu { name, .. } => {
                let old = before.links.get(&name).map(|link| Op::SetMtu { name, mtu: link.mtu });
                old.into_iter().collect()
            }
            Op::SetUp { name, .. } => {
                let old = before.links.get(&name).map(|link| Op::SetUp { name, up: link.up });
                old.into_iter().collect()
            }
            Op::SetSysctl { key, .. } => {
                let old = before.sysctls.get(&key).cloned().map(|value| Op::SetSysctl { key, value });
                old.into_iter().collect()
            }
            Op::SetWireguard(_) => before.wireguard.clone().map(Op::SetWireguard).into_iter().collect(),
            Op::SetPeer(peer) => vec![restored_peer(&peer.public_key, before)],
            Op::RemovePeer(key) => vec![restored_peer(&key, before)],
            Op::AddQdisc { dev, qdisc } => vec![Op::DeleteQdisc { dev, qdisc }],
            Op::ChangeQdisc { dev, qdisc } => before
                .qdiscs
                .iter()
                .filter(|(d, q)| *d == dev && q.handle == qdisc.handle)
                .map(|(dev, qdisc)| Op::ChangeQdisc { dev: dev.clone(), qdisc: qdisc.clone() })
                .collect(),
            Op::DeleteQdisc { dev, qdisc } => vec![Op::AddQdisc { dev, qdisc }],
            Op::AddClass { dev, class } => vec![Op::DeleteClass { dev, class }],
            Op::ChangeClass { dev, class } => before
                .classes
                .iter()
                .filter(|(d, c)| *d == dev && c.handle == class.handle)
                .map(|(dev, class)| Op::ChangeClass { dev: dev.clone(), class: *class })
                .collect(),
            Op::DeleteClass { dev, class } => vec![Op::AddClass { dev, class }],
            Op::AddAddress { dev, address } => vec![Op::DeleteAddress { dev, address }],
            Op::DeleteAddress { dev, address } => vec![Op::AddAddress { dev, address }],
            Op::AddRoute(route) => vec![Op::DeleteRoute(route)],
            Op::DeleteRoute(route) => vec![Op::AddRoute(route)],
            Op::AddRule(rule) => vec![Op::DeleteRule(rule)],
            Op::DeleteRule(rule) => vec![Op::AddRule(rule)],
        }
    }
}

fn restored_table(name: TableName, before: &Snapshot) -> Option<Op> {
    before.table(name).cloned().map(Op::SetTable)
}

/// Restores an interface. A plan removes its addresses, routes, peers and qdiscs before it, so the inverses of those
/// operations restore them.
fn restored_link(name: &str, before: &Snapshot) -> Vec<Op> {
    let Some(link) = before.links.get(name) else { return Vec::new() };
    let mut ops = vec![Op::AddLink { name: name.to_owned(), kind: link.kind.clone(), mtu: link.mtu }];
    let infix = format!(".{name}.");
    for (key, value) in before.sysctls.iter().filter(|(key, _)| key.contains(&infix)) {
        ops.push(Op::SetSysctl { key: key.clone(), value: value.clone() });
    }
    if name == WIREGUARD {
        ops.extend(before.wireguard.clone().map(Op::SetWireguard));
    }
    ops
}

fn restored_peer(key: &crate::config::model::Key, before: &Snapshot) -> Op {
    let old = before.peers.iter().find(|peer| peer.public_key == *key);
    old.cloned().map_or_else(|| Op::RemovePeer(key.clone()), Op::SetPeer)
}
