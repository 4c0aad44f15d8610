//! Routes through rtnetlink.

use std::net::IpAddr;

use super::addr::{address, family, octets};
use super::error::NetlinkError;
use super::message::{Body, attribute, number};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::plan::ownership::ROUTE_PROTOCOL;
use crate::plan::routing::{Family, Prefix, Route, RouteKind};

/// A gateway of the other address family (`include/uapi/linux/rtnetlink.h`). The libc crate lacks it for musl.
const RTA_VIA: u16 = 18;
/// The metric of a route that limits the length of packets (`include/uapi/linux/rtnetlink.h`).
const RTAX_MTU: u16 = 2;
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;

/// A route in the kernel's list.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    pub protocol: u8,
    pub table: u32,
    pub prefix: Prefix,
    pub metric: u32,
    /// `RTN_*`.
    pub kind: u8,
    /// Interface index of a route with a single next hop.
    pub oif: Option<u32>,
    /// Interface indices of a route with several next hops.
    pub hops: Vec<u32>,
    /// Whether the route leads to other routers, so that its destinations are not neighbours of this host.
    pub has_gateway: bool,
}

/// All routes of both families.
pub fn list(netlink: &mut Netlink) -> Result<Vec<RouteEntry>, NetlinkError> {
    let mut entries = Vec::new();
    for family in [Family::V4, Family::V6] {
        let mut header = [0; HEADER_BYTES];
        header[0] = super::addr::family(Prefix::all(family).address);
        match netlink.dump(libc::RTM_GETROUTE, &Body::new(&header)) {
            // A kernel without IPv6 refuses this request, or lists the IPv4 routes again.
            Ok(messages) => {
                let of_family = messages.iter().filter(|message| message.first() == header.first());
                entries.extend(of_family.filter_map(|message| parse(message)));
            }
            Err(_) if family == Family::V6 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// The route that a packet of this host to `to` takes, as `ip route get` finds it, and the length of packets to which
/// the kernel limits it: by an option `mtu` of the route, or since it has learned so. `None` if there is no route.
pub fn lookup(netlink: &mut Netlink, to: IpAddr) -> Option<(RouteEntry, Option<u32>)> {
    let mut header = [0; HEADER_BYTES];
    (header[0], header[1]) = (family(to), Prefix::host(to).length);
    // Also say which table has the route.
    header[8..].copy_from_slice(&RTM_F_LOOKUP_TABLE.to_ne_bytes());
    let mut found = None;
    let body = Body::new(&header).attribute(libc::RTA_DST, &octets(to));
    netlink.query(libc::RTM_GETROUTE, &body, |message| found = parse(message).zip(Some(mtu(message)))).ok()?;
    found
}

fn mtu(message: &[u8]) -> Option<u32> {
    number(attribute(message.get(HEADER_BYTES..)?, libc::RTA_METRICS)?, RTAX_MTU)
}

/// The route in a message without its netlink header.
pub fn parse(message: &[u8]) -> Option<RouteEntry> {
    let rest = message.get(HEADER_BYTES..)?;
    let family = if i32::from(message[0]) == libc::AF_INET { Family::V4 } else { Family::V6 };
    let address = match attribute(rest, libc::RTA_DST) {
        Some(bytes) => address(bytes)?,
        None => Prefix::all(family).address,
    };
    Some(RouteEntry {
        protocol: message[5],
        table: number(rest, libc::RTA_TABLE).unwrap_or(u32::from(message[4])),
        prefix: Prefix { address, length: message[1] },
        metric: number(rest, libc::RTA_PRIORITY).unwrap_or(0),
        kind: message[7],
        oif: number(rest, libc::RTA_OIF),
        hops: attribute(rest, libc::RTA_MULTIPATH).map(hops).unwrap_or_default(),
        has_gateway: [libc::RTA_GATEWAY, RTA_VIA, libc::RTA_MULTIPATH]
            .into_iter()
            .any(|kind| attribute(rest, kind).is_some()),
    })
}

/// Interface indices in a list of `struct rtnexthop`.
fn hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut hops = Vec::new();
    while let Some(header) = bytes.first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        hops.push(u32::from_ne_bytes([header[4], header[5], header[6], header[7]]));
        bytes = bytes.get((length.max(8) + 3) & !3..).unwrap_or(&[]);
    }
    hops
}

/// The route in the plan's form, if it is millpond's. `name` maps an interface index to its name.
pub fn owned(entry: &RouteEntry, name: impl Fn(u32) -> Option<String>) -> Option<Route> {
    if entry.protocol != ROUTE_PROTOCOL {
        return None;
    }
    let kind = match entry.kind {
        libc::RTN_UNICAST => RouteKind::Dev(name(entry.oif?)?),
        libc::RTN_UNREACHABLE => RouteKind::Unreachable,
        libc::RTN_THROW => RouteKind::Throw,
        _ => return None,
    };
    Some(Route { table: entry.table, prefix: entry.prefix, metric: entry.metric, kind })
}

/// Adds a route. `oif` is the index of its interface.
pub fn add(route: &Route, oif: Option<u32>) -> NetlinkRequest {
    let scope = if oif.is_some() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
    NetlinkRequest::create(libc::RTM_NEWROUTE, body(route, oif, scope))
}

/// Removes a route.
pub fn delete(route: &Route, oif: Option<u32>) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELROUTE, body(route, oif, libc::RT_SCOPE_NOWHERE))
}

