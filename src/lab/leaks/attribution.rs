//! Assigns a packet outside the tunnel to a device. Because the router translates addresses, only the destination or
//! the payload identifies the device.

use std::net::IpAddr;

use super::testbed::Testbed;
use crate::lab::capture::{Frame, IpHeader};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TCP_RESET: u8 = 0x04;
/// Hop limit of the packets that Linux itself sends. Forwarded packets have a lower one.
const LOCAL_HOP_LIMIT: u8 = 64;

/// The device that a packet comes from, goes to, or mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Index into [`Testbed::devices`].
    pub device: usize,
    /// Whether the other end is an intruder instead of one of the device's servers.
    pub intruder: bool,
    /// The kind of request, as the payload names it.
    pub kind: Option<String>,
}

/// The device of a packet; `None` if it concerns no device.
pub fn attribute(testbed: &Testbed, ip: &IpHeader<'_>) -> Option<Attribution> {
    let by_payload = device_of_payload(testbed, ip.payload);
    let by_address = [ip.source, ip.destination].into_iter().find_map(|address| device_of_address(testbed, address));
    let kind = by_payload.as_ref().and_then(|(_, kind)| kind.clone());
    match (by_address, by_payload) {
        (Some((device, intruder)), _) => Some(Attribution { device, intruder, kind }),
        (None, Some((device, _))) => Some(Attribution { device, intruder: false, kind }),
        (None, None) => None,
    }
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
