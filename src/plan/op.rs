//! One operation on the kernel.

use std::fmt;

use super::nft::{TableName, TableText};
use super::qdisc_tree::{Class, Qdisc};
use super::routing::{Prefix, Route, Rule};
use super::wireguard::{Base64, Peer, WireguardDevice};
use crate::config::model::Key;
use crate::tunnel::LinkKind;
use crate::tunnel::wireguard::WIREGUARD;

/// One operation on the kernel, which succeeds completely or changes nothing. Prints as the equivalent command, without
/// secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each prints as its command")]
pub enum Op {
    SetTable(TableText),
    DeleteTable(TableName),
    AddLink { name: String, kind: LinkKind, mtu: u32 },
    DeleteLink { name: String },
    SetMtu { name: String, mtu: u32 },
    SetUp { name: String, up: bool },
    SetSysctl { key: String, value: String },
    SetWireguard(WireguardDevice),
    SetPeer(Peer),
    RemovePeer(Key),
    AddQdisc { dev: String, qdisc: Qdisc },
    ChangeQdisc { dev: String, qdisc: Qdisc },
    DeleteQdisc { dev: String, qdisc: Qdisc },
    AddClass { dev: String, class: Class },
    ChangeClass { dev: String, class: Class },
    DeleteClass { dev: String, class: Class },
    AddAddress { dev: String, address: Prefix },
    DeleteAddress { dev: String, address: Prefix },
    AddRoute(Route),
    DeleteRoute(Route),
    AddRule(Rule),
    DeleteRule(Rule),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::SetTable(table) => write!(f, "nft replace {table}"),
            Op::DeleteTable(name) => write!(f, "nft delete table {name}"),
            Op::AddLink { name, kind: LinkKind::Tun, mtu } => write!(f, "ip tuntap add {name} mode tun mtu {mtu}"),
            Op::AddLink { name, kind, mtu } => write!(f, "ip link add {name} mtu {mtu} type {kind}"),
            Op::DeleteLink { name } => write!(f, "ip link del {name}"),
            Op::SetMtu { name, mtu } => write!(f, "ip link set {name} mtu {mtu}"),
            Op::SetUp { name, up } => write!(f, "ip link set {name} {}", if *up { "up" } else { "down" }),
            Op::SetSysctl { key, value } => write!(f, "sysctl {key}={value}"),
            Op::SetWireguard(device) => write!(f, "wg set {WIREGUARD} {device}"),
            Op::SetPeer(peer) => write!(f, "wg set {WIREGUARD} {peer}"),
            Op::RemovePeer(key) => write!(f, "wg set {WIREGUARD} peer {} remove", Base64(&key.0)),
            Op::AddQdisc { dev, qdisc } => write!(f, "tc qdisc add dev {dev} {qdisc}"),
            Op::ChangeQdisc { dev, qdisc } => write!(f, "tc qdisc change dev {dev} {qdisc}"),
            Op::DeleteQdisc { dev, qdisc } => write!(f, "tc qdisc del dev {dev} {qdisc}"),
            Op::AddClass { dev, class } => write!(f, "tc class add dev {dev} {class}"),
            Op::ChangeClass { dev, class } => write!(f, "tc class change dev {dev} {class}"),
            Op::DeleteClass { dev, class } => write!(f, "tc class del dev {dev} {class}"),
            Op::AddAddress { dev, address } => write!(f, "ip addr add {address} dev {dev}"),
            Op::DeleteAddress { dev, address } => write!(f, "ip addr del {address} dev {dev}"),
            Op::AddRoute(route) => write!(f, "ip {} route add {route}", route.prefix.family()),
            Op::DeleteRoute(route) => write!(f, "ip {} route del {route}", route.prefix.family()),
            Op::AddRule(rule) => write!(f, "ip {} rule add {rule}", rule.family),
            Op::DeleteRule(rule) => write!(f, "ip {} rule del {rule}", rule.family),
        }
    }
}
