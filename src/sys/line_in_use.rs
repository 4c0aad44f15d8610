//! Finds out which line to the Internet is in use, among those that the settings name.

use super::netlink::link::LinkEntry;
use super::netlink::route::RouteEntry;
use crate::config::model::{Settings, Wan};
use crate::plan::ownership::ROUTE_PROTOCOL;

/// The network of the `wan` section by whose interface the main table's default route leaves: the route with the lowest
/// metric, IPv4 if there is one.
pub(super) fn line_in_use(settings: &Settings, links: &[LinkEntry], routes: &[RouteEntry]) -> Option<String> {
    let is_default = |route: &&RouteEntry| {
        let is_main = route.table == u32::from(libc::RT_TABLE_MAIN);
        let is_ours = route.protocol == ROUTE_PROTOCOL;
        is_main && route.prefix.length == 0 && route.kind == libc::RTN_UNICAST && !is_ours
    };
    let defaults = routes.iter().filter(is_default);
    let route = defaults.min_by_key(|route| (route.prefix.address.is_ipv6(), route.metric))?;
    let index = route.oif.or(route.hops.first().copied())?;
    let link = links.iter().find(|link| link.index == index)?;
    settings.line.wans.iter().find(|wan| carries(wan, &link.name)).map(|wan| wan.network.clone())
}

/// Whether a line's packets leave by that interface. netifd calls a dialled interface `PROTOCOL-NETWORK`, such as
/// `pppoe-wan`, whatever the device below.
fn carries(wan: &Wan, interface: &str) -> bool {
    let is_dialled = interface.strip_suffix(&wan.network).is_some_and(|protocol| protocol.ends_with('-'));
    is_dialled || wan.device.as_ref().unwrap_or(&wan.network) == interface
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::config::model::{Level, LineRules};
    use crate::plan::routing::{Family, Prefix};

    fn link(index: u32, name: &str) -> LinkEntry {
        LinkEntry {
            index,
            name: name.into(),
            kind: None,
            mtu: 1500,
            up: true,
            is_loopback_or_ptp: false,
            is_port: false,
            master: None,
            lower: None,
        }
    }

    fn route(oif: u32, metric: u32) -> RouteEntry {
        RouteEntry {
            protocol: 3,
            table: 254,
            prefix: Prefix::all(Family::V4),
            metric,
            kind: libc::RTN_UNICAST,
            oif: Some(oif),
            hops: Vec::new(),
            has_gateway: true,
        }
    }

    #[test]
    fn the_line_in_use_is_that_of_the_default_route() {
        let wan = |network: &str, device: Option<&str>| Wan {
            network: network.into(),
            device: device.map(Into::into),
            level: Level::Saver,
            shape: example::router().shape,
        };
        let wans = vec![wan("wired", Some("wan")), wan("lte", Some("wwan0")), wan("dsl", None)];
        let line = LineRules { wans, burst: None };
        let settings = Settings { line, ..example::router() };
        let links = [link(1, "wan"), link(2, "wwan0"), link(3, "eth9"), link(4, "pppoe-dsl")];
        let of = |routes: &[RouteEntry]| line_in_use(&settings, &links, routes);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[route(1, 10), route(2, 20)]).as_deref(), Some("wired"), "the lower metric");
        assert_eq!(of(&[route(1, 30), route(2, 20)]).as_deref(), Some("lte"));
        assert_eq!(of(&[route(3, 0), route(2, 20)]), None, "a line without a section");
        assert_eq!(of(&[route(4, 0)]).as_deref(), Some("dsl"), "a dialled interface");
        let others = [
            RouteEntry { table: 100, ..route(2, 0) },
            RouteEntry { protocol: ROUTE_PROTOCOL, ..route(2, 0) },
            RouteEntry { prefix: Prefix::all(Family::V6), ..route(2, 0) },
        ];
        assert_eq!(of(&[&others[..], &[route(1, 50)]].concat()).as_deref(), Some("wired"));
        assert_eq!(of(&others).as_deref(), Some("lte"), "a line with IPv6 only");
        assert_eq!(of(&others[..2]), None);
    }
}
