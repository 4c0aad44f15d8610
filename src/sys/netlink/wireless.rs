//! Wi-Fi interfaces through generic netlink (include/uapi/linux/nl80211.h).

use super::error::NetlinkError;
use super::generic::{HEADER_BYTES, family};
use super::message::{Body, attribute, number};
use super::socket::Netlink;

/// An 802.11s mesh point.
pub const MESH_POINT: &str = "802.11s";
/// One side of a link between access points with four addresses in each frame.
pub const WDS: &str = "WDS";

/// Index and kind of each Wi-Fi interface that leads to other access points: [`MESH_POINT`] or [`WDS`]. Fails if the
/// kernel has no Wi-Fi.
pub fn meshes(netlink: &mut Netlink) -> Result<Vec<(u32, &'static str)>, NetlinkError> {
    Ok(interfaces(netlink)?.iter().filter_map(|message| parse(message)).collect())
}

/// The names of the Wi-Fi interfaces that are access points. Fails if the kernel has no Wi-Fi.
#[cfg(feature = "endpoint")]
pub fn access_points(netlink: &mut Netlink) -> Result<Vec<String>, NetlinkError> {
    Ok(interfaces(netlink)?.iter().filter_map(|message| access_point(message)).collect())
}

/// The name of the interface in a message without its netlink header, if it is an access point.
#[cfg(feature = "endpoint")]
fn access_point(message: &[u8]) -> Option<String> {
    const NL80211_ATTR_IFNAME: u16 = 4;
    const NL80211_IFTYPE_AP: u32 = 3;
    let rest = message.get(HEADER_BYTES..)?;
    let name = super::message::string(rest, NL80211_ATTR_IFNAME)?;
    (number(rest, NL80211_ATTR_IFTYPE)? == NL80211_IFTYPE_AP).then_some(name)
}

/// One message for each Wi-Fi interface.
fn interfaces(netlink: &mut Netlink) -> Result<Vec<Vec<u8>>, NetlinkError> {
    const NL80211_CMD_GET_INTERFACE: u8 = 5;
    let family = family(netlink, "nl80211")?;
    netlink.dump(family, &Body::new(&[NL80211_CMD_GET_INTERFACE, 0, 0, 0]))
}

const NL80211_ATTR_IFTYPE: u16 = 5;

/// Index and kind of the interface in a message without its netlink header, if it leads to other access points.
pub fn parse(message: &[u8]) -> Option<(u32, &'static str)> {
    const NL80211_ATTR_IFINDEX: u16 = 3;
    const NL80211_ATTR_4ADDR: u16 = 83;
    const NL80211_IFTYPE_MESH_POINT: u32 = 7;
    let rest = message.get(HEADER_BYTES..)?;
    // Clients with four addresses, and an access point's interfaces for each such client.
    let has_four_addresses = attribute(rest, NL80211_ATTR_4ADDR).is_some_and(|value| value.first() == Some(&1));
    let kind = match number(rest, NL80211_ATTR_IFTYPE)? {
        NL80211_IFTYPE_MESH_POINT => MESH_POINT,
        _ if has_four_addresses => WDS,
        _ => return None,
    };
    Some((number(rest, NL80211_ATTR_IFINDEX)?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of a dump: `NL80211_CMD_NEW_INTERFACE` with some of the attributes that Linux 6.12 sends.
    fn interface(index: u32, name: &str, kind: u32, four_addresses: Option<u8>) -> Vec<u8> {
        let body = Body::new(&[7, 1, 0, 0]).number(3, index).string(4, name).number(1, 0).number(5, kind);
        let body = body.attribute(6, &[2, 0, 0, 0, 0, 1]);
        four_addresses.iter().fold(body, |body, value| body.attribute(83, &[*value])).0
    }

    #[test]
    fn meshes_and_four_address_links_are_told_from_access_points() {
        let found = |message: &[u8]| parse(message);
        assert_eq!(found(&interface(9, "phy0-mesh0", 7, Some(0))), Some((9, MESH_POINT)));
        assert_eq!(found(&interface(9, "wlan0", 2, Some(1))), Some((9, WDS)), "a client");
        assert_eq!(found(&interface(9, "phy0-ap0.sta1", 4, Some(1))), Some((9, WDS)), "an access point's side");
        assert_eq!(found(&interface(9, "phy0-ap0", 3, Some(0))), None);
        assert_eq!(found(&interface(9, "wlan0", 2, None)), None);
        let message = interface(9, "phy0-mesh0", 7, Some(0));
        for end in 0..message.len() {
            assert!(found(&message[..end]).is_none_or(|found| found == (9, MESH_POINT)), "cut at {end}");
        }
    }

    #[test]
    #[cfg(feature = "endpoint")]
    fn an_access_point_is_told_from_a_client() {
        assert_eq!(access_point(&interface(9, "wlan0", 3, Some(0))), Some("wlan0".to_owned()));
        assert_eq!(access_point(&interface(9, "wlan0", 2, Some(0))), None);
    }

    #[test]
    fn a_kernel_without_wifi_is_an_error() {
        let mut netlink = Netlink::open(libc::NETLINK_GENERIC as isize).unwrap();
        // With Wi-Fi hardware there may be meshes, too.
        let result = meshes(&mut netlink);
        assert_eq!(result.is_ok(), std::path::Path::new("/sys/class/ieee80211").exists(), "{result:?}");
    }
}
