//! Kernel WireGuard through generic netlink (include/uapi/linux/wireguard.h).

use std::net::SocketAddr;

use netlink_packet_core::Emitable;
use netlink_packet_core::ParseableParametrized;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};

use super::error::NetlinkError;
use super::generic::HEADER_BYTES;
use super::message::Body;
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::config::model::Key;
use crate::plan::routing::Prefix;
use crate::plan::wireguard::{Peer, WireguardDevice};

/// The state of a peer in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its public key.
    pub public_key: Key,
    /// Its endpoint, if it is configured or the peer has sent a packet.
    pub endpoint: Option<SocketAddr>,
    /// Time of the last handshake in seconds of Unix time; 0 before the first.
    pub last_handshake_s: u64,
    /// Bytes received from the peer, including WireGuard's own headers.
    pub received_bytes: u64,
    /// Bytes sent to the peer, including WireGuard's own headers.
    pub sent_bytes: u64,
}

/// A WireGuard interface as read from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub device: WireguardDevice,
    pub peers: Vec<Peer>,
    pub status: Vec<PeerStatus>,
}

/// Reads an interface and its peers.
pub fn read(netlink: &mut Netlink, family: u16, name: &str) -> Result<Installed, NetlinkError> {
    let body = body(WireguardCmd::GetDevice, vec![WireguardAttribute::IfName(name.into())]);
    parse(&netlink.dump(family, &body)?)
}

/// The interface in the messages of a dump, each without its netlink header.
pub fn parse(messages: &[Vec<u8>]) -> Result<Installed, NetlinkError> {
    let mut device = WireguardDevice {
        private_key: Key([0; 32]),
        listen_port: None,
        #[cfg(feature = "endpoint")]
        fwmark: 0,
    };
    let mut peers: Vec<(Peer, PeerStatus)> = Vec::new();
    for message in messages {
        let attributes = message.get(HEADER_BYTES..).ok_or(NetlinkError::Malformed)?;
        let header = netlink_packet_generic::GenlHeader { cmd: 0, version: 1 };
        let message = WireguardMessage::parse_with_param(attributes, header).map_err(|_| NetlinkError::Malformed)?;
        for attribute in message.attributes {
            match attribute {
                WireguardAttribute::PrivateKey(key) => device.private_key = Key(key),
                WireguardAttribute::ListenPort(port) => device.listen_port = Some(port),
                #[cfg(feature = "endpoint")]
                WireguardAttribute::Fwmark(mark) => device.fwmark = mark,
                WireguardAttribute::Peers(list) => list.iter().for_each(|peer| merge(&mut peers, parse_peer(peer))),
                _ => {}
            }
        }
    }
    let (mut peers, status): (Vec<Peer>, Vec<PeerStatus>) = peers.into_iter().unzip();
    peers.iter_mut().for_each(|peer| peer.allowed_ips.sort_unstable());
    Ok(Installed { device, peers, status })
}

/// Adds a peer, or merges it with the last one: a peer with many allowed IPs continues in the next message with the
/// same key.
fn merge(peers: &mut Vec<(Peer, PeerStatus)>, (peer, status): (Peer, PeerStatus)) {
    match peers.last_mut() {
        Some((last, _)) if last.public_key == peer.public_key => last.allowed_ips.extend(peer.allowed_ips),
        _ => peers.push((peer, status)),
    }
}

