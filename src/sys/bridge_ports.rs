//! Finds bridge ports that are tunnels: they carry frames of the home away below IP.

use std::fs;

use super::netlink::link::{LinkEntry, is_tunnel_kind};
use super::netlink::socket::Netlink;
use super::netlink::wireless::{self, MESH_POINT, WDS};
use crate::plan::TunnelPort;

/// Kinds of interfaces that carry frames to other access points of the home by radio.
const MESHES: [&str; 3] = ["batadv", MESH_POINT, WDS];
/// Kinds of interfaces above others; the latter are their ports, except for these two.
const ABOVE_ONE: [&str; 2] = ["vlan", "macvlan"];
/// Interfaces stacked deeper than this are not followed.
const MAX_DEPTH: u8 = 4;

/// The ports of bridges that are tunnels or meshes, or lead to one. Ports of bridges in `outside` do not count.
/// `generic` is a socket of generic netlink.
pub(super) fn tunnel_ports(links: &[LinkEntry], outside: &[String], generic: &mut Netlink) -> Vec<TunnelPort> {
    let without_kind = links.iter().filter(|link| link.kind.is_none());
    let mut types: Vec<(u32, String)> =
        without_kind.filter_map(|link| Some((link.index, device_type(&link.name)?))).collect();
    if types.iter().any(|(_, kind)| kind == "wlan") {
        let meshes = wireless::meshes(generic).unwrap_or_default();
        types.extend(meshes.into_iter().map(|(index, kind)| (index, kind.to_owned())));
    }
    find(links, outside, &types)
}

/// The type of an interface for which netlink gives no kind, such as `l2tpeth`.
fn device_type(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/uevent")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned)
}

/// `types` has the kind of each interface for which `links` has none, by its index; the last counts.
fn find(links: &[LinkEntry], outside: &[String], types: &[(u32, String)]) -> Vec<TunnelPort> {
    let bridges = links.iter().filter(|link| link.kind.as_deref() == Some("bridge") && !outside.contains(&link.name));
    let bridges: Vec<&LinkEntry> = bridges.collect();
    let bridge_of = |link: &LinkEntry| bridges.iter().find(|bridge| link.master == Some(bridge.index));
    let ports = links.iter().filter_map(|link| Some((link, bridge_of(link)?)));
    let mut found: Vec<TunnelPort> = ports
        .filter_map(|(link, bridge)| {
            let kind = tunnel_kind(links, link, types, 0)?;
            let is_mesh = MESHES.contains(&kind.as_str());
            Some(TunnelPort { name: link.name.clone(), bridge: bridge.name.clone(), kind, is_mesh })
        })
        .collect();
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The kind of tunnel that `link` is or leads to; a mesh only if no tunnel is among its own interfaces.
fn tunnel_kind(links: &[LinkEntry], link: &LinkEntry, types: &[(u32, String)], depth: u8) -> Option<String> {
    let kind =
        link.kind.as_ref().or_else(|| types.iter().rfind(|(index, _)| *index == link.index).map(|(_, kind)| kind))?;
    if is_tunnel_kind(kind) || depth > MAX_DEPTH {
        return Some(kind.clone()).filter(|kind| is_tunnel_kind(kind));
    }
    let is_below = |other: &&LinkEntry| match ABOVE_ONE.contains(&kind.as_str()) {
        true => link.lower == Some(other.index),
        false => other.master == Some(link.index),
    };
    let below = links.iter().filter(is_below).filter_map(|other| tunnel_kind(links, other, types, depth + 1));
    let below: Vec<String> = below.collect();
    let tunnel = below.iter().find(|kind| is_tunnel_kind(kind));
    let mesh = Some(kind).filter(|kind| MESHES.contains(&kind.as_str())).or(below.first());
    tunnel.or(mesh).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str, master: u32, lower: u32) -> LinkEntry {
        LinkEntry {
            index,
            name: name.into(),
            kind: Some(kind.to_owned()).filter(|kind| !kind.is_empty()),
            mtu: 1500,
            up: true,
            is_port: master > 0,
            master: Some(master).filter(|index| *index > 0),
            lower: Some(lower).filter(|index| *index > 0),
            is_loopback_or_ptp: false,
        }
    }

    #[test]
    fn tunnels_are_told_from_wires_and_meshes() {
        let links = [
            link(1, "br-lan", "bridge", 0, 0),
            link(2, "lan1", "", 1, 0),
            link(3, "vx0", "vxlan", 1, 0),
            link(4, "vx1", "vxlan", 0, 2),
            link(5, "vx1.7", "vlan", 1, 4),
            link(6, "lan2.7", "vlan", 1, 2),
            link(7, "bat0", "batadv", 1, 0),
            link(8, "mesh0", "", 7, 0),
            link(9, "bat1", "batadv", 1, 0),
            link(10, "vx2", "vxlan", 9, 0),
            link(11, "bond0", "bond", 1, 0),
            link(12, "tap0", "tun", 11, 0),
            link(13, "l2tp0", "", 1, 0),
            link(14, "br-wan", "bridge", 0, 0),
            link(15, "vx3", "vxlan", 14, 0),
            link(16, "veth0", "veth", 1, 4),
            link(17, "phy0-ap0", "", 1, 0),
            link(18, "phy0-ap0.sta1", "", 1, 0),
            link(19, "phy1-mesh0", "", 0, 0),
            link(20, "phy1-mesh0.5", "vlan", 1, 19),
        ];
        let types = [(8, "802.11s"), (13, "l2tpeth"), (17, "wlan"), (18, "WDS"), (19, "802.11s")];
        let types = types.map(|(index, kind)| (index, kind.to_owned()));
        let found = find(&links, &["br-wan".to_owned()], &types);
        let found: Vec<_> = found.iter().map(|port| format!("{} {} {}", port.name, port.kind, port.is_mesh)).collect();
        assert_eq!(
            found,
            [
                "bat0 batadv true",
                "bat1 vxlan false",
                "bond0 tun false",
                "l2tp0 l2tpeth false",
                "phy0-ap0.sta1 WDS true",
                "phy1-mesh0.5 802.11s true",
                "vx0 vxlan false",
                "vx1.7 vxlan false"
            ]
        );
    }

    #[test]
    fn a_loop_of_interfaces_ends() {
        let links = [link(1, "br", "bridge", 0, 0), link(2, "a", "vlan", 1, 3), link(3, "b", "vlan", 1, 2)];
        assert_eq!(find(&links, &[], &[]), []);
    }
}
