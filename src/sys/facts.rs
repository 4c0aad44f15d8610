//! What the machine is like around us.

use std::net::IpAddr;

use nix::libc;

use super::addr::AddressEntry;
use super::link::LinkEntry;
use super::route::RouteEntry;
use crate::config::model::Settings;
use crate::plan::LanInterface;
use crate::plan::ownership::{ROUTE_PROTOCOL, TUN, WIREGUARD};

/// The interfaces towards the home's own networks: those with an address that no default route leaves by. While there
/// is no default route any of them may be the WAN's, and only bridges and what the settings name count.
pub(super) fn lan(
    settings: &Settings,
    links: &[LinkEntry],
    addresses: &[AddressEntry],
    routes: &[RouteEntry],
) -> Vec<LanInterface> {
    let wan: Vec<u32> = routes
        .iter()
        .filter(|route| route.prefix.length == 0 && route.kind == libc::RTN_UNICAST && route.protocol != ROUTE_PROTOCOL)
        .flat_map(|route| route.oif.iter().chain(&route.hops).copied())
        .collect();
    let named = |name: &str| settings.networks.iter().any(|n| n.device.as_deref() == Some(name));
    let mut lan: Vec<LanInterface> = links
        .iter()
        .filter(|link| !link.solitary && link.name != TUN && link.name != WIREGUARD && !wan.contains(&link.index))
        .filter(|link| !wan.is_empty() || link.kind.as_deref() == Some("bridge") || named(&link.name))
        .map(|link| LanInterface { name: link.name.clone(), prefixes: prefixes(link.index, addresses) })
        .filter(|lan| !lan.prefixes.is_empty())
        .collect();
    lan.sort_by(|a, b| a.name.cmp(&b.name));
    lan
}

fn prefixes(index: u32, addresses: &[AddressEntry]) -> Vec<crate::plan::routing::Prefix> {
    let of_it = addresses.iter().filter(|address| address.index == index);
    let mut prefixes: Vec<_> = of_it
        .map(|address| address.prefix.network())
        .filter(|prefix| match prefix.address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}
