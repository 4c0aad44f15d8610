//! Devices that go their own way and are only watched: sizes, directions and times of their packets, by a packet socket
//! on the home's networks. Nothing of a packet is kept.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::{Direction, ObservedPacket, RateAdvisor};
use crate::config::model::{Device, Mac, Settings};
use crate::core::what_if::TRACKED;
use crate::sys::capture::{self, Capture, HEAD_BYTES, Layer, Passed, Test};
use crate::sys::timer;
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;

/// Packets that are taken in a row.
const PACKET_BATCH: usize = 16;

const ETHERNET_HEADER: usize = 14;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;

/// The socket, and whose packets it takes.
pub struct PassiveMonitor {
    capture: Capture,
    /// The home's interfaces: what passes by others, their ports for one, would count twice.
    interfaces: Vec<u32>,
    /// What the packets of each have in their headers, by direction, and its number.
    devices: Vec<([Vec<Test>; 2], u8)>,
}

#[derive(Clone, Copy)]
enum Who {
    Mac(Mac),
    Address(Ipv4Addr),
}

impl PassiveMonitor {
    /// Begins to watch the devices that `is_watched`; `None` if there is none among those that can be told apart.
    pub fn open(settings: &Settings, is_watched: impl Fn(&Device) -> bool) -> io::Result<Option<PassiveMonitor>> {
        let numbered = settings.devices.iter().zip(1..=TRACKED).filter(|(device, _)| is_watched(device));
        let rules = |who: Who| Direction::ALL.map(|direction| who.rule(direction));
        let devices: Vec<_> = numbered.filter_map(|(device, number)| Some((rules(who(device)?), number))).collect();
        if devices.is_empty() {
            return Ok(None);
        }
        PassiveMonitor::with(devices).map(Some)
    }

    /// Begins to watch everybody on the home's networks, as one.
    pub fn of_all() -> io::Result<PassiveMonitor> {
        PassiveMonitor::with(Vec::new())
    }

    fn with(devices: Vec<([Vec<Test>; 2], u8)>) -> io::Result<PassiveMonitor> {
        let rules: Vec<Vec<Test>> = match devices.is_empty() {
            true => vec![Vec::new()],
            false => devices.iter().flat_map(|(rules, _)| rules.iter().cloned()).collect(),
        };
        let capture = Capture::open(0, Layer::Link, &rules)?;
        Ok(PassiveMonitor { capture, interfaces: capture::home_interfaces()?, devices })
    }

    /// Looks again which interfaces are the home's.
    pub fn look_around(&mut self) {
        if let Ok(interfaces) = capture::home_interfaces() {
            self.interfaces = interfaces;
        }
    }

    /// Whether there is any of the home's interfaces to watch.
    pub fn sees_anything(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Takes a few packets to `watch`. Says whether there may be more.
    pub fn take(&mut self, watch: &mut RateAdvisor) -> io::Result<bool> {
        let mut head = [0; HEAD_BYTES];
        for _ in 0..PACKET_BATCH {
            let Some(passed) = self.capture.receive(&mut head)? else { return Ok(false) };
            let (now, wall) = (timer::now(), timer::wall_clock());
            let at = now.saturating_since(Nanos(nanos(wall.saturating_sub(passed.at))));
            if let Some((device, direction)) = self.whose(&passed, &head[..passed.head]) {
                // What the kernel has joined was several on the wire.
                let mut left = passed.length - ETHERNET_HEADER;
                while left > 0 {
                    let bytes = left.min(MAX_PACKET_BYTES);
                    watch.note(ObservedPacket { at, bytes: bytes as u16, device, direction });
                    left -= bytes;
                }
            }
        }
        Ok(true)
    }

    /// The number of the device, 0 where all count as one; `None` for what would not go to the Internet.
    fn whose(&self, passed: &Passed, head: &[u8]) -> Option<(u8, Direction)> {
        let kind = u32::from(u16::from_be_bytes(*head.get(12..)?.first_chunk()?));
        let is_multicast = head[0] & 1 != 0;
        if is_multicast || !(kind == IPV4 || kind == IPV6) || !self.interfaces.contains(&passed.interface) {
            return None;
        }
        let direction = if passed.outgoing { Direction::Down } else { Direction::Up };
        if self.devices.is_empty() {
            return Some((0, direction));
        }
        let is_of = |rules: &[Vec<Test>; 2]| rules[direction as usize].iter().all(|test| holds(test, head));
        self.devices.iter().find(|(rules, _)| is_of(rules)).map(|(_, number)| (*number, direction))
    }
}

impl AsFd for PassiveMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

impl Who {
    /// What a packet from it, or to it, has in its headers.
    fn rule(self, direction: Direction) -> Vec<Test> {
        let test = |at, size, value| Test { at, size, mask: u32::MAX, value };
        match self {
            Who::Mac(Mac([a, b, c, d, e, f])) => {
                let at = if direction == Direction::Up { 6 } else { 0 };
                vec![
                    test(at + 2, 4, u32::from_be_bytes([c, d, e, f])),
                    test(at, 2, u32::from(u16::from_be_bytes([a, b]))),
                ]
            }
            Who::Address(address) => {
                let at = if direction == Direction::Up { 26 } else { 30 };
                vec![test(12, 2, IPV4), test(at, 4, u32::from(address))]
            }
        }
    }
}

fn who(device: &Device) -> Option<Who> {
    match (device.mac, device.address) {
        (Some(mac), _) => Some(Who::Mac(mac)),
        (None, Some(IpAddr::V4(address))) => Some(Who::Address(address)),
        _ => None,
    }
}

fn holds(test: &Test, head: &[u8]) -> bool {
    let at = test.at as usize;
    let bytes = head.get(at..at + usize::from(test.size)).unwrap_or_default();
    !bytes.is_empty() && bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) & test.mask == test.value
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
