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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Dns, DnsMode, Level, Network, Policy, Role, Shape};
    use crate::plan::routing::{Family, Prefix};
    use crate::units::{BitsPerSec, Law};

    fn settings() -> Settings {
        let rate = BitsPerSec::from_kbit(160);
        let network = Network { name: "iot".into(), device: Some("eth0.3".into()), policy: Policy::Shape };
        Settings {
            enabled: true,
            role: Role::Router,
            level: Level::Balanced,
            shape: Shape { upload: rate, download: rate, cell_bytes: 512, law: Law::Gamma, spread_percent: 33 },
            data_cap_gb: None,
            billing_day: 1,
            price_cents: None,
            step_down: None,
            tunnel: None,
            dns: Dns { mode: DnsMode::Router, servers: Vec::new() },
            devices: Vec::new(),
            networks: vec![network],
            schedules: Vec::new(),
            homes: Vec::new(),
        }
    }

    fn machine() -> (Vec<LinkEntry>, Vec<AddressEntry>) {
        let link = |index, name: &str, kind: Option<&str>, solitary| LinkEntry {
            index,
            name: name.into(),
            kind: kind.map(str::to_owned),
            mtu: 1500,
            up: true,
            solitary,
        };
        let links = vec![
            link(1, "lo", None, true),
            link(2, "eth0.3", Some("vlan"), false),
            link(3, "wan", None, false),
            link(4, "br-lan", Some("bridge"), false),
            link(5, "mpwg0", Some("wireguard"), true),
            link(6, "eth1", None, false),
        ];
        let address =
            |index, a: &str, length| AddressEntry { index, prefix: Prefix { address: a.parse().unwrap(), length } };
        let addresses = vec![
            address(1, "127.0.0.1", 8),
            address(2, "192.168.3.1", 24),
            address(3, "192.168.178.20", 24),
            address(4, "192.168.1.1", 24),
            address(4, "fe80::1", 64),
            address(4, "fd00::1", 60),
            address(5, "10.77.0.2", 32),
        ];
        (links, addresses)
    }

    fn default_route(oif: Option<u32>, hops: Vec<u32>, protocol: u8) -> RouteEntry {
        let kind = libc::RTN_UNICAST;
        RouteEntry { protocol, table: 254, prefix: Prefix::all(Family::V4), metric: 0, kind, oif, hops }
    }

    fn names(routes: &[RouteEntry]) -> Vec<String> {
        let (links, addresses) = machine();
        lan(&settings(), &links, &addresses, routes).into_iter().map(|lan| lan.name).collect()
    }

    #[test]
    fn the_home_is_what_no_default_route_leaves_by() {
        assert_eq!(names(&[default_route(Some(3), vec![], 3)]), ["br-lan", "eth0.3"]);
        assert_eq!(names(&[default_route(None, vec![3, 2], 3)]), ["br-lan"]);
    }

    #[test]
    fn without_a_default_route_only_the_certain_count() {
        assert_eq!(names(&[]), ["br-lan", "eth0.3"]);
        assert_eq!(names(&[default_route(Some(7), vec![], ROUTE_PROTOCOL)]), ["br-lan", "eth0.3"]);
    }

    #[test]
    fn prefixes_are_networks_without_link_local_ones() {
        let (links, addresses) = machine();
        let lan = lan(&settings(), &links, &addresses, &[]);
        let shown: Vec<String> = lan[0].prefixes.iter().map(Prefix::to_string).collect();
        assert_eq!(shown, ["192.168.1.0/24", "fd00::/60"]);
    }
}
