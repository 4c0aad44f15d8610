//! Finds out which interfaces belong to the home and which lead to the Internet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::fw4_zones::Zones;
use super::line_in_use::line_in_use;
use super::netlink::addr::AddressEntry;
use super::netlink::link::LinkEntry;
use super::netlink::route::RouteEntry;
use crate::config::model::{Role, Settings};
#[cfg(feature = "endpoint")]
use crate::plan::ExitInterface;
use crate::plan::ownership::{ROUTE_PROTOCOL, TUN};
use crate::plan::routing::{Prefix, without_nested};
use crate::plan::{Facts, LanInterface, interface};
use crate::tunnel::{self, OWN_INTERFACES};

/// The host's interfaces, addresses, routes and firewall zones at one time.
pub(super) struct HostView<'a> {
    pub links: &'a [LinkEntry],
    pub addresses: &'a [AddressEntry],
    pub routes: &'a [RouteEntry],
    pub zones: &'a Zones,
}

impl HostView<'_> {
    /// Classifies the interfaces. An interface is outside if it has a default route, is in a firewall zone with address
    /// translation, or was outside in `before`. Of the others, the home's interfaces are those that the settings name,
    /// those in the firewall's other zones, and bridges with private addresses. The remaining interfaces with private
    /// addresses are unsure.
    pub fn facts(&self, settings: &Settings, before: &Facts) -> Facts {
        let named: BTreeSet<String> = settings.networks.iter().map(interface).collect();
        let outside = self.outside(before, &named);
        let carrier = tunnel::interface(settings);
        let is_ours = |name: &str| name == TUN || name == carrier || OWN_INTERFACES.contains(&name);
        let mut facts = Facts::default();
        for link in self.links {
            if link.is_loopback_or_ptp || link.is_port || is_ours(&link.name) || outside.contains(&link.name) {
                continue;
            }
            let prefixes = prefixes(link.index, self.addresses);
            // An interface of the home stays one while it has no address, as during a network restart.
            let was_home = before.lan.iter().any(|lan| lan.name == link.name);
            let is_bridge = link.kind.as_deref() == Some("bridge");
            let private = !prefixes.is_empty() && prefixes.iter().all(is_private);
            let certain = named.contains(&link.name) || self.zones.inside.contains(&link.name) || is_bridge && private;
            if certain && !prefixes.is_empty() || was_home && prefixes.is_empty() {
                facts.lan.push(LanInterface { name: link.name.clone(), prefixes });
            } else if private {
                facts.unsure.push(link.name.clone());
            }
        }
        // Before the network is up, or without a port in use, a network has no interface. The guard names it already.
        let exists = |name: &String| self.links.iter().any(|link| link.name == *name);
        facts.missing =
            named.into_iter().filter(|name| !exists(name) && !self.zones.configured.contains(name)).collect();
        let of_wans = settings.line.wans.iter().map(|wan| wan.device.as_ref().unwrap_or(&wan.network));
        facts.missing.extend(of_wans.filter(|name| !exists(name) && !self.zones.configured.contains(*name)).cloned());
        facts.wan = line_in_use(settings, self.links, self.routes);
        facts.networks = self.networks(&facts.lan, before);
        facts.outside = outside.into_iter().collect();
        facts.lan.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        facts.unsure.sort_unstable();
        if settings.role == Role::Endpoint || settings.own_policy().is_some() {
            facts.on_link = self.on_link(is_ours);
            #[cfg(feature = "endpoint")]
            facts
                .exits
                .extend(self.links.iter().filter(|link| !is_ours(&link.name)).filter_map(|link| self.exit(link)));
        }
        facts
    }

    /// The home's networks: on its interfaces `lan`, routed to them, and those of `before` while one of the interfaces
    /// is down or has no address. A packet to a network of an interface that is down would follow the default route.
    fn networks(&self, lan: &[LanInterface], before: &Facts) -> Vec<Prefix> {
        let index_of = |name: &str| self.links.iter().find(|link| link.name == name).map(|link| link.index);
        let indices: Vec<u32> = lan.iter().filter_map(|lan| index_of(&lan.name)).collect();
        let is_home = |route: &&RouteEntry| {
            // A shorter prefix is a way out of the home.
            let is_network = route.prefix.length >= if route.prefix.address.is_ipv4() { 8 } else { 16 };
            let is_multicast = route.prefix.address.is_multicast();
            let is_local = matches!(route.prefix.address, IpAddr::V6(address) if address.is_unicast_link_local());
            let to_home = route.oif.is_some_and(|index| indices.contains(&index));
            route.kind == libc::RTN_UNICAST && is_network && to_home && !is_multicast && !is_local && !is_ours(route)
        };
        let routed = self.routes.iter().filter(is_home).map(|route| route.prefix.network());
        let now = lan.iter().flat_map(|lan| lan.prefixes.iter().copied()).chain(routed);
        let is_down = |name: &str| {
            let up = self.links.iter().any(|link| link.name == name && link.up);
            !up || !lan.iter().any(|lan| lan.name == name && !lan.prefixes.is_empty())
        };
        let keeps = before.lan.iter().any(|lan| is_down(&lan.name));
        without_nested(now.chain(before.networks.iter().copied().filter(|_| keeps)))
    }

    /// The networks that this host reaches without a gateway, apart from those of millpond's interfaces.
    fn on_link(&self, is_ours: impl Fn(&str) -> bool) -> Vec<Prefix> {
        let foreign = self.links.iter().filter(|link| !is_ours(&link.name));
        let foreign: Vec<u32> = foreign.map(|link| link.index).collect();
        let is_on_link = |route: &&RouteEntry| {
            // Shorter prefixes are a way out, such as 0.0.0.0/1 of a VPN or 2000::/3 of an IPv6 tunnel.
            let is_network = route.prefix.length >= if route.prefix.address.is_ipv4() { 8 } else { 16 };
            let has_link = route.oif.is_some_and(|index| foreign.contains(&index));
            route.kind == libc::RTN_UNICAST && !route.has_gateway && is_network && has_link
        };
        in_order(self.routes.iter().filter(is_on_link).map(|route| route.prefix.network()))
    }

    /// The interface, if it is a tunnel to one peer, with an address, and up.
    #[cfg(feature = "endpoint")]
    fn exit(&self, link: &LinkEntry) -> Option<ExitInterface> {
        let prefixes = prefixes(link.index, self.addresses);
        let families = [true, false].map(|is_v4| prefixes.iter().any(|prefix| prefix.address.is_ipv4() == is_v4));
        let is_tunnel = link.up && link.is_loopback_or_ptp && link.name != "lo" && families != [false; 2];
        is_tunnel.then(|| ExitInterface { name: link.name.clone(), families })
    }

    /// Names of the outside interfaces. An interface that was outside in `before` stays so, unless the settings or the
    /// firewall assign it to the home.
    fn outside(&self, before: &Facts, named: &BTreeSet<String>) -> BTreeSet<String> {
        let is_foreign_default =
            |route: &&RouteEntry| route.prefix.length == 0 && route.kind == libc::RTN_UNICAST && !is_ours(route);
        let defaults = self.routes.iter().filter(is_foreign_default);
        let indices: Vec<u32> = defaults.flat_map(|route| route.oif.iter().chain(&route.hops)).copied().collect();
        let with_default = self.links.iter().filter(|link| indices.contains(&link.index)).map(|link| link.name.clone());
        let is_home = |name: &&String| named.contains(*name) || self.zones.inside.contains(*name);
        let earlier = before.outside.iter().filter(|name| !is_home(name)).cloned();
        with_default.chain(self.zones.outside.iter().cloned()).chain(earlier).collect()
    }
}

