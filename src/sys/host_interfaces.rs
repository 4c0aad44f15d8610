//! The host's interfaces, as `millpond router init` looks at them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::child::{Child, no_input};
use super::netlink::link::{self, LinkEntry};
use super::netlink::route::{self, RouteEntry};
use super::netlink::socket::Netlink;
use super::netlink::{addr, wireless};
use crate::plan::ownership::ROUTE_PROTOCOL;
use crate::plan::routing::{Family, Prefix};

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// The bridge or bond whose port it is.
    pub master: Option<String>,
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// Whether it is loopback or point-to-point.
    pub is_loopback_or_ptp: bool,
    /// Whether it is a Wi-Fi interface.
    pub is_wifi: bool,
    /// Whether it is a Wi-Fi access point.
    pub is_access_point: bool,
    /// Whether it has an IPv4 address.
    pub has_ipv4: bool,
    /// The least metric of the host's default routes that leave by it.
    pub default_metric: Option<u32>,
    /// Whether NetworkManager says that it manages it.
    pub is_networkmanagers: bool,
}

/// All interfaces, in the kernel's order.
pub fn list() -> io::Result<Vec<HostInterface>> {
    let failed = |error| io::Error::other(format!("listing interfaces: {error}"));
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE as isize).map_err(failed)?;
    let links = link::list(&mut netlink).map_err(failed)?;
    let addresses = addr::list(&mut netlink).map_err(failed)?;
    let routes = route::list(&mut netlink).map_err(failed)?;
    let access_points = Netlink::open(libc::NETLINK_GENERIC as isize)
        .and_then(|mut generic| wireless::access_points(&mut generic))
        .unwrap_or_default();
    let is_default = |route: &&RouteEntry| {
        let is_hosts = route.table == u32::from(libc::RT_TABLE_MAIN) && route.protocol != ROUTE_PROTOCOL;
        is_hosts && route.prefix == Prefix::all(Family::V4) && route.kind == libc::RTN_UNICAST
    };
    let default_metric = |index: u32| {
        let by =
            routes.iter().filter(is_default).filter(|route| route.oif == Some(index) || route.hops.contains(&index));
        by.map(|route| route.metric).min()
    };
    let interface = |link: &LinkEntry| HostInterface {
        name: link.name.clone(),
        master: links.iter().find(|other| link.master == Some(other.index)).map(|other| other.name.clone()),
        is_bridge: link.kind.as_deref() == Some("bridge"),
        is_loopback_or_ptp: link.is_loopback_or_ptp,
        is_wifi: Path::new("/sys/class/net").join(&link.name).join("phy80211").exists(),
        is_access_point: access_points.contains(&link.name),
        has_ipv4: addresses.iter().any(|entry| entry.index == link.index && entry.prefix.address.is_ipv4()),
        default_metric: default_metric(link.index),
        is_networkmanagers: is_networkmanagers(link.index),
    };
    Ok(links.iter().map(interface).collect())
}

/// Whether NetworkManager's state file of an interface says that it is managed.
fn is_networkmanagers(index: u32) -> bool {
    let state = fs::read_to_string(format!("/run/NetworkManager/devices/{index}")).unwrap_or_default();
    state.lines().any(|line| matches!(line, "managed=true" | "managed=1"))
}

/// The rules of the old iptables, as its own program prints them. Fails if that is not installed.
pub fn legacy_rules() -> io::Result<String> {
    let (output, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let stderr = no_input()?;
    let mut child = Child::spawn("iptables-legacy-save", &[], [no_input()?, Some(stdout), stderr])?;
    let mut text = String::new();
    let read = File::from(output).read_to_string(&mut text);
    child.wait()?;
    read.map(|_| text)
}
