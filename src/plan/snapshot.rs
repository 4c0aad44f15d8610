//! The actual state of millpond's objects in the kernel.

use std::collections::BTreeMap;

use super::nft::{TableName, TableText};
use super::qdisc_tree::{Class, Qdisc};
use super::routing::{Prefix, Route, Rule};
use super::wireguard::{Peer, WireguardDevice};
use crate::tunnel::LinkKind;

/// The kernel objects with the names and numbers of [`super::ownership`], and the forwarding sysctls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The guard's nftables table.
    pub guard: Option<TableText>,
    /// The tunnel's nftables table.
    pub table: Option<TableText>,
    /// millpond's interfaces, by name.
    pub links: BTreeMap<String, InstalledLink>,
    /// The sysctls that millpond may set on each interface, and both forwarding sysctls. Sysctls that the kernel lacks
    /// are absent.
    pub sysctls: BTreeMap<String, String>,
    /// The private key and port of millpond's WireGuard interface.
    pub wireguard: Option<WireguardDevice>,
    /// The peers of the WireGuard interface.
    pub peers: Vec<Peer>,
    /// Addresses on millpond's interfaces.
    pub addresses: Vec<(String, Prefix)>,
    /// Qdiscs on millpond's interfaces, parents first, without the kernel's default qdiscs.
    pub qdiscs: Vec<(String, Qdisc)>,
    /// Classes on millpond's interfaces.
    pub classes: Vec<(String, Class)>,
    /// Routes with millpond's protocol number.
    pub routes: Vec<Route>,
    /// Rules with millpond's protocol number and a priority in its range.
    pub rules: Vec<Rule>,
    /// Whether the kernel supports IPv6.
    pub ipv6: bool,
}

impl Snapshot {
    /// The nftables table with that name.
    pub fn table(&self, name: TableName) -> Option<&TableText> {
        match name {
            TableName::Guard => self.guard.as_ref(),
            TableName::Tunnel => self.table.as_ref(),
            // Read and changed without a snapshot.
            TableName::Bridge => None,
        }
    }
}

/// An existing interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledLink {
    /// Its kind.
    pub kind: LinkKind,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
}
