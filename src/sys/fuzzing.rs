//! The readers of the kernel's answers and of `nft`'s, for fuzzing. Each states what must hold for any input.

use super::flow_table::FlowTables;
use super::netlink::message::NLMSG_HEADER_BYTES;
use super::netlink::request::NetlinkRequest;
use super::netlink::{
    addr, class, conntrack, link, monitor, neighbour, qdisc, route, rule, socket, wireguard, wireless,
};

/// Reads a datagram as notifications, and as the answer to the request that its first message names.
///
/// # Panics
/// If a message that was read differs once it is written and read again.
pub fn netlink_datagram(bytes: &[u8]) {
    _ = monitor::judge_datagram(bytes);
    let sequence = bytes.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_ne_bytes(*chunk));
    let mut messages = Vec::new();
    _ = socket::read_datagram(bytes, sequence, &mut false, |message| messages.push(message.to_vec()));
    messages.iter().for_each(|message| netlink_message(message));
    _ = wireguard::parse(&messages);
}

/// Reads a message without its netlink header as every kind of object.
///
/// # Panics
/// If an object that was read differs once it is written and read again.
pub fn netlink_message(message: &[u8]) {
    const INDEX: u32 = 7;
    _ = (link::parse(message), neighbour::parse(message), rule::parse_other(message), wireless::parse(message));
    if let Some(address) = addr::parse(message) {
        let again = addr::parse(&body(&addr::add(address.index, address.prefix)));
        assert_eq!(again.map(|again| (again.index, again.prefix)), Some((address.index, address.prefix)));
    }
    if let Some(class) = class::parse(message) {
        assert_eq!(class::parse(&body(&class::add(INDEX, &class))), Some(class));
    }
    if let Some(qdisc) = qdisc::parse(message) {
        let again = qdisc::parse(&body(&qdisc::add(INDEX, &qdisc)));
        assert_eq!(again, Some(qdisc));
    }
    if let Some(rule) = rule::parse(message) {
        assert_eq!(rule::parse(&body(&rule::add(&rule))), Some(rule));
    }
    let name = |index: u32| Some(format!("if{index}"));
    if let Some(entry) = route::parse(message)
        && let Some(route) = route::owned(&entry, name)
        // A route to everything is written without its destination.
        && route.prefix.length != 0
    {
        let again = route::parse(&body(&route::add(&route, entry.oif))).and_then(|entry| route::owned(&entry, name));
        assert_eq!(again, Some(route));
    }
    _ = conntrack::translated_address(message, &|address| address.is_ipv4());
    _ = conntrack::deletion(message, &|address| address.is_ipv6());
    if let Ok(installed) = wireguard::parse(&[message.to_vec()]) {
        _ = wireguard::set_device(INDEX as u16, "mpwg0", &installed.device).to_bytes(1);
        let peers = installed.peers.iter().map(|peer| wireguard::set_peer(INDEX as u16, "mpwg0", peer));
        peers.for_each(|request| _ = request.to_bytes(1));
    }
}

/// Reads a listing of flow tables.
pub fn flow_tables(listing: &str) {
    let tables = FlowTables::from_listing(listing);
    _ = tables.hardware;
}

fn body(request: &NetlinkRequest) -> Vec<u8> {
    request.to_bytes(1).split_off(NLMSG_HEADER_BYTES)
}
