//! Whose is a packet beside the tunnel? Behind the router's address translation only its destination, or what it says, tells.

use std::net::IpAddr;

use super::testbed::Testbed;
use crate::lab::capture::{Frame, IpHeader};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TCP_RESET: u8 = 0x04;
/// Hop limit with which Linux sends packets of its own. What it forwards has less left.
const LOCAL_HOP_LIMIT: u8 = 64;

/// A packet of a device, or about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The device's place in the testbed.
    pub device: usize,
    /// Whether the other side is not one of its servers but somebody who tries to get in.
    pub intruder: bool,
    /// The way of talking, as the packet's own words name it.
    pub kind: Option<String>,
}

/// The owner of a packet, if it is a device.
pub fn attribute(testbed: &Testbed, ip: &IpHeader<'_>) -> Option<Attribution> {
    let said = device_of_payload(testbed, ip.payload);
    let by_address = [ip.source, ip.destination].into_iter().find_map(|address| device_of_address(testbed, address));
    let kind = said.as_ref().and_then(|(_, kind)| kind.clone());
    match (by_address, said) {
        (Some((device, intruder)), _) => Some(Attribution { device, intruder, kind }),
        (None, Some((device, _))) => Some(Attribution { device, intruder: false, kind }),
        (None, None) => None,
    }
}

/// The device that alone uses an address, and whether it is its intruder's.
fn device_of_address(testbed: &Testbed, address: IpAddr) -> Option<(usize, bool)> {
    let numbered = |number: u8| testbed.devices.iter().position(|device| device.number == number);
    let met = match address {
        IpAddr::V4(address) => match address.octets() {
            [198, net @ (18 | 19), number, _] => numbered(number).map(|device| (device, net == 19)),
            _ => None,
        },
        IpAddr::V6(address) => match address.segments() {
            // The scenario writes decimal digits there.
            [0x2001, 0x0db8, net @ (0x18 | 0x19), number, ..] if number <= 0x99 => {
                numbered((number >> 4) as u8 * 10 + (number & 15) as u8).map(|device| (device, net == 0x19))
            }
            _ => None,
        },
    };
    let own = || testbed.devices.iter().position(|device| device.addresses.contains(&address)).map(|at| (at, false));
    met.or_else(own)
}

/// The device whose `leak-NAME` is in these bytes, and the word behind it. In a question for a name the label before gives
/// the length of the one that follows, so any byte may part the two.
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

/// Whether the router itself refuses what came from outside: a TCP reset or ICMP error that has crossed no hop.
/// Such a packet answers the one who sent to a closed door, and would leave whatever the devices do.
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
