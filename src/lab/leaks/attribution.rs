//! Assigns a packet outside the tunnel to a device. Because the router translates addresses, only the destination or
//! the payload identifies the device, or a packet that this one quotes or carries.

use std::net::IpAddr;

use super::testbed::Testbed;
use crate::lab::capture::{Frame, IpHeader, LinkType};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const TCP_RESET: u8 = 0x04;
/// The kind of a report about a multicast group, which has no text.
const GROUP_KIND: &str = "igmp4";
/// Hop limit of the packets that Linux itself sends. Forwarded packets have a lower one.
const LOCAL_HOP_LIMIT: u8 = 64;

/// The device that a packet comes from, goes to, or mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Index into [`Testbed::devices`].
    pub device: usize,
    /// Whether an intruder is involved, instead of one of the device's servers.
    pub intruder: bool,
    /// The kind of request, as the payload names it.
    pub kind: Option<String>,
}

/// The device of a packet; `None` if it concerns no device.
pub fn attribute(testbed: &Testbed, ip: &IpHeader<'_>) -> Option<Attribution> {
    let by_payload = device_of_payload(testbed, ip.payload);
    let mut clues = Clues { testbed, device: None, intruder: false, group: false };
    clues.add_packet(ip);
    let kind = by_payload.as_ref().and_then(|(_, kind)| kind.clone());
    let kind = kind.or_else(|| clues.group.then(|| GROUP_KIND.to_owned()));
    let device = clues.device.or(by_payload.map(|(device, _)| device))?;
    Some(Attribution { device, intruder: clues.intruder, kind })
}

/// What addresses say about a packet: its own, and those in what it quotes or carries.
struct Clues<'a> {
    testbed: &'a Testbed,
    /// The first device that an address belongs to.
    device: Option<usize>,
    /// Whether an address is an intruder's.
    intruder: bool,
    /// Whether it is about a multicast group.
    group: bool,
}

impl Clues<'_> {
    fn add_packet(&mut self, ip: &IpHeader<'_>) {
        self.add_address(ip.source);
        self.add_address(ip.destination);
        match ip.protocol {
            IGMP => self.add_groups(ip.payload),
            _ => {
                if let Some(quoted) = quoted(ip) {
                    self.add_packet(&quoted);
                }
                if let Some(frame) = vxlan_frame(ip) {
                    self.add_frame(&frame);
                }
            }
        }
    }

    fn add_frame(&mut self, frame: &Frame<'_>) {
        for mac in [frame.source, frame.destination].into_iter().flatten() {
            let owner = self.testbed.devices.iter().position(|device| device.mac == mac);
            self.device = self.device.or(owner);
        }
        if let Some(ip) = frame.ip() {
            self.add_packet(&ip);
        }
    }

    fn add_address(&mut self, address: IpAddr) {
        if let Some((device, intruder)) = device_of_address(self.testbed, address) {
            self.device = self.device.or(Some(device));
            self.intruder |= intruder;
        }
    }

    /// Adds the groups of an IGMP message, of any version: each field that could be the address of a group.
    fn add_groups(&mut self, message: &[u8]) {
        for field in message.chunks_exact(4) {
            let number = match *field {
                [239, 18, number, _] => number,
                _ => continue,
            };
            let device = self.testbed.devices.iter().position(|device| device.number == number);
            self.device = self.device.or(device);
            self.group |= device.is_some();
        }
    }
}

/// The packet that an ICMP error quotes (RFC 792, RFC 4443).
fn quoted<'a>(ip: &IpHeader<'a>) -> Option<IpHeader<'a>> {
    const QUOTE_OFFSET: usize = 8;
    match (ip.protocol, ip.payload.first()?) {
        (ICMP, 3..=5 | 11 | 12) | (ICMPV6, 1..=4) => IpHeader::parse(ip.payload.get(QUOTE_OFFSET..)?),
        _ => None,
    }
}

/// The Ethernet frame in a VXLAN packet (RFC 7348).
fn vxlan_frame<'a>(ip: &IpHeader<'a>) -> Option<Frame<'a>> {
    const VXLAN: u16 = 4789;
    const HEADER_BYTES: usize = 8;
    let udp = ip.udp().filter(|udp| udp.destination_port == VXLAN)?;
    Frame::parse(LinkType::Ethernet, udp.payload.get(HEADER_BYTES..)?)
}

/// The device that an address is reserved for, and whether the address is an intruder's.
fn device_of_address(testbed: &Testbed, address: IpAddr) -> Option<(usize, bool)> {
    let numbered = |number: u8| testbed.devices.iter().position(|device| device.number == number);
    let peer = match address {
        IpAddr::V4(address) => match address.octets() {
            [198, net @ (18 | 19), number, _] => numbered(number).map(|device| (device, net == 19)),
            _ => None,
        },
        IpAddr::V6(address) => match address.segments() {
            // The scenario writes the number in decimal digits.
            [0x2001, 0x0db8, net @ (0x18 | 0x19), number, ..] if number <= 0x99 => {
                numbered((number >> 4) as u8 * 10 + (number & 15) as u8).map(|device| (device, net == 0x19))
            }
            _ => None,
        },
    };
    let own = || testbed.devices.iter().position(|device| device.addresses.contains(&address)).map(|at| (at, false));
    peer.or_else(own)
}

/// The device whose `leak-NAME` is in the payload, and the word after it. In a DNS query the byte between the two is
/// the length of the next label, so the separator may be any byte.
fn device_of_payload(testbed: &Testbed, payload: &[u8]) -> Option<(usize, Option<String>)> {
    const TOKEN: &[u8] = b"leak-";
    let at = payload.windows(TOKEN.len()).position(|window| window.eq_ignore_ascii_case(TOKEN))?;
    let rest = &payload[at + TOKEN.len()..];
    let named = |name: &str| rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name.as_bytes());
    let device = testbed.devices.iter().position(|device| named(&device.name))?;
    let behind = rest.get(testbed.devices[device].name.len() + 1..).unwrap_or_default();
    let word = behind.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-');
    let word: String = word.map(|&byte| char::from(byte)).collect();
    Some((device, (!word.is_empty()).then_some(word)))
}

/// Whether the router itself refuses a packet from outside: a TCP reset or ICMP error with the hop limit of a local
/// packet. It answers a sender to a closed port and does not depend on what the devices do.
pub fn is_refusal(frame: &Frame<'_>, ip: &IpHeader<'_>) -> bool {
    let hops = match ip.source {
        IpAddr::V4(_) => frame.payload.get(8),
        IpAddr::V6(_) => frame.payload.get(7),
    };
    let refuses = match ip.protocol {
        TCP => ip.payload.get(13).is_some_and(|flags| flags & TCP_RESET != 0),
        ICMP => ip.payload.first() == Some(&3),
        ICMPV6 => ip.payload.first() == Some(&1),
        _ => false,
    };
    refuses && hops == Some(&LOCAL_HOP_LIMIT)
}
