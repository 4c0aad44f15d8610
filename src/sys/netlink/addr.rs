//! Interface addresses through rtnetlink.

use std::net::IpAddr;

use super::error::NetlinkError;
use super::message::{Body, attribute, u32_at_start};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::plan::routing::Prefix;

/// An interface address in the kernel's list.
#[derive(Clone, Copy, Debug)]
pub struct AddressEntry {
    pub index: u32,
    pub prefix: Prefix,
}

/// All addresses of all interfaces, both families.
pub fn list(netlink: &mut Netlink) -> Result<Vec<AddressEntry>, NetlinkError> {
    let messages = netlink.dump(libc::RTM_GETADDR, &Body::new(&[0; HEADER_BYTES]))?;
    Ok(messages.iter().filter_map(|message| parse(message)).collect())
}

/// The address in a message without its netlink header.
pub fn parse(message: &[u8]) -> Option<AddressEntry> {
    let rest = message.get(HEADER_BYTES..)?;
    // On a point-to-point interface IFA_ADDRESS is the address of the other end.
    let value = attribute(rest, libc::IFA_LOCAL).or_else(|| attribute(rest, libc::IFA_ADDRESS))?;
    let prefix = Prefix { address: address(value)?, length: message[1] };
    Some(AddressEntry { index: u32_at_start(&message[4..])?, prefix })
}

/// Adds an address.
pub fn add(index: u32, prefix: Prefix) -> NetlinkRequest {
    NetlinkRequest::create(libc::RTM_NEWADDR, body(index, prefix))
}

/// Removes an address.
pub fn delete(index: u32, prefix: Prefix) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELADDR, body(index, prefix))
}

fn body(index: u32, prefix: Prefix) -> Body {
    let octets = octets(prefix.address);
    let mut header = [0; HEADER_BYTES];
    header[0] = family(prefix.address);
    header[1] = prefix.length;
    header[4..].copy_from_slice(&index.to_ne_bytes());
    Body::new(&header).attribute(libc::IFA_LOCAL, &octets).attribute(libc::IFA_ADDRESS, &octets)
}

/// `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;

/// The address in an attribute of 4 or 16 bytes.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The bytes of an address in an attribute.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `AF_INET` or `AF_INET6`, for a message header.
pub fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::sys::netlink::golden::assert_same;

    #[test]
    fn addresses_are_added_and_removed_as_ip_does() {
        let v4 = Prefix { address: [10, 77, 0, 2].into(), length: 16 };
        // ip addr add 10.77.0.2/16 dev mpwg0
        assert_same(
            &add(2, v4),
            "28000000 14000506 03c3086b 00000000 02100000 02000000 08000200 0a4d0002 08000100 0a4d0002",
        );
        // ip addr del 10.77.0.2/16 dev mpwg0
        assert_same(
            &delete(2, v4),
            "28000000 15000500 03c3086b 00000000 02100000 02000000 08000200 0a4d0002 08000100 0a4d0002",
        );
        // ip addr add fd00:77::2/64 dev mpwg0
        assert_same(
            &add(2, Prefix { address: "fd00:77::2".parse().unwrap(), length: 64 }),
            "40000000 14000506 03c3086b 00000000 0a400000 02000000 14000200 fd000077 00000000 00000000 \
            00000002 14000100 fd000077 00000000 00000000 00000002",
        );
    }
}
