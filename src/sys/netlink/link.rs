//! Network interfaces through rtnetlink.

use super::error::NetlinkError;
use super::message::{Body, attribute, number, string, u32_at_start};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::tunnel::LinkKind;

/// An interface in the kernel's list.
#[derive(Clone, Debug)]
pub struct LinkEntry {
    pub index: u32,
    pub name: String,
    /// The kind, such as `bridge`; `None` for hardware and other interfaces without a kind.
    pub kind: Option<String>,
    pub mtu: u32,
    pub up: bool,
    /// Whether it is a port of a bridge or bond.
    pub is_port: bool,
    /// The index of that bridge or bond.
    pub master: Option<u32>,
    /// The index of the interface below, such as that of a VLAN.
    pub lower: Option<u32>,
    /// Whether it is loopback or point-to-point, so not a network of the home.
    pub is_loopback_or_ptp: bool,
}

/// Whether Ethernet interfaces of this kind send each frame in a packet to another host, or to a program (`tun`).
pub fn is_tunnel_kind(kind: &str) -> bool {
    ["vxlan", "gretap", "ip6gretap", "erspan", "ip6erspan", "geneve", "tun", "amt", "l2tpeth"].contains(&kind)
}

/// All interfaces.
pub fn list(netlink: &mut Netlink) -> Result<Vec<LinkEntry>, NetlinkError> {
    // Without the counters, which are most of the answer's bytes.
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let body = header(0, 0, 0).number(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    Ok(netlink.dump(libc::RTM_GETLINK, &body)?.iter().filter_map(|message| parse(message)).collect())
}

/// The interface in a message without its netlink header.
pub fn parse(message: &[u8]) -> Option<LinkEntry> {
    let rest = message.get(HEADER_BYTES..)?;
    let flags = u32_at_start(&message[8..])?;
    Some(LinkEntry {
        index: u32_at_start(&message[4..])?,
        name: string(rest, libc::IFLA_IFNAME)?,
        kind: attribute(rest, libc::IFLA_LINKINFO).and_then(|info| string(info, libc::IFLA_INFO_KIND)),
        mtu: number(rest, libc::IFLA_MTU).unwrap_or(0),
        up: flags & libc::IFF_UP as u32 != 0,
        is_port: number(rest, libc::IFLA_MASTER).is_some(),
        master: number(rest, libc::IFLA_MASTER),
        lower: number(rest, libc::IFLA_LINK),
        is_loopback_or_ptp: flags & (libc::IFF_LOOPBACK | libc::IFF_POINTOPOINT) as u32 != 0,
    })
}

/// Adds an interface of a kind without parameters.
pub fn add(name: &str, kind: &LinkKind, mtu: u32) -> NetlinkRequest {
    NetlinkRequest::create(libc::RTM_NEWLINK, add_body(name, kind, mtu))
}

fn add_body(name: &str, kind: &LinkKind, mtu: u32) -> Body {
    let info = Body::default().string(libc::IFLA_INFO_KIND, &kind.to_string());
    header(0, 0, 0).string(libc::IFLA_IFNAME, name).number(libc::IFLA_MTU, mtu).nest(libc::IFLA_LINKINFO, info)
}

/// Removes an interface.
pub fn delete(index: u32) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELLINK, header(index, 0, 0))
}

/// Sets the MTU in bytes.
pub fn set_mtu(index: u32, mtu: u32) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_NEWLINK, header(index, 0, 0).number(libc::IFLA_MTU, mtu))
}

/// Sets an interface up or down.
pub fn set_up(index: u32, up: bool) -> NetlinkRequest {
    let flag = libc::IFF_UP as u32;
    NetlinkRequest::change(libc::RTM_NEWLINK, header(index, if up { flag } else { 0 }, flag))
}

/// Size of `struct ifinfomsg`: the index is at byte 4, the flags at 8, the mask of changed flags at 12.
const HEADER_BYTES: usize = 16;

/// A `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> Body {
    let mut bytes = [0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&change.to_ne_bytes());
    Body::new(&bytes)
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::sys::netlink::golden::{Layout, assert_same};

    #[test]
    fn a_wireguard_interface_is_added_as_ip_adds_it() {
        let layout = Layout { header_bytes: HEADER_BYTES, nested: &[libc::IFLA_LINKINFO] };
        // ip link add mpwg1 mtu 1420 type wireguard
        let mut golden = layout.golden(
            "48000000 10000506 03c3086b 00000000 00000000 00000000 00000000 00000000 08000400 8c050000 \
            0a000300 6d707767 31000000 14001200 0d000100 77697265 67756172 64000000",
        );
        // ip leaves out the zero byte at the end of the kind.
        golden.attributes.get_mut([libc::IFLA_LINKINFO, libc::IFLA_INFO_KIND].as_slice()).unwrap().push(0);
        assert_eq!(layout.ours(&add("mpwg1", &LinkKind::Wireguard, 1420)), golden);
    }

    #[test]
    fn an_interface_is_changed_as_ip_changes_it() {
        // ip link set mpwg0 mtu 1400
        assert_same(
            &set_mtu(2, 1400),
            "28000000 10000500 03c3086b 00000000 00000000 02000000 00000000 00000000 08000400 78050000",
        );
        // ip link set mpwg0 up
        assert_same(&set_up(2, true), "20000000 10000500 03c3086b 00000000 00000000 02000000 01000000 01000000");
        // ip link set mpwg0 down
        assert_same(&set_up(2, false), "20000000 10000500 03c3086b 00000000 00000000 02000000 00000000 01000000");
        // ip link del mpwg0
        assert_same(&delete(2), "20000000 11000500 03c3086b 00000000 00000000 02000000 00000000 00000000");
    }
}
