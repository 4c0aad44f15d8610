//! What the kernel holds of ours.

use std::collections::BTreeMap;

use super::nft::{TableName, TableText};
use super::op::LinkKind;
use super::qdisc_tree::{Class, Qdisc};
use super::routing::{Prefix, Route, Rule};
use super::wireguard::{Peer, WireguardDevice};

/// What the kernel holds under the names and numbers of [`super::ownership`], and whether it forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The guard's nftables table.
    pub guard: Option<TableText>,
    /// The tunnel's nftables table.
    pub table: Option<TableText>,
    /// Our interfaces, by name.
    pub links: BTreeMap<String, InstalledLink>,
    /// The settings of each interface's that matter, and both forwarding ones; absent where the kernel has none.
    pub sysctls: BTreeMap<String, String>,
    /// Our WireGuard interface's own part.
    pub wireguard: Option<WireguardDevice>,
    /// Its peers.
    pub peers: Vec<Peer>,
    /// Addresses on our interfaces.
    pub addresses: Vec<(String, Prefix)>,
    /// Qdiscs on our interfaces, parents first, without those that the kernel attaches by itself.
    pub qdiscs: Vec<(String, Qdisc)>,
    /// Classes on our interfaces.
    pub classes: Vec<(String, Class)>,
    /// Routes with our protocol number.
    pub routes: Vec<Route>,
    /// Rules with our protocol number in our range of priorities.
    pub rules: Vec<Rule>,
    /// Whether the kernel speaks IPv6.
    pub ipv6: bool,
}

impl Snapshot {
    /// The nftables table of that name.
    pub fn table(&self, name: TableName) -> Option<&TableText> {
        match name {
            TableName::Guard => self.guard.as_ref(),
            TableName::Tunnel => self.table.as_ref(),
        }
    }
}

/// An interface that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledLink {
    /// Its kind.
    pub kind: LinkKind,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
}
