//! Packets of the tests.

use std::net::IpAddr;

pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;

pub(super) fn packet(from: IpAddr, to: IpAddr, hops: u8, (protocol, payload): &(u8, Vec<u8>)) -> Vec<u8> {
    let mut packet = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 0, hops, *protocol, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            packet.extend_from_slice(&[*protocol, hops]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        _ => panic!("two families"),
    }
    packet.extend_from_slice(payload);
    packet
}

/// An ICMP error of this type that quotes a packet.
pub(super) fn icmp_error(kind: u8, quoted: &[u8]) -> (u8, Vec<u8>) {
    (1, [&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat())
}

/// A VXLAN packet with a frame between these Ethernet addresses.
pub(super) fn vxlan(to: [u8; 6], from: [u8; 6], ethertype: [u8; 2], payload: &[u8]) -> (u8, Vec<u8>) {
    udp(40_000, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &to[..], &from, &ethertype, payload].concat())
}

pub(super) fn udp(from: u16, to: u16, payload: &[u8]) -> (u8, Vec<u8>) {
    let mut datagram = Vec::new();
    for field in [from, to, 8 + payload.len() as u16, 0] {
        datagram.extend_from_slice(&field.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    (UDP, datagram)
}

pub(super) fn tcp_reset() -> (u8, Vec<u8>) {
    let mut segment = vec![0; 20];
    segment[13] = 0x04;
    (TCP, segment)
}
