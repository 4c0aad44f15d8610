//! The hosts that the kernel has seen on the home's networks.

use std::fs;
use std::io;
use std::time::Duration;

use super::facts::HostView;
use super::fw4_zones::Zones;
use super::netlink::error::NetlinkError;
use super::netlink::neighbour::{self, Neighbour, NeighbourEntry};
use super::netlink::socket::Netlink;
use super::netlink::{addr, link, route};
use crate::config::model::{Mac, Settings};
use crate::plan::Facts;

/// A neighbour on one of the home's networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanNeighbour {
    /// Its addresses.
    pub neighbour: Neighbour,
    /// Name of the interface towards it.
    pub interface: String,
    /// Time since the kernel last confirmed that it is reachable.
    pub age: Duration,
}

/// The neighbours on the home's networks, in the kernel's order.
pub fn lan_neighbours(settings: &Settings) -> io::Result<Vec<LanNeighbour>> {
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE as isize).map_err(list_error)?;
    let links = link::list(&mut netlink).map_err(list_error)?;
    let addresses = addr::list(&mut netlink).map_err(list_error)?;
    let routes = route::list(&mut netlink).map_err(list_error)?;
    let view = HostView { links: &links, addresses: &addresses, routes: &routes, zones: &Zones::read() };
    let lan = view.facts(settings, &Facts::default()).lan;
    let neighbours = neighbour::list(&mut netlink).map_err(list_error)?.into_iter().filter_map(
        |NeighbourEntry { index, neighbour, age }| {
            let interface = links.iter().find(|link| link.index == index)?.name.clone();
            let is_on_lan = lan.iter().any(|lan| lan.name == interface);
            is_on_lan.then_some(LanNeighbour { neighbour, interface, age })
        },
    );
    Ok(neighbours.collect())
}

/// The Ethernet addresses of this host's interfaces, as far as they can be read.
pub fn own_macs() -> Vec<Mac> {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let addresses = interfaces.filter_map(|interface| fs::read_to_string(interface.path().join("address")).ok());
    addresses.filter_map(|address| Mac::from_text(address.trim())).collect()
}

fn list_error(error: NetlinkError) -> io::Error {
    io::Error::other(format!("listing neighbours: {error}"))
}
