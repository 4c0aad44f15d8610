//! Generic netlink (include/uapi/linux/genetlink.h).

use super::error::NetlinkError;
use super::message::{Body, attribute};
use super::socket::Netlink;

/// Size of `struct genlmsghdr`: command, version and two unused bytes.
pub const HEADER_BYTES: usize = 4;

/// Asks for the number of the family `name`, the type of all its messages. Fails if the kernel does not have it.
pub fn family(netlink: &mut Netlink, name: &str) -> Result<u16, NetlinkError> {
    const GENL_ID_CTRL: u16 = 0x10;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    let body = Body::new(&[CTRL_CMD_GETFAMILY, 1, 0, 0]).string(CTRL_ATTR_FAMILY_NAME, name);
    let mut id = None;
    netlink.query(GENL_ID_CTRL, &body, |message| {
        let value = message.get(HEADER_BYTES..).and_then(|rest| attribute(rest, CTRL_ATTR_FAMILY_ID));
        id = value.and_then(|value| value.first_chunk()).map(|chunk| u16::from_ne_bytes(*chunk));
    })?;
    id.ok_or(NetlinkError::Malformed)
}
