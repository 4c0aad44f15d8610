//! Connections that the kernel follows, to be forgotten when their device's policy changes. What the kernel forgets it
//! no longer passes by its flow tables either, within about a second (net/netfilter/nf_flow_table_core.c).

use std::io;
use std::net::IpAddr;

use nix::libc;

use super::addr::address;
use super::netlink::{Body, Mode, Netlink, NetlinkError, attribute};

// linux/netfilter/nfnetlink_conntrack.h
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
/// `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC`.
const SOURCES: [u16; 2] = [1, 3];
/// `CTA_IP_V4_DST` and `CTA_IP_V6_DST`.
const DESTINATIONS: [u16; 2] = [2, 4];

/// The addresses that connections bear outside which a device began whose address `is_theirs`, where those are others
/// than its own: one for each connection.
pub fn translated(is_theirs: &dyn Fn(IpAddr) -> bool) -> io::Result<Vec<IpAddr>> {
    let asking = |error: NetlinkError| io::Error::other(format!("asking the kernel for its connections: {error}"));
    let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize).map_err(asking)?;
    let mut outside = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let found = netlink.each(GET, &header(family), |message| {
            let Some(rest) = message.get(HEADER_BYTES..) else { return };
            let from = end(rest, CTA_TUPLE_ORIG, SOURCES).filter(|address| is_theirs(*address));
            let back = end(rest, CTA_TUPLE_REPLY, DESTINATIONS);
            outside.extend(from.zip(back).and_then(|(from, back)| (from != back).then_some(back)));
        });
        found.map_err(asking)?;
    }
    Ok(outside)
}

/// One of the addresses of a tuple.
fn end(message: &[u8], tuple: u16, kinds: [u16; 2]) -> Option<IpAddr> {
    let ip = attribute(attribute(message, tuple)?, CTA_TUPLE_IP)?;
    kinds.into_iter().find_map(|kind| address(attribute(ip, kind)?))
}

/// Forgets every connection that a device began whose address `is_theirs`, or that was begun to it; gives how many.
pub(super) fn forget(netlink: &mut Netlink, is_theirs: impl Fn(IpAddr) -> bool) -> Result<usize, NetlinkError> {
    let mut doomed = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        netlink.each(GET, &header(family), |message| doomed.extend(deletion(message, &is_theirs)))?;
    }
    let mut forgotten = 0;
    for body in &doomed {
        match netlink.request(DELETE, Mode::Change, body) {
            Ok(()) => forgotten += 1,
            // It ended by itself meanwhile.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// The request that deletes the connection of `message`, if it is one of those that are looked for.
fn deletion(message: &[u8], is_theirs: &impl Fn(IpAddr) -> bool) -> Option<Body> {
    let rest = message.get(HEADER_BYTES..)?;
    let ends = [end(rest, CTA_TUPLE_ORIG, SOURCES), end(rest, CTA_TUPLE_REPLY, SOURCES)];
    if !ends.into_iter().flatten().any(is_theirs) {
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
