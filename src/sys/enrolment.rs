//! What makes a changed policy hold at once, for connections that stood before.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::libc;

use super::flow_table::Cut;
use super::kernel::{System, failed, flow_tables};
use super::neighbour::Neighbour;
use super::netlink::{Netlink, NetlinkError};
use super::{addr, conntrack, link, neighbour, nft};
use crate::apply::{Cause, OpError};
use crate::plan::Named;
use crate::plan::nft::TableText;
use crate::plan::routing::Prefix;

impl System {
    /// Who has which address on the networks around, as far as the kernel knows.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, OpError> {
        neighbour::list(self.route()).map_err(|error| failed("listing neighbours", error))
    }

    /// Makes the guard `wanted`, which has come in the place of `before`, hold for connections that stood already: those
    /// of every device and network whose policy is another end. Gives how many there were.
    pub fn enforce(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<usize, OpError> {
        let (changed, confined) = (Named::changed(before, wanted), Named::confined(wanted));
        self.show_to_guard(&confined.macs)?;
        if changed.is_empty() {
            return Ok(0);
        }
        let newly = changed.and(&confined);
        let mut networks = self.networks_on(&newly.interfaces)?;
        networks.extend(newly.addresses.iter().copied().map(Prefix::host));
        let cut = flow_tables()?.cut(&newly.macs, &networks);
        let cut = cut.map_err(|cause| OpError { action: "cutting off offloaded connections".into(), cause })?;
        let ended = self.forget_connections(&changed)?;
        cut.into_iter().for_each(Cut::outlast);
        Ok(ended)
    }

    /// Forgets the connections of these devices and networks, so that every further packet is judged anew; gives how
    /// many there were.
    pub fn forget_connections(&mut self, named: &Named) -> Result<usize, OpError> {
        if named.is_empty() {
            return Ok(0);
        }
        let mut addresses: BTreeSet<IpAddr> = named.addresses.clone();
        let neighbours = self.neighbours()?;
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

    /// Tells the guard the addresses that `macs` have by the kernel's list of neighbours, before their own packets do.
    pub fn show_to_guard(&mut self, macs: &BTreeSet<String>) -> Result<(), OpError> {
        let neighbours = self.neighbours()?;
        let theirs = neighbours.iter().filter(|neighbour| macs.contains(&neighbour.mac.to_string()));
        let addresses: BTreeSet<IpAddr> = theirs.map(|neighbour| neighbour.address).collect();
        nft::learn(&addresses).map_err(|cause| OpError { action: "telling the guard addresses".into(), cause })
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
