//! What makes a changed policy hold at once, for connections that stood before.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use nix::libc;

use super::flow_table::FlowBlock;
use super::kernel::{LinuxKernel, failed, flow_tables};
use super::neighbour::Neighbour;
use super::netlink::{Netlink, NetlinkError};
use super::{addr, conntrack, link, neighbour};
use crate::apply::{Cause, OpError};
use crate::plan::nft::{Learned, TableText};
use crate::plan::routing::Prefix;
use crate::plan::{self, LEARNED_TTL, PolicySubjects};

impl LinuxKernel {
    /// Who has had which address on the networks around within `age`, as far as the kernel knows.
    pub fn neighbours(&mut self, age: Duration) -> Result<Vec<Neighbour>, OpError> {
        neighbour::list(self.route(), age).map_err(|error| failed("listing neighbours", error))
    }

    /// What the guard `wanted` is to know from the beginning, where it comes in the place of `before`.
    pub fn learned(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<Learned, OpError> {
        let neighbours = self.neighbours(LEARNED_TTL)?;
        let neighbours: Vec<_> = neighbours.iter().map(|neighbour| (neighbour.mac, neighbour.address)).collect();
        Ok(plan::learned(before, wanted, &neighbours))
    }

    /// Makes the guard `wanted`, which has come in the place of `before`, hold for connections that stood already: those
    /// of every device and network whose policy is another end. Gives how many there were.
    pub fn enforce(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<usize, OpError> {
        let (mut changed, mut confined) = (PolicySubjects::changed(before, wanted), PolicySubjects::confined(wanted));
        if changed.is_empty() {
            return Ok(0);
        }
        let neighbours = self.neighbours(Duration::MAX)?;
        for named in [&mut changed, &mut confined] {
            let others = others(named, &neighbours);
            named.addresses.extend(others);
        }
        let newly = changed.and(&confined);
        let mut networks = self.networks_on(&newly.interfaces)?;
        networks.extend(newly.addresses.iter().copied().map(Prefix::host));
        let block = flow_tables()?.block(&newly.macs, &networks);
        let block = block.map_err(|cause| OpError { action: "cutting off offloaded connections".into(), cause })?;
        let ended = self.forget_connections(&changed)?;
        block.into_iter().for_each(FlowBlock::outlast);
        Ok(ended)
    }

    /// Forgets the connections of these devices and networks, so that every further packet is judged anew; gives how
    /// many there were.
    pub fn forget_connections(&mut self, named: &PolicySubjects) -> Result<usize, OpError> {
        if named.is_empty() {
            return Ok(0);
        }
        let mut addresses: BTreeSet<IpAddr> = named.addresses.clone();
        let neighbours = self.neighbours(Duration::MAX)?;
        let theirs = neighbours.iter().filter(|neighbour| named.macs.contains(&neighbour.mac.to_string()));
        addresses.extend(theirs.map(|neighbour| neighbour.address));
        let networks = self.networks_on(&named.interfaces)?;
        let failed = |error: NetlinkError| match error.errno() {
            // No such subsystem, or not even its protocol.
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => OpError {
                action: "forgetting connections".into(),
                cause: Cause::missing("kernel module nf_conntrack_netlink is missing", "kmod-nf-conntrack-netlink"),
            },
            _ => failed("forgetting connections", error),
        };
        let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize).map_err(failed)?;
        let is_theirs =
            |address| addresses.contains(&address) || networks.iter().any(|network| network.contains(address));
        conntrack::forget(&mut netlink, is_theirs).map_err(failed)
    }

    fn networks_on(&mut self, interfaces: &BTreeSet<String>) -> Result<Vec<Prefix>, OpError> {
        let links = link::list(self.route()).map_err(|error| failed("listing interfaces", error))?;
        let addresses = addr::list(self.route()).map_err(|error| failed("listing addresses", error))?;
        let is_one = |index| links.iter().any(|link| link.index == index && interfaces.contains(&link.name));
        Ok(addresses
            .into_iter()
            .filter(|address| is_one(address.index))
            .map(|address| address.prefix.network())
            .collect())
    }
}

/// The other addresses of those that are named by address, as far as the guard confines them with it: of one that is named by
/// IPv4 those of IPv6, of one that is named by IPv6 all.
fn others(named: &PolicySubjects, neighbours: &[Neighbour]) -> Vec<IpAddr> {
    let has = |one: &&Neighbour| named.addresses.contains(&one.address);
    let of = |one: &Neighbour| {
        let (mac, all) = (one.mac, one.address.is_ipv6());
        neighbours.iter().filter(move |other| other.mac == mac && (all || other.address.is_ipv6()))
    };
    neighbours.iter().filter(has).flat_map(of).map(|other| other.address).collect()
}