fn parse_peer(attributes: &WireguardPeer) -> (Peer, PeerStatus) {
    let no_key = Key([0; 32]);
    let mut peer = Peer {
        public_key: no_key.clone(),
        preshared_key: None,
        endpoint: None,
        allowed_ips: Vec::new(),
        keepalive_seconds: 0,
    };
    let mut status =
        PeerStatus { public_key: no_key, endpoint: None, last_handshake_s: 0, received_bytes: 0, sent_bytes: 0 };
    for attribute in attributes.iter() {
        match attribute {
            WireguardPeerAttribute::PublicKey(key) => peer.public_key = Key(*key),
            WireguardPeerAttribute::PresharedKey(key) => {
                peer.preshared_key = Some(Key(*key)).filter(|k| k.0 != [0; 32])
            }
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(*endpoint),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => peer.keepalive_seconds = *seconds,
            WireguardPeerAttribute::AllowedIps(list) => {
                peer.allowed_ips.extend(list.iter().filter_map(parse_allowed_ip))
            }
            WireguardPeerAttribute::LastHandshake(time) => {
                status.last_handshake_s = u64::try_from(time.seconds).unwrap_or(0);
            }
            WireguardPeerAttribute::RxBytes(bytes) => status.received_bytes = *bytes,
            WireguardPeerAttribute::TxBytes(bytes) => status.sent_bytes = *bytes,
            _ => {}
        }
    }
    status.public_key = peer.public_key.clone();
    status.endpoint = peer.endpoint;
    (peer, status)
}

fn parse_allowed_ip(attributes: &WireguardAllowedIp) -> Option<Prefix> {
    let mut address = None;
    let mut length = None;
    for attribute in attributes.iter() {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(ip) => address = Some(*ip),
            WireguardAllowedIpAttr::Cidr(cidr) => length = Some(*cidr),
            _ => {}
        }
    }
    Some(Prefix { address: address?, length: length? })
}

/// Sets the private key, the listen port and the mark of an interface.
pub fn set_device(family: u16, name: &str, device: &WireguardDevice) -> NetlinkRequest {
    let mut attributes =
        vec![WireguardAttribute::IfName(name.into()), WireguardAttribute::PrivateKey(device.private_key.0)];
    attributes.extend(device.listen_port.map(WireguardAttribute::ListenPort));
    // Without a word about it the kernel keeps a mark that was set before.
    #[cfg(feature = "endpoint")]
    attributes.push(WireguardAttribute::Fwmark(device.fwmark));
    NetlinkRequest::change(family, body(WireguardCmd::SetDevice, attributes))
}

/// Adds a peer, or changes the peer with the same public key.
pub fn set_peer(family: u16, name: &str, peer: &Peer) -> NetlinkRequest {
    let preshared_key = peer.preshared_key.as_ref().map_or([0; 32], |key| key.0);
    let mut attributes = vec![
        WireguardPeerAttribute::PublicKey(peer.public_key.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::PresharedKey(preshared_key),
        WireguardPeerAttribute::PersistentKeepalive(peer.keepalive_seconds),
    ];
    attributes.extend(peer.endpoint.map(WireguardPeerAttribute::Endpoint));
    attributes.push(WireguardPeerAttribute::AllowedIps(peer.allowed_ips.iter().map(allowed_ip).collect()));
    set_peers(family, name, attributes)
}

/// Removes the peer with public key `key`.
pub fn remove_peer(family: u16, name: &str, key: &Key) -> NetlinkRequest {
    let flags = WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe);
    set_peers(family, name, vec![WireguardPeerAttribute::PublicKey(key.0), flags])
}

fn set_peers(family: u16, name: &str, peer: Vec<WireguardPeerAttribute>) -> NetlinkRequest {
    let attributes =
        vec![WireguardAttribute::IfName(name.into()), WireguardAttribute::Peers(vec![WireguardPeer(peer)])];
    NetlinkRequest::change(family, body(WireguardCmd::SetDevice, attributes))
}

fn allowed_ip(prefix: &Prefix) -> WireguardAllowedIp {
    let family = if prefix.address.is_ipv4() { WireguardAddressFamily::Ipv4 } else { WireguardAddressFamily::Ipv6 };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(prefix.address),
        WireguardAllowedIpAttr::Cidr(prefix.length),
    ])
}

fn body(cmd: WireguardCmd, attributes: Vec<WireguardAttribute>) -> Body {
    let message = WireguardMessage { cmd, attributes };
    let mut bytes = vec![0; HEADER_BYTES + message.buffer_len()];
    bytes[0] = cmd.into();
    bytes[1] = 1;
    message.emit(&mut bytes[HEADER_BYTES..]);
    Body(bytes)
}
