//! Finds packets that leave the router outside the tunnel and quote a confined device: answers to forged addresses,
//! errors, requests of a resolver, a proxy or a relay on the router. Those packets are the router's own, so neither
//! their source address nor their mark shows the device.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::confined::ConfinedDevices;
use crate::config::model::{Mac, Settings};
use crate::core::quotes::{Quote, QuoteDetector, QuoteKind};
use crate::plan::{Facts, LanInterface};
use crate::sys::capture::{
    self, Capture, FilterRule, INTERFACE, Layer, OUTGOING, RANDOM, TO_GROUP, TO_HOST, TYPE, Test,
};
use crate::sys::kernel::LinuxKernel;
use crate::sys::lan_neighbours::lan_neighbours;
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;

/// Maximum interfaces of each side, so that the filter stays short.
const MAX_INTERFACES: usize = 8;
/// Packets that are read at once.
const PACKET_BATCH: usize = 32;
/// Maximum different findings in a report.
const MAX_FINDINGS: usize = 16;
/// Of long packets and of TCP packets with neither start, end nor push, one in 16 is captured: a connection in full
/// speed has thousands a second, and its first packets are short or pushed.
const SAMPLE_MASK: u32 = 15;

/// Packets outside the tunnel that quote one device in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteFinding {
    /// The device's name.
    pub device: String,
    /// What the packets repeat.
    pub kind: QuoteKind,
    /// Protocol and destination port, such as `UDP port 53`.
    pub service: String,
    /// How many.
    pub packets: u64,
}

/// Watches both sides of the router with one socket, so that packets arrive in the order in which the kernel saw them.
pub struct QuoteMonitor {
    capture: Capture,
    detector: QuoteDetector,
    devices: ConfinedDevices,
    home: Vec<(u32, LanInterface)>,
    buffer: Box<[u8]>,
    findings: Vec<QuoteFinding>,
}

impl QuoteMonitor {
    /// Starts to watch. `tunnel` are the rules for the tunnel's own packets, which are not captured.
    pub fn open(settings: &Settings, tunnel: Vec<Vec<Test>>) -> io::Result<QuoteMonitor> {
        let facts = LinuxKernel::open().and_then(|mut kernel| kernel.facts(settings, &Facts::default(), false));
        let facts = facts.map_err(|error| io::Error::other(error.to_string()))?;
        let mut neighbours = lan_neighbours(settings)?;
        // A device can claim any address by ARP.
        neighbours.retain(|found| facts.is_home(found.neighbour.address));
        let devices = ConfinedDevices::new(settings, &neighbours);
        let detector = QuoteDetector::new(devices.identifiers(&neighbours));
        let index = |name: &str| capture::interface_index(name).ok();
        let home: Vec<_> = facts.lan.into_iter().filter_map(|lan| Some((index(&lan.name)?, lan))).collect();
        let outside = capture::wan_interfaces().into_iter().chain(facts.outside).filter_map(|name| index(&name));
        let mut rules: Vec<_> = tunnel.into_iter().map(|tests| FilterRule { tests, captures: false }).collect();
        let mut outside: Vec<u32> = outside.collect();
        outside.sort_unstable();
        outside.dedup();
        for (interface, _) in home.iter().take(MAX_INTERFACES) {
            // To the host's link address or to everybody, and to groups.
            rules.extend(sampled(*interface, u32::MAX - 1, TO_HOST));
            rules.extend(sampled(*interface, u32::MAX, TO_GROUP));
        }
        outside.iter().take(MAX_INTERFACES).for_each(|wan| rules.extend(sampled(*wan, u32::MAX, OUTGOING)));
        let capture = Capture::with_filter(0, Layer::Network, &rules)?;
        let buffer = vec![0; MAX_PACKET_BYTES].into();
        Ok(QuoteMonitor { capture, detector, devices, home, buffer, findings: Vec::new() })
    }

