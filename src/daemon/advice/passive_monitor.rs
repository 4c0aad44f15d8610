//! Observes unshaped devices: sizes, directions and times of their packets, by a packet socket on the home's networks.
//! It keeps no contents.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::{Direction, ObservedPacket, RateAdvisor};
use crate::config::model::{Device, Mac, Settings};
use crate::core::what_if::MAX_TRACKED;
use crate::sys::capture::{self, Capture, CapturedPacket, HEAD_BYTES, Layer, Test};
use crate::sys::timer;
use crate::units::{DeviceId, Nanos};
use crate::wire::MAX_PACKET_BYTES;

/// Maximum packets received in one call.
const PACKET_BATCH: usize = 16;

const ETHERNET_HEADER: usize = 14;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;

/// The packet socket, and the devices whose packets it receives.
pub struct PassiveMonitor {
    capture: Capture,
    /// The home's interfaces. A packet also passes others, such as bridge ports, and would count twice there.
    interfaces: Vec<u32>,
    /// The header rules of each device, by direction, and its number.
    devices: Vec<([Vec<Test>; 2], DeviceId)>,
}

#[derive(Clone, Copy)]
enum DeviceAddress {
    Mac(Mac),
    Address(IpAddr),
}

impl PassiveMonitor {
    /// Starts to observe the devices that `is_watched` accepts; `None` if there are none.
    pub fn open(settings: &Settings, is_watched: impl Fn(&Device) -> bool) -> io::Result<Option<PassiveMonitor>> {
        let numbered = settings.devices.iter().zip((1..=MAX_TRACKED.0).map(DeviceId));
        let numbered = numbered.filter(|(device, _)| is_watched(device));
        let rules = |address: DeviceAddress| Direction::ALL.map(|direction| address.rule(direction));
        let devices: Vec<_> = numbered
            .flat_map(|(device, number)| device_addresses(device).map(move |one| (rules(one), number)))
            .collect();
        if devices.is_empty() {
            return Ok(None);
        }
        PassiveMonitor::with(devices).map(Some)
    }

    /// Starts to observe all devices on the home's networks, counted as one.
    pub fn open_all() -> io::Result<PassiveMonitor> {
        PassiveMonitor::with(Vec::new())
    }

    fn with(devices: Vec<([Vec<Test>; 2], DeviceId)>) -> io::Result<PassiveMonitor> {
        let rules: Vec<Vec<Test>> = match devices.is_empty() {
            true => vec![Vec::new()],
            false => devices.iter().flat_map(|(rules, _)| rules.iter().cloned()).collect(),
        };
        let capture = Capture::open(0, Layer::Link, &rules)?;
        Ok(PassiveMonitor { capture, interfaces: capture::lan_interfaces()?, devices })
    }

    /// Updates the list of the home's interfaces.
    pub fn refresh_interfaces(&mut self) {
        if let Ok(interfaces) = capture::lan_interfaces() {
            self.interfaces = interfaces;
        }
    }

