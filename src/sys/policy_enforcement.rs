//! Applies a changed policy to existing connections at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::flow_table::FlowBlock;
use super::kernel::{LinuxKernel, failed, flow_tables};
use super::netlink::error::NetlinkError;
use super::netlink::neighbour::{self, Neighbour, NeighbourEntry};
use super::netlink::socket::Netlink;
use super::netlink::{addr, conntrack, link};
use super::nft;
use crate::apply::{Cause, OpError};
use crate::plan::nft::{Learned, TableText};
use crate::plan::routing::Prefix;
use crate::plan::{self, Binding, LEARNED_TTL, PolicySubjects};

/// A neighbour that answered this lately is confirmed. Longer than between two reconcile jobs, and shorter than the age
/// with which an entry starts that no answer has confirmed.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(50);

impl LinuxKernel {
    /// Lets the `installed` guard forget whose packets were routed past the tunnel.
    pub fn forget_astray(&mut self, installed: &TableText) -> Result<(), OpError> {
        let Some(transaction) = plan::forget_astray(installed) else { return Ok(()) };
        let action = "flushing a learned set of the guard".to_owned();
        nft::load(&transaction).map_err(|cause| OpError { action, cause })
    }

    /// The neighbours on all networks that the kernel confirmed within `age`.
    pub fn neighbours(&mut self, age: Duration) -> Result<Vec<Neighbour>, OpError> {
        let entries = neighbour::list(self.route()).map_err(|error| failed("listing neighbours", error))?;
        Ok(entries.into_iter().filter(|entry| entry.age <= age).map(|entry| entry.neighbour).collect())
    }

    /// The addresses that the guard `wanted` has to contain from the start when it replaces `before`.
    pub fn learned(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<Learned, OpError> {
        Ok(plan::initial_elements(before, wanted, &self.bindings()?))
    }

    /// Brings the learned sets of the `installed` guard up to date with the kernel's neighbours. Returns whether
    /// anything changed.
    pub fn update_learned(&mut self, installed: &mut TableText) -> Result<bool, OpError> {
        let wanted = plan::current_elements(installed, &self.bindings()?);
        self.set_learned(installed, &wanted)
    }

    /// Gives the learned sets of the `installed` table these elements. Returns whether anything changed.
    pub fn set_learned(&mut self, installed: &mut TableText, wanted: &Learned) -> Result<bool, OpError> {
        let Some(transaction) = plan::update(installed, wanted) else { return Ok(false) };
        let failed =
            |cause| OpError { action: format!("updating the learned sets of table {}", installed.name), cause };
        nft::load(&transaction).map_err(failed)?;
        installed.learned.extend(wanted.clone());
        Ok(true)
    }

    /// The neighbours on all networks that the kernel knows since at most [`LEARNED_TTL`].
    fn bindings(&mut self) -> Result<Vec<Binding>, OpError> {
        let entries = neighbour::list(self.route()).map_err(|error| failed("listing neighbours", error))?;
        let links = link::list(self.route()).map_err(|error| failed("listing interfaces", error))?;
        let recent = entries.into_iter().filter(|entry| entry.age <= LEARNED_TTL);
        let binding = |NeighbourEntry { index, neighbour: Neighbour { mac, address }, age }| {
            let interface = links.iter().find(|link| link.index == index)?.name.clone();
            Some(Binding { mac, address, interface, is_confirmed: age < CONFIRMED_WITHIN })
        };
        Ok(recent.filter_map(binding).collect())
    }

    /// Applies the guard `wanted`, which has replaced `before`, to existing connections: ends those of every device and
    /// network whose policy changed. Returns how many it ended.
    pub fn enforce(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<usize, OpError> {
        let (mut changed, mut confined) = (PolicySubjects::changed(before, wanted), PolicySubjects::confined(wanted));
        if changed.is_empty() {
            return Ok(0);
        }
        let neighbours = self.neighbours(Duration::MAX)?;
        for subjects in [&mut changed, &mut confined] {
            let others = other_addresses(subjects, &neighbours);
            subjects.addresses.extend(others);
        }
        let newly_confined = changed.intersection(&confined);
        let mut networks = self.networks_on(&newly_confined.interfaces)?;
        networks.extend(newly_confined.addresses.iter().copied().map(Prefix::host));
        let block = flow_tables()?.block(&newly_confined.macs, &networks);
        let block = block.map_err(|cause| OpError { action: "blocking offloaded connections".into(), cause })?;
        let ended = self.forget_connections(&changed)?;
        block.into_iter().for_each(FlowBlock::wait_for_gc);
        Ok(ended)
    }

    /// Deletes the conntrack entries of these devices and networks, so that their next packets are checked against the
    /// rules again. Returns how many it deleted.
    pub fn forget_connections(&mut self, subjects: &PolicySubjects) -> Result<usize, OpError> {
        if subjects.is_empty() {
            return Ok(0);
        }
        let mut addresses: BTreeSet<IpAddr> = subjects.addresses.clone();
        let neighbours = self.neighbours(Duration::MAX)?;
        let theirs = neighbours.iter().filter(|neighbour| subjects.macs.contains(&neighbour.mac.to_string()));
        addresses.extend(theirs.map(|neighbour| neighbour.address));
        let networks = self.networks_on(&subjects.interfaces)?;
        let failed = |error: NetlinkError| match error.errno() {
            // The kernel has no conntrack subsystem in netlink, or no netfilter netlink at all.
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => OpError {
                action: "deleting connections".into(),
                cause: Cause::missing("kernel module nf_conntrack_netlink is missing", "kmod-nf-conntrack-netlink"),
            },
            _ => failed("deleting connections", error),
        };
        let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize).map_err(failed)?;
        let is_selected =
            |address| addresses.contains(&address) || networks.iter().any(|network| network.contains(address));
        conntrack::delete(&mut netlink, is_selected).map_err(failed)
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

/// Further addresses of the devices in `subjects.addresses` that the guard confines together with the named one: the
/// IPv6 addresses of a device named by an IPv4 address, and all addresses of a device named by an IPv6 address.
fn other_addresses(subjects: &PolicySubjects, neighbours: &[Neighbour]) -> Vec<IpAddr> {
    let has = |one: &&Neighbour| subjects.addresses.contains(&one.address);
    let of = |one: &Neighbour| {
        let (mac, all) = (one.mac, one.address.is_ipv6());
        neighbours.iter().filter(move |other| other.mac == mac && (all || other.address.is_ipv6()))
    };
    neighbours.iter().filter(has).flat_map(of).map(|other| other.address).collect()
}
