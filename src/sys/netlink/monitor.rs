//! Netlink multicast: detects changes that other programs make in the kernel.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};

use super::link::{self, LinkEntry};
use super::message::{NLMSG_HEADER_BYTES, attribute, string};
use crate::plan::nft::TableName;
use crate::plan::ownership::ROUTE_PROTOCOL;

/// What notifications say, the least urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelChange {
    /// Nothing changed that may concern millpond.
    None,
    /// Something changed that may concern millpond.
    Relevant,
    /// A tunnel is a port of another interface: until a reconcile job closes it, it may carry frames of the home away.
    TunnelPort,
}

/// A socket that receives notifications of one kind of change.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    judge: fn(u16, &[u8]) -> KernelChange,
}

/// Size of the buffer for one datagram. A longer datagram is truncated and counts as relevant.
pub const DATAGRAM_BYTES: usize = 8192;

impl Monitor {
    /// Listens for changes of interfaces, addresses, routes, rules and queueing disciplines.
    pub fn routing() -> io::Result<Monitor> {
        /// `RTNLGRP_*` of include/uapi/linux/rtnetlink.h.
        const LINK: u32 = 1;
        const TC: u32 = 4;
        const IPV4_IFADDR: u32 = 5;
        const IPV4_ROUTE: u32 = 7;
        const IPV4_RULE: u32 = 8;
        const IPV6_IFADDR: u32 = 9;
        const IPV6_ROUTE: u32 = 11;
        const IPV6_RULE: u32 = 19;
        let groups = [LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE];
        Ok(Monitor { socket: listen(SockProtocol::NetlinkRoute, &groups)?, judge: routing_change })
    }

    /// Listens for changes of millpond's nftables tables.
    pub fn nftables() -> io::Result<Monitor> {
        const NFNLGRP_NFTABLES: u32 = 7;
        Ok(Monitor { socket: listen(SockProtocol::NetlinkNetFilter, &[NFNLGRP_NFTABLES])?, judge: table_change })
    }

    /// Receives at most `max` waiting datagrams. Returns the most urgent change. A relevant one is also assumed after
    /// an overflow of the socket's buffer.
    pub fn receive(&self, buffer: &mut [u8; DATAGRAM_BYTES], max: usize) -> io::Result<KernelChange> {
        let mut change = KernelChange::None;
        for _ in 0..max {
            match socket::recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
                Ok(length) => {
                    let judged = buffer.get(..length).and_then(|whole| most_urgent(self.judge, whole));
                    change = change.max(judged.unwrap_or(KernelChange::Relevant));
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::ENOBUFS) => change = change.max(KernelChange::Relevant),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(change)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn listen(protocol: SockProtocol, groups: &[u32]) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    let groups = groups.iter().fold(0, |mask, group| mask | 1 << (group - 1));
    socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// The most urgent change in a datagram of each protocol that a [`Monitor`] listens to, for fuzzing.
#[cfg(feature = "lab")]
pub fn judge_datagram(datagram: &[u8]) -> [Option<KernelChange>; 2] {
    [most_urgent(routing_change, datagram), most_urgent(table_change, datagram)]
}

/// The most urgent change in a datagram; `None` without a readable message.
fn most_urgent(judge: fn(u16, &[u8]) -> KernelChange, datagram: &[u8]) -> Option<KernelChange> {
    messages(datagram).map(|(kind, body)| judge(kind, body)).max()
}

/// Type and body of each message in a datagram; a malformed message ends the list.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let body = rest.get(NLMSG_HEADER_BYTES..length)?;
        rest = rest.get((length + 3) & !3..).unwrap_or(&[]);
        Some((kind, body))
    })
}

/// Judges a change of interfaces, addresses, routes or rules, which may concern millpond's own, or the home's and the
/// WAN interfaces. The snapshot that follows shows whether it matters.
fn routing_change(kind: u16, body: &[u8]) -> KernelChange {
    match kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => link_change(kind, body),
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => relevant_if(is_relevant_route(body)),
        libc::RTM_NEWADDR
        | libc::RTM_DELADDR
        | libc::RTM_NEWRULE
        | libc::RTM_DELRULE
        | libc::RTM_NEWQDISC
        | libc::RTM_DELQDISC
        | libc::RTM_NEWTCLASS
        | libc::RTM_DELTCLASS => KernelChange::Relevant,
        _ => KernelChange::None,
    }
}

fn relevant_if(is_relevant: bool) -> KernelChange {
    if is_relevant { KernelChange::Relevant } else { KernelChange::None }
}

/// Ignores bridge ports, whose messages have their own family, and Wi-Fi scans, whose messages have their own
/// attribute.
fn link_change(kind: u16, body: &[u8]) -> KernelChange {
    const IFINFOMSG_BYTES: usize = 16;
    const IFLA_WIRELESS: u16 = 11;
    let Some(attributes) = body.get(IFINFOMSG_BYTES..) else { return KernelChange::None };
    if i32::from(body[0]) != libc::AF_UNSPEC || attribute(attributes, IFLA_WIRELESS).is_some() {
        return KernelChange::None;
    }
    let opens_tunnel_port = |link: LinkEntry| link.is_port && link.kind.as_deref().is_some_and(link::is_tunnel_kind);
    match kind == libc::RTM_NEWLINK && link::parse(body).is_some_and(opens_tunnel_port) {
        true => KernelChange::TunnelPort,
        false => KernelChange::Relevant,
    }
}

