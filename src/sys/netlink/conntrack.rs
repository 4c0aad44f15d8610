//! Connection tracking: lists and deletes the kernel's conntrack entries, which is needed when a device's policy
//! changes. A deleted connection also leaves the flow tables within about a second
//! (net/netfilter/nf_flow_table_core.c).

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::addr::address;
use super::error::NetlinkError;
use super::message::{Body, attribute};
use super::request::NetlinkRequest;
use super::socket::Netlink;

// linux/netfilter/nfnetlink_conntrack.h
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
/// `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC`.
const SOURCES: [u16; 2] = [1, 3];
/// `CTA_IP_V4_DST` and `CTA_IP_V6_DST`.
const DESTINATIONS: [u16; 2] = [2, 4];

/// The translated source address of each connection from an address that `is_selected` accepts and that NAT gives
/// another address.
pub fn translated_addresses(is_selected: &dyn Fn(IpAddr) -> bool) -> io::Result<Vec<IpAddr>> {
    let list_error = |error: NetlinkError| io::Error::other(format!("listing connections: {error}"));
    let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize).map_err(list_error)?;
    let mut outside = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let found = netlink.for_each(GET, &header(family), |message| {
            outside.extend(translated_address(message, is_selected));
        });
        found.map_err(list_error)?;
    }
    Ok(outside)
}

/// The translated source address of the connection in `message`, if `is_selected` accepts its source and NAT gives it
/// another address.
pub fn translated_address(message: &[u8], is_selected: &dyn Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let rest = message.get(HEADER_BYTES..)?;
    let from = tuple_address(rest, CTA_TUPLE_ORIG, SOURCES).filter(|address| is_selected(*address))?;
    tuple_address(rest, CTA_TUPLE_REPLY, DESTINATIONS).filter(|back| *back != from)
}

/// The first address of a tuple whose attribute is one of `kinds`.
fn tuple_address(message: &[u8], tuple: u16, kinds: [u16; 2]) -> Option<IpAddr> {
    let ip = attribute(attribute(message, tuple)?, CTA_TUPLE_IP)?;
    kinds.into_iter().find_map(|kind| address(attribute(ip, kind)?))
}

/// Deletes every connection from or to an address that `is_selected` accepts. Returns how many it deleted.
pub fn delete(netlink: &mut Netlink, is_selected: impl Fn(IpAddr) -> bool) -> Result<usize, NetlinkError> {
    delete_found(netlink, &|message| deletion(message, &is_selected))
}

/// Deletes every UDP connection to `to`.
pub fn delete_udp(netlink: &mut Netlink, to: SocketAddr) -> Result<usize, NetlinkError> {
    delete_found(netlink, &|message| {
        let original = attribute(message.get(HEADER_BYTES..)?, CTA_TUPLE_ORIG)?;
        let protocol = attribute(original, CTA_TUPLE_PROTO)?;
        let is_udp = attribute(protocol, CTA_PROTO_NUM) == Some(&[libc::IPPROTO_UDP as u8]);
        let is_port = attribute(protocol, CTA_PROTO_DST_PORT) == Some(&to.port().to_be_bytes());
        // One of its ends is the destination of the original direction.
        let is_to = || tuple_address(message.get(HEADER_BYTES..)?, CTA_TUPLE_ORIG, DESTINATIONS);
        deletion(message, &|_| is_udp && is_port && is_to() == Some(to.ip()))
    })
}

/// Deletes the connections for whose message `request` returns the request that deletes it.
fn delete_found(netlink: &mut Netlink, request: &dyn Fn(&[u8]) -> Option<Body>) -> Result<usize, NetlinkError> {
    let mut deletions = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        netlink.for_each(GET, &header(family), |message| deletions.extend(request(message)))?;
    }
    let mut deleted = 0;
    for body in deletions {
        match netlink.request(&NetlinkRequest::change(DELETE, body)) {
            Ok(()) => deleted += 1,
            // The connection has ended since it was listed.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}

/// The request that deletes the connection in `message`, if `is_selected` accepts one of its addresses.
pub fn deletion(message: &[u8], is_selected: &impl Fn(IpAddr) -> bool) -> Option<Body> {
    let rest = message.get(HEADER_BYTES..)?;
    let ends = [tuple_address(rest, CTA_TUPLE_ORIG, SOURCES), tuple_address(rest, CTA_TUPLE_REPLY, SOURCES)];
    if !ends.into_iter().flatten().any(is_selected) {
        return None;
    }
    let original = Body(attribute(rest, CTA_TUPLE_ORIG)?.to_vec());
    let mut body = header(i32::from(message[0])).nest(CTA_TUPLE_ORIG, original);
    for kind in [CTA_ZONE, CTA_ID] {
        if let Some(value) = attribute(rest, kind) {
            body = body.attribute(kind, value);
        }
    }
    Some(body)
}

/// `struct nfgenmsg`.
fn header(family: i32) -> Body {
    Body::new(&[family as u8, 0, 0, 0])
}

const HEADER_BYTES: usize = 4;