fn is_ours(route: &RouteEntry) -> bool {
    route.protocol == ROUTE_PROTOCOL
}

/// A home's network has private IPv4 addresses; its IPv6 addresses may be of any kind.
fn is_private(prefix: &Prefix) -> bool {
    match prefix.address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(_) => true,
    }
}

fn prefixes(index: u32, addresses: &[AddressEntry]) -> Vec<Prefix> {
    let of_it = addresses.iter().filter(|address| address.index == index);
    in_order(of_it.map(|address| address.prefix.network()).filter(|prefix| match prefix.address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    }))
}

/// The prefixes in order, each once.
fn in_order(prefixes: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = prefixes.collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::config::model::{Network, Policy};
    use crate::plan::routing::Family;

    fn settings() -> Settings {
        let network =
            Network { name: "iot".into(), device: Some("eth0.3".into()), policy: Policy::Shape, strict: false };
        Settings { networks: vec![network], ..example::router() }
    }

    fn view() -> (Vec<LinkEntry>, Vec<AddressEntry>) {
        let link = |index, name: &str, kind: Option<&str>, is_loopback_or_ptp| LinkEntry {
            index,
            name: name.into(),
            kind: kind.map(str::to_owned),
            mtu: 1500,
            up: true,
            is_loopback_or_ptp,
            is_port: name == "lan1",
            master: None,
            lower: None,
        };
        let links = vec![
            link(1, "lo", None, true),
            link(2, "eth0.3", Some("vlan"), false),
            link(3, "wan", None, false),
            link(4, "br-lan", Some("bridge"), false),
            link(5, "mpwg0", Some("wireguard"), true),
            link(6, "eth1", None, false),
            link(7, "br-modem", Some("bridge"), false),
            link(8, "lan1", None, false),
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
            address(6, "10.0.0.5", 24),
            address(7, "198.51.100.3", 24),
            address(8, "192.168.9.1", 24),
        ];
        (links, addresses)
    }

    fn default_route(oif: Option<u32>, hops: Vec<u32>, protocol: u8) -> RouteEntry {
        let kind = libc::RTN_UNICAST;
        RouteEntry {
            protocol,
            table: 254,
            prefix: Prefix::all(Family::V4),
            metric: 0,
            kind,
            oif,
            hops,
            has_gateway: true,
        }
    }

    fn facts(routes: &[RouteEntry], zones: &Zones, before: &Facts) -> Facts {
        let (links, addresses) = view();
        HostView { links: &links, addresses: &addresses, routes, zones }.facts(&settings(), before)
    }

    fn names(facts: &Facts) -> Vec<&str> {
        facts.lan.iter().map(|lan| lan.name.as_str()).collect()
    }

    #[test]
    fn an_interface_with_a_default_route_is_not_the_homes() {
        let nothing = (Zones::default(), Facts::default());
        let one = facts(&[default_route(Some(3), vec![], 3)], &nothing.0, &nothing.1);
        assert_eq!(names(&one), ["br-lan", "eth0.3"]);
        assert_eq!((&one.outside[..], &one.unsure[..]), (&["wan".to_owned()][..], &["eth1".to_owned()][..]));
        let two = facts(&[default_route(None, vec![3, 2], 3)], &nothing.0, &nothing.1);
        assert_eq!(names(&two), ["br-lan"]);
        // Without a default route the WAN is not mistaken for the home, and millpond's own default route does not
        // count.
        for routes in [vec![], vec![default_route(Some(4), vec![], ROUTE_PROTOCOL)]] {
            let none = facts(&routes, &nothing.0, &nothing.1);
            assert_eq!(names(&none), ["br-lan", "eth0.3"]);
            assert_eq!(none.unsure, ["eth1", "wan"]);
        }
    }

    #[test]
    fn an_interface_that_once_had_a_default_route_stays_outside() {
        let zones = Zones::default();
        let before = facts(&[default_route(Some(4), vec![], 3)], &zones, &Facts::default());
        assert_eq!(names(&before), ["eth0.3"]);
        let after = facts(&[], &zones, &before);
        assert_eq!((names(&after), &after.outside[..]), (vec!["eth0.3"], &["br-lan".to_owned()][..]));
    }

    #[test]
    fn firewall_zones_decide() {
        let zones =
            Zones { inside: ["eth1".to_owned()].into(), outside: ["br-lan".to_owned()].into(), ..Zones::default() };
        let facts = facts(&[default_route(Some(3), vec![], 3)], &zones, &Facts::default());
        assert_eq!(names(&facts), ["eth0.3", "eth1"]);
        assert_eq!(facts.unsure, [""; 0]);
    }

    #[test]
    fn an_interface_is_missing_if_no_network_is_configured_on_it() {
        let view = HostView { links: &[], addresses: &[], routes: &[], zones: &Zones::default() };
        assert_eq!(view.facts(&settings(), &Facts::default()).missing, ["eth0.3"]);
        let zones = Zones { configured: ["eth0.3".to_owned()].into(), ..Zones::default() };
        let view = HostView { zones: &zones, ..view };
        assert_eq!(view.facts(&settings(), &Facts::default()).missing, [""; 0]);
    }

    #[test]
    fn an_interface_of_the_home_stays_one_without_addresses() {
        let (links, _) = view();
        let lan = LanInterface { name: "br-lan".into(), prefixes: Vec::new() };
        let before = Facts { lan: vec![lan], ..Facts::default() };
        let view = HostView { links: &links, addresses: &[], routes: &[], zones: &Zones::default() };
        assert_eq!(names(&view.facts(&settings(), &before)), ["br-lan"]);
    }

    #[test]
    fn networks_are_kept_while_an_interface_is_down() {
        let shown = |facts: &Facts| facts.networks.iter().map(Prefix::to_string).collect::<Vec<_>>();
        let routed = |prefix: &str, oif, protocol| RouteEntry {
            prefix: Prefix::parse(prefix).unwrap(),
            ..default_route(Some(oif), vec![], protocol)
        };
        // One behind a router in the home, one behind the WAN, millpond's own, and what leads out.
        let routes = [
            routed("10.20.0.0/16", 4, 3),
            routed("10.30.0.0/16", 3, 3),
            routed("10.40.0.0/16", 4, ROUTE_PROTOCOL),
            routed("0.0.0.0/1", 4, 3),
            routed("fe80::/64", 4, 2),
            routed("ff00::/8", 4, 2),
            routed("fd00::/60", 4, 2),
        ];
        let zones = Zones {
            inside: ["br-lan".to_owned(), "eth0.3".to_owned()].into(),
            outside: ["wan".to_owned()].into(),
            ..Zones::default()
        };
        let (mut links, addresses) = view();
        let all = ["10.20.0.0/16", "192.168.1.0/24", "192.168.3.0/24", "fd00::/60"];
        let facts = |links: &[LinkEntry], addresses: &[AddressEntry], routes: &[RouteEntry], before: &Facts| {
            HostView { links, addresses, routes, zones: &zones }.facts(&settings(), before)
        };
        let before = facts(&links, &addresses, &routes, &Facts::default());
        assert_eq!(shown(&before), all);
        // A network that has been replaced is the home's no longer.
        let moved: Vec<AddressEntry> = addresses
            .iter()
            .map(|entry| match entry.prefix.address.to_string().as_str() {
                "192.168.1.1" => AddressEntry { prefix: Prefix::parse("192.168.7.1/24").unwrap(), ..*entry },
                _ => *entry,
            })
            .collect();
        assert_eq!(shown(&facts(&links, &moved, &[], &before)), ["192.168.3.0/24", "192.168.7.0/24", "fd00::/60"]);
        // Without its addresses, down, and gone.
        let none: Vec<AddressEntry> = addresses.iter().filter(|entry| entry.index != 4).copied().collect();
        assert_eq!(shown(&facts(&links, &none, &[], &before)), all);
        let br_lan = links.iter().position(|link| link.name == "br-lan").unwrap();
        links[br_lan].up = false;
        assert_eq!(shown(&facts(&links, &addresses, &[], &before)), all);
        links.remove(br_lan);
        assert_eq!(shown(&facts(&links, &none, &[], &before)), all);
    }

    #[test]
    fn an_endpoints_own_networks_are_those_without_a_gateway() {
        let (links, addresses) = view();
        let route = |network: &str, length, oif, has_gateway, kind| RouteEntry {
            prefix: Prefix { address: network.parse().unwrap(), length },
            has_gateway,
            kind,
            ..default_route(Some(oif), Vec::new(), 2)
        };
        let routes = [
            default_route(Some(3), vec![], 3),
            route("198.51.100.0", 24, 3, false, libc::RTN_UNICAST),
            route("2001:db8::", 64, 3, false, libc::RTN_UNICAST),
            route("203.0.113.64", 26, 6, false, libc::RTN_UNICAST),
            route("192.0.2.0", 24, 3, true, libc::RTN_UNICAST),
            route("198.51.100.255", 32, 3, false, libc::RTN_BROADCAST),
            route("10.77.0.2", 32, 5, false, libc::RTN_UNICAST),
            route("128.0.0.0", 1, 6, false, libc::RTN_UNICAST),
            route("2000::", 3, 6, false, libc::RTN_UNICAST),
            route("198.51.100.0", 24, 6, false, libc::RTN_UNICAST),
        ];
        let view = HostView { links: &links, addresses: &addresses, routes: &routes, zones: &Zones::default() };
        let on_link = |settings| view.facts(&settings, &Facts::default()).on_link;
        let shown: Vec<String> = on_link(example::endpoint()).iter().map(Prefix::to_string).collect();
        assert_eq!(shown, ["198.51.100.0/24", "203.0.113.64/26", "2001:db8::/64"]);
        assert_eq!(on_link(settings()), []);
    }

    #[test]
    fn prefixes_are_networks_without_link_local_addresses() {
        let facts = facts(&[], &Zones::default(), &Facts::default());
        let shown: Vec<String> = facts.lan[0].prefixes.iter().map(Prefix::to_string).collect();
        assert_eq!(shown, ["192.168.1.0/24", "fd00::/60"]);
    }
}
