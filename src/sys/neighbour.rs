//! Who has which address on the networks around.

use std::net::IpAddr;

use nix::libc;

use super::addr::address;
use super::netlink::{Body, Netlink, NetlinkError, attribute};
use crate::config::model::Mac;

/// A neighbour as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its Ethernet address.
    pub mac: Mac,
    /// One of its IP addresses.
    pub address: IpAddr,
}

/// All neighbours of both families whose Ethernet address is known.
pub(super) fn list(netlink: &mut Netlink) -> Result<Vec<Neighbour>, NetlinkError> {
    let messages = netlink.dump(libc::RTM_GETNEIGH, &Body::new(&[0; HEADER_BYTES]))?;
    Ok(messages.iter().filter_map(|message| parse(message)).collect())
}

fn parse(message: &[u8]) -> Option<Neighbour> {
    let rest = message.get(HEADER_BYTES..)?;
    let mac: [u8; 6] = attribute(rest, libc::NDA_LLADDR)?.try_into().ok()?;
    Some(Neighbour { mac: Mac(mac), address: address(attribute(rest, libc::NDA_DST)?)? })
}

/// `struct ndmsg`.
const HEADER_BYTES: usize = 12;
