//! The kernel's neighbour table: the hosts it has seen on each network.

use std::net::IpAddr;
use std::time::Duration;

use super::addr;
use super::error::NetlinkError;
use super::message::{Body, attribute, u32_at_start};
use super::socket::Netlink;
use crate::config::model::Mac;

/// The addresses of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The Ethernet address.
    pub mac: Mac,
    /// One of its IP addresses.
    pub address: IpAddr,
}

/// An entry of the neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourEntry {
    /// Index of the interface towards it.
    pub index: u32,
    /// Its addresses.
    pub neighbour: Neighbour,
    /// Time since it last answered the kernel's request, zero for a permanent entry. An entry that only the neighbour's
    /// own request has made starts with a minute, twice the default of `base_reachable_time`.
    pub age: Duration,
}

/// The neighbours of both families with a known Ethernet address.
pub fn list(netlink: &mut Netlink) -> Result<Vec<NeighbourEntry>, NetlinkError> {
    let messages = netlink.dump(libc::RTM_GETNEIGH, &everything())?;
    Ok(messages.iter().filter_map(|message| parse(message)).collect())
}

/// A request for all entries: a `struct ndmsg` of zeros.
fn everything() -> Body {
    Body::new(&[0; HEADER_BYTES])
}

/// Size of `struct ndmsg`.
const HEADER_BYTES: usize = 12;
/// `USER_HZ`: the unit of times that the kernel reports to user space, whatever its own HZ.
const TICKS_PER_SECOND: u32 = 100;

/// The entry in a message without its netlink header; `None` for multicast and the like.
pub fn parse(message: &[u8]) -> Option<NeighbourEntry> {
    let rest = message.get(HEADER_BYTES..)?;
    if u16::from_ne_bytes(*message[8..].first_chunk()?) & libc::NUD_NOARP != 0 {
        // Multicast and similar addresses.
        return None;
    }
    let mac = Mac(attribute(rest, libc::NDA_LLADDR)?.try_into().ok()?);
    let address = addr::address(attribute(rest, libc::NDA_DST)?)?;
    let is_permanent = u16::from_ne_bytes(*message[8..].first_chunk()?) & libc::NUD_PERMANENT != 0;
    let confirmed = attribute(rest, libc::NDA_CACHEINFO).and_then(u32_at_start).filter(|_| !is_permanent).unwrap_or(0);
    let age = Duration::from_secs((confirmed / TICKS_PER_SECOND).into());
    Some(NeighbourEntry { index: u32_at_start(&message[4..])?, neighbour: Neighbour { mac, address }, age })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACHABLE: u16 = 0x02;

    fn message(state: u16, destination: &[u8], mac: Option<&[u8]>) -> Vec<u8> {
        let mut header = [0; HEADER_BYTES];
        header[4..8].copy_from_slice(&7u32.to_ne_bytes());
        header[8..10].copy_from_slice(&state.to_ne_bytes());
        let mut cache = 1234u32.to_ne_bytes().to_vec();
        cache.resize(16, 0);
        let body = Body::new(&header).attribute(libc::NDA_DST, destination).attribute(libc::NDA_CACHEINFO, &cache);
        mac.into_iter().fold(body, |body, mac| body.attribute(libc::NDA_LLADDR, mac)).0
    }

    #[test]
    fn a_neighbour_has_a_mac_an_address_and_an_age() {
        let mac = [0x18, 0xb4, 0x30, 0x26, 0x34, 0x40];
        let found = parse(&message(REACHABLE, &[192, 168, 1, 11], Some(&mac)));
        let neighbour = Neighbour { mac: Mac(mac), address: [192, 168, 1, 11].into() };
        assert_eq!(found, Some(NeighbourEntry { index: 7, neighbour, age: Duration::from_secs(12) }));
        let v6 = "fe80::1".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(parse(&message(REACHABLE, &v6.octets(), Some(&mac))).unwrap().neighbour.address, IpAddr::V6(v6));
    }

    #[test]
    fn entries_without_a_mac_are_skipped() {
        assert_eq!(parse(&message(REACHABLE, &[192, 168, 1, 11], None)), None);
        assert_eq!(parse(&message(libc::NUD_NOARP, &[224, 0, 0, 1], Some(&[1, 0, 94, 0, 0, 1]))), None);
        assert_eq!(parse(&message(REACHABLE, &[1, 2, 3], Some(&[0; 6]))), None);
        assert_eq!(parse(&[0; 5]), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn entries_are_requested_as_ip_requests_them() {
        // ip neigh show; its netlink header has 16 bytes.
        let golden = "1c000000 1e000103 04c3086b 00000000 00000000 00000000 00000000";
        assert_eq!(everything().0, crate::sys::netlink::golden::bytes(golden)[16..]);
    }
}