fn body(route: &Route, oif: Option<u32>, scope: u8) -> Body {
    let mut header = [0; HEADER_BYTES];
    header[0] = family(route.prefix.address);
    header[1] = route.prefix.length;
    header[5] = ROUTE_PROTOCOL;
    header[6] = scope;
    header[7] = match route.kind {
        RouteKind::Dev(_) => libc::RTN_UNICAST,
        RouteKind::Unreachable => libc::RTN_UNREACHABLE,
        RouteKind::Throw => libc::RTN_THROW,
    };
    let mut body = Body::new(&header).number(libc::RTA_TABLE, route.table);
    if route.prefix.length != 0 {
        body = body.attribute(libc::RTA_DST, &octets(route.prefix.address));
    }
    if let Some(index) = oif {
        body = body.number(libc::RTA_OIF, index);
    }
    if route.metric != 0 {
        body = body.number(libc::RTA_PRIORITY, route.metric);
    }
    body
}

/// `struct rtmsg`.
const HEADER_BYTES: usize = 12;

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::sys::netlink::golden::Layout;

    #[test]
    fn a_route_reads_back_as_it_was_written() {
        let host = Prefix::host([10, 77, 0, 1]);
        for (route, oif) in [
            (route(host, 0, dev()), Some(7)),
            (route(Prefix::all(Family::V4), 0xff00_2000, RouteKind::Unreachable), None),
            (route(Prefix::all(Family::V6), 1024, RouteKind::Throw), None),
        ] {
            let entry = parse(&body(&route, oif, libc::RT_SCOPE_LINK).0).unwrap();
            assert_eq!(owned(&entry, |_| Some("mpwg0".into())), Some(route));
        }
    }

    const LAYOUT: Layout = Layout { header_bytes: HEADER_BYTES, nested: &[] };

    fn route(prefix: Prefix, metric: u32, kind: RouteKind) -> Route {
        Route { table: 28_016, prefix, metric, kind }
    }

    fn dev() -> RouteKind {
        RouteKind::Dev("mpwg0".into())
    }

    #[test]
    fn ipv4_routes_are_added_as_ip_adds_them() {
        // ip route add 10.77.0.1/32 dev mpwg0 proto 109 table 28016
        let golden = "34000000 18000506 03c3086b 00000000 02200000 006dfd01 00000000 08000100 0a4d0001 08000f00 \
            706d0000 08000400 02000000";
        let host = route(Prefix::host([10, 77, 0, 1]), 0, dev());
        assert_eq!(LAYOUT.ours(&add(&host, Some(2))), LAYOUT.golden(golden));
        // ip route add default dev mpwg0 proto 109 table 28016
        let golden = "2c000000 18000506 03c3086b 00000000 02000000 006dfd01 00000000 08000f00 706d0000 08000400 \
            02000000";
        let all = Prefix::all(Family::V4);
        assert_eq!(LAYOUT.ours(&add(&route(all, 0, dev()), Some(2))), LAYOUT.golden(golden));
        // ip route add unreachable default metric 4278198272 proto 109 table 28016
        let golden = "2c000000 18000506 03c3086b 00000000 02000000 006d0007 00000000 08000600 002000ff 08000f00 \
            706d0000";
        let unreachable = route(all, 0xff00_2000, RouteKind::Unreachable);
        assert_eq!(LAYOUT.ours(&add(&unreachable, None)), LAYOUT.golden(golden));
        // ip route add throw 192.168.1.0/24 proto 109 table 28016
        let golden = "2c000000 18000506 03c3086b 00000000 02180000 006d0009 00000000 08000100 c0a80100 08000f00 \
            706d0000";
        let network = Prefix { address: [192, 168, 1, 0].into(), length: 24 };
        assert_eq!(LAYOUT.ours(&add(&route(network, 0, RouteKind::Throw), None)), LAYOUT.golden(golden));
    }

    /// ip names the destination of an IPv6 default route, `::`, although its length is 0.
    #[test]
    fn ipv6_routes_are_added_as_ip_adds_them() {
        let all = Prefix::all(Family::V6);
        // ip -6 route add unreachable default metric 4278198272 proto 109 table 28016
        let mut golden = LAYOUT.golden(
            "40000000 18000506 03c3086b 00000000 0a000000 006d0007 00000000 14000100 00000000 00000000 \
            00000000 00000000 08000600 002000ff 08000f00 706d0000",
        );
        assert_eq!(golden.attributes.remove([libc::RTA_DST].as_slice()), Some(vec![0; 16]));
        let unreachable = route(all, 0xff00_2000, RouteKind::Unreachable);
        assert_eq!(LAYOUT.ours(&add(&unreachable, None)), golden);
        // ip -6 route add default dev mpwg0 proto 109 table 28016
        let mut golden = LAYOUT.golden(
            "40000000 18000506 03c3086b 00000000 0a000000 006d0001 00000000 14000100 00000000 00000000 \
            00000000 00000000 08000f00 706d0000 08000400 02000000",
        );
        assert_eq!(golden.attributes.remove([libc::RTA_DST].as_slice()), Some(vec![0; 16]));
        // IPv6 has no scope; the kernel does not read it.
        golden.header[6] = libc::RT_SCOPE_LINK;
        assert_eq!(LAYOUT.ours(&add(&route(all, 0, dev()), Some(2))), golden);
    }

    #[test]
    fn routes_are_removed_as_ip_removes_them() {
        // ip route del 10.77.0.1/32 dev mpwg0 proto 109 table 28016
        let mut golden = LAYOUT.golden(
            "34000000 19000500 03c3086b 00000000 02200000 006dff00 00000000 08000100 0a4d0001 08000f00 \
            706d0000 08000400 02000000",
        );
        // ip removes a route of any type.
        golden.header[7] = libc::RTN_UNICAST;
        let host = route(Prefix::host([10, 77, 0, 1]), 0, dev());
        assert_eq!(LAYOUT.ours(&delete(&host, Some(2))), golden);
        // ip route del unreachable default metric 4278198272 proto 109 table 28016
        let golden = "2c000000 19000500 03c3086b 00000000 02000000 006dff07 00000000 08000600 002000ff 08000f00 \
            706d0000";
        let unreachable = route(Prefix::all(Family::V4), 0xff00_2000, RouteKind::Unreachable);
        assert_eq!(LAYOUT.ours(&delete(&unreachable, None)), LAYOUT.golden(golden));
    }
}