    /// Whether the home has an interface to observe.
    pub fn has_interfaces(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Passes up to 16 received packets to `advisor`. Returns whether more may be waiting.
    pub fn receive_batch(&mut self, advisor: &mut RateAdvisor) -> io::Result<bool> {
        let mut head = [0; HEAD_BYTES];
        for _ in 0..PACKET_BATCH {
            let Some(packet) = self.capture.receive(&mut head)? else { return Ok(false) };
            let (now, wall) = (timer::now(), timer::wall_clock());
            let at = now.saturating_since(Nanos(nanos(wall.saturating_sub(packet.at))));
            if let Some((device, direction)) = self.classify(&packet, &head[..packet.head]) {
                // A packet that the kernel merged (GRO) was several on the wire.
                let mut remaining = packet.length - ETHERNET_HEADER;
                while remaining > 0 {
                    let bytes = remaining.min(MAX_PACKET_BYTES);
                    advisor.note(ObservedPacket { at, bytes: bytes as u16, device, direction });
                    remaining -= bytes;
                }
            }
        }
        Ok(true)
    }

    /// The device's number, 0 if all count as one, and the direction; `None` for packets that do not go to the
    /// Internet.
    fn classify(&self, packet: &CapturedPacket, head: &[u8]) -> Option<(DeviceId, Direction)> {
        let ethertype = u32::from(u16::from_be_bytes(*head.get(12..)?.first_chunk()?));
        let is_multicast = head[0] & 1 != 0;
        if is_multicast || !(ethertype == IPV4 || ethertype == IPV6) || !self.interfaces.contains(&packet.interface) {
            return None;
        }
        let direction = if packet.outgoing { Direction::Down } else { Direction::Up };
        if self.devices.is_empty() {
            return Some((DeviceId::UNKNOWN, direction));
        }
        let is_of = |rules: &[Vec<Test>; 2]| rules[direction as usize].iter().all(|test| passes(test, head));
        self.devices.iter().find(|(rules, _)| is_of(rules)).map(|(_, number)| (*number, direction))
    }
}

impl AsFd for PassiveMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

impl DeviceAddress {
    /// The header tests for a packet from this address (up) or to it (down).
    fn rule(self, direction: Direction) -> Vec<Test> {
        let test = |at, size, value| Test { at, size, mask: u32::MAX, value };
        match self {
            DeviceAddress::Mac(Mac([a, b, c, d, e, f])) => {
                let at = if direction == Direction::Up { 6 } else { 0 };
                vec![
                    test(at + 2, 4, u32::from_be_bytes([c, d, e, f])),
                    test(at, 2, u32::from(u16::from_be_bytes([a, b]))),
                ]
            }
            DeviceAddress::Address(IpAddr::V4(address)) => {
                let at = if direction == Direction::Up { 26 } else { 30 };
                vec![test(12, 2, IPV4), test(at, 4, u32::from(address))]
            }
            DeviceAddress::Address(IpAddr::V6(address)) => {
                let at = if direction == Direction::Up { 22 } else { 38 };
                let words = address.to_bits().to_be_bytes();
                let words =
                    words.chunks_exact(4).map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)));
                let words = words.zip((at..).step_by(4)).map(|(word, at)| test(at, 4, word));
                [test(12, 2, IPV6)].into_iter().chain(words).collect()
            }
        }
    }
}

/// The MAC addresses, or the IP address of a device without one.
fn device_addresses(device: &Device) -> impl Iterator<Item = DeviceAddress> + use<'_> {
    let address = device.address.filter(|_| device.macs.is_empty()).map(DeviceAddress::Address);
    device.macs.iter().copied().map(DeviceAddress::Mac).chain(address)
}

fn passes(test: &Test, head: &[u8]) -> bool {
    let at = test.at as usize;
    let bytes = head.get(at..at + usize::from(test.size)).unwrap_or_default();
    !bytes.is_empty() && bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) & test.mask == test.value
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Policy;

    #[test]
    fn a_device_is_known_by_its_ipv6_address_in_both_directions() {
        let address: std::net::Ipv6Addr = "fd00::20".parse().unwrap();
        let server: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        let device = Device { address: Some(address.into()), ..crate::config::example::device("plug", Policy::Direct) };
        let [by_address] = device_addresses(&device).collect::<Vec<_>>()[..] else { panic!("one address") };
        let frame = |source: &std::net::Ipv6Addr, destination: &std::net::Ipv6Addr| {
            [&[0; 12][..], &[0x86, 0xdd], &[0x60, 0, 0, 0, 0, 0, 17, 64], &source.octets(), &destination.octets()]
                .concat()
        };
        let matches = |direction, frame: &[u8]| by_address.rule(direction).iter().all(|test| passes(test, frame));
        let (up, down) = (frame(&address, &server), frame(&server, &address));
        assert!(matches(Direction::Up, &up) && matches(Direction::Down, &down));
        assert!(!matches(Direction::Up, &down) && !matches(Direction::Down, &up));
        assert!(!matches(Direction::Up, &frame(&"fd00::21".parse().unwrap(), &server)), "another device");
        let mut other_protocol = up.clone();
        other_protocol[12] = 8;
        assert!(!matches(Direction::Up, &other_protocol));
    }
}