/// Our routes, and default routes, which show the WAN interface. A mesh may change other routes continuously.
fn is_relevant_route(body: &[u8]) -> bool {
    const RTMSG_BYTES: usize = 12;
    let Some(header) = body.get(..RTMSG_BYTES) else { return false };
    let (destination_bits, protocol) = (header[1], header[5]);
    protocol == ROUTE_PROTOCOL || destination_bits == 0
}

/// Every message except the generation counter starts with the table's name (`NFTA_*_TABLE`, number 1).
fn table_change(_: u16, body: &[u8]) -> KernelChange {
    const NFGENMSG_BYTES: usize = 4;
    const NFTA_TABLE: u16 = 1;
    let name = body.get(NFGENMSG_BYTES..).and_then(|attributes| string(attributes, NFTA_TABLE));
    relevant_if(name.is_some_and(|name| [TableName::Guard, TableName::Tunnel].iter().any(|ours| ours.as_str() == name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netlink::message::Body;

    fn datagram(kind: u16, body: &Body) -> Vec<u8> {
        let mut bytes = (16 + body.0.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(&body.0);
        bytes
    }

    fn route(protocol: u8, table: u32, bits: u8) -> Vec<u8> {
        let mut header = [0; 12];
        (header[0], header[1], header[5]) = (2, bits, protocol);
        datagram(libc::RTM_DELROUTE, &Body::new(&header).number(libc::RTA_TABLE, table))
    }

    #[test]
    fn routes_of_a_mesh_are_ignored() {
        for (datagram, wanted) in [
            (route(ROUTE_PROTOCOL, 254, 32), KernelChange::Relevant),
            (route(3, 254, 0), KernelChange::Relevant),
            (route(42, 254, 24), KernelChange::None),
        ] {
            assert_eq!(most_urgent(routing_change, &datagram).unwrap(), wanted, "{datagram:?}");
        }
    }

    #[test]
    fn only_our_tables_are_relevant_anywhere_in_a_datagram() {
        let element = |table| datagram(0xa0c, &Body::new(&[1, 0, 0, 0]).string(1, table));
        let judged = |datagram: &[u8]| most_urgent(table_change, datagram).unwrap();
        assert_eq!(judged(&element("fw4")), KernelChange::None);
        assert_eq!(judged(&[element("fw4"), element("millpond")].concat()), KernelChange::Relevant);
        assert_eq!(judged(&element("millpond_tunnel")), KernelChange::Relevant);
        let generation = datagram(0xa0f, &Body::new(&[0, 0, 0, 1]).number(1, 77));
        assert_eq!(judged(&generation), KernelChange::None);
    }

    #[test]
    fn wifi_scans_and_bridge_ports_are_ignored() {
        let link = |family, attribute| {
            let mut header = [0; 16];
            header[0] = family;
            datagram(libc::RTM_NEWLINK, &Body::new(&header).number(attribute, 1))
        };
        assert_eq!(most_urgent(routing_change, &link(0, libc::IFLA_MTU)).unwrap(), KernelChange::Relevant);
        assert_eq!(most_urgent(routing_change, &link(0, 11)).unwrap(), KernelChange::None);
        assert_eq!(most_urgent(routing_change, &link(7, libc::IFLA_MTU)).unwrap(), KernelChange::None);
    }

    #[test]
    fn a_tunnel_that_becomes_a_port_is_urgent() {
        let link = |message, kind: &str, master| {
            let info = Body::default().string(libc::IFLA_INFO_KIND, kind);
            let body = Body::new(&[0; 16]).string(libc::IFLA_IFNAME, "vx0").nest(libc::IFLA_LINKINFO, info);
            datagram(message, &if master > 0 { body.number(libc::IFLA_MASTER, master) } else { body })
        };
        for (datagram, wanted) in [
            (link(libc::RTM_NEWLINK, "vxlan", 3), KernelChange::TunnelPort),
            (link(libc::RTM_NEWLINK, "tun", 3), KernelChange::TunnelPort),
            (link(libc::RTM_NEWLINK, "vxlan", 0), KernelChange::Relevant),
            (link(libc::RTM_NEWLINK, "vlan", 3), KernelChange::Relevant),
            (link(libc::RTM_DELLINK, "vxlan", 3), KernelChange::Relevant),
        ] {
            assert_eq!(most_urgent(routing_change, &datagram).unwrap(), wanted);
        }
    }

    #[test]
    fn truncated_datagrams_do_not_panic() {
        let complete = route(1, 2, 3);
        for length in 0..complete.len() {
            for judge in [routing_change, table_change] {
                messages(&complete[..length]).for_each(|(kind, body)| _ = judge(kind, body));
            }
        }
        let zero_length = [0u8; 64];
        assert_eq!(messages(&zero_length).count(), 0);
    }
}