    /// Handles packets that have passed. Returns whether more may be waiting.
    pub fn handle_packets(&mut self) -> io::Result<bool> {
        for _ in 0..PACKET_BATCH {
            let Some(packet) = self.capture.receive(&mut self.buffer)? else { return Ok(false) };
            let at = Nanos(u64::try_from(packet.at.as_nanos()).unwrap_or(u64::MAX));
            let bytes = &self.buffer[..packet.head];
            if packet.outgoing {
                if let Some(quote) = self.detector.judge(at, bytes) {
                    self.count(quote);
                }
                continue;
            }
            let home = self.home.iter().find(|(index, _)| *index == packet.interface);
            let Some(((_, lan), [from, to])) = home.zip(ends(bytes)) else { continue };
            // What goes on to another network of the home may leave from there, by its receiver's policy.
            let others = || self.home.iter().filter(|(index, _)| *index != packet.interface);
            if others().flat_map(|(_, lan)| &lan.prefixes).any(|prefix| prefix.contains(to)) {
                continue;
            }
            match self.devices.sender(&lan.name, Mac(packet.sender), from) {
                Some(sender) => self.detector.note_confined(at, sender.number, bytes, sender.hides_names),
                None => self.detector.note_other(bytes),
            }
        }
        Ok(true)
    }

    fn count(&mut self, quote: Quote) {
        let Quote { device, kind, service } = quote;
        let device = self.devices.name(device);
        let is_same = |known: &QuoteFinding| known.device == device && known.kind == kind && known.service == service;
        match self.findings.iter().position(is_same) {
            Some(known) => self.findings[known].packets += 1,
            None if self.findings.len() < MAX_FINDINGS => {
                self.findings.push(QuoteFinding { device: device.to_owned(), kind, service, packets: 1 });
            }
            None => {}
        }
    }

    /// What was found so far.
    pub fn findings(&self) -> Vec<QuoteFinding> {
        self.findings.iter().filter(|found| found.packets >= found.kind.min_packets()).cloned().collect()
    }
}

impl AsFd for QuoteMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

impl fmt::Display for QuoteFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuoteFinding { device, kind, service, packets } = self;
        write!(f, "packets from the router outside the tunnel {} of {device}: {packets} ({service})", kind.phrase())
    }
}

/// Filter rules for the packets of one type on one interface: all short ones that start or push something, and some of
/// the others.
fn sampled(interface: u32, mask: u32, kind: u32) -> Vec<FilterRule> {
    let test = |at, size, mask, value| Test { at, size, mask, value };
    let rule = |captures, more: &[Test]| {
        let mut tests = vec![test(INTERFACE, 4, u32::MAX, interface), test(TYPE, 4, mask, kind)];
        tests.extend(more);
        FilterRule { tests, captures }
    };
    let sample = test(RANDOM, 4, SAMPLE_MASK, 0);
    // A TCP packet with the flag ACK alone, without IP options.
    let acks = [
        [test(0, 1, 0xff, 0x45), test(9, 1, 0xff, 6), test(33, 1, 0xff, 0x10)],
        [test(0, 1, 0xf0, 0x60), test(6, 1, 0xff, 6), test(53, 1, 0xff, 0x10)],
    ];
    let mut rules = Vec::new();
    for ack in acks {
        rules.push(rule(true, &[&ack[..], &[sample]].concat()));
        rules.push(rule(false, &ack));
    }
    // Less than 1024 bytes.
    rules.push(rule(true, &[test(0, 1, 0xf0, 0x40), test(2, 2, 0xfc00, 0)]));
    rules.push(rule(true, &[test(0, 1, 0xf0, 0x60), test(4, 2, 0xfc00, 0)]));
    rules.push(rule(true, &[sample]));
    rules
}

/// Source and destination of an IP packet.
fn ends(packet: &[u8]) -> Option<[IpAddr; 2]> {
    let v4 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
    let v6 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
    match packet.first()? >> 4 {
        4 => Some([v4(12)?, v4(16)?]),
        6 => Some([v6(8)?, v6(24)?]),
        _ => None,
    }
}
