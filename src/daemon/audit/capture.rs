//! The capture itself, in a process of its own.

use std::io;
use std::net::IpAddr;

use super::strays::Strays;
use super::{AuditJob, AuditReport, CapturePoint};
use crate::config::model::{Role, Settings};
use crate::core::Pace;
use crate::core::audit::{Audit, Finding};
use crate::law::Law;
use crate::sys::capture::{self, Capture, HEAD_BYTES, Layer, Passed, Test};
use crate::sys::epoll::Poll;
use crate::sys::timer::{self, Timer};
use crate::units::Nanos;

/// Beyond twice the time that the packets should take.
const CAPTURE_GRACE: Nanos = Nanos::from_secs(10);

/// By how much the rate of what leaves may differ from the promised one.
const RATE_TOLERANCE: f64 = 0.1;
/// With fewer packets the law alone makes it differ.
const ENOUGH_FOR_RATE: u64 = 200;

const UDP: u32 = 17;
/// Bytes of the UDP header before WireGuard's message type (WireGuard paper, 5.4).
const UDP_HEADER: usize = 8;
const WIREGUARD_DATA: u8 = 4;

/// Captures until enough has passed or time is up, and judges.
pub fn check(order: &AuditJob, settings: &Settings) -> io::Result<AuditReport> {
    let begun = timer::now();
    let (rules, interface) = match &order.place {
        CapturePoint::Wire { peer, port } => (wire_rules(*peer, *port), 0),
        CapturePoint::Interface(name) => (vec![Vec::new()], capture::interface_index(name)?),
    };
    let mut capture = Capture::open(interface, Layer::Network, &rules)?;
    let mut strays = Strays::open(order, settings)?;
    let (mut poll, timer) = (Poll::new()?, Timer::new()?);
    poll.add(&capture, 0)?;
    poll.add(&strays, 1)?;
    poll.add(&timer, 2)?;
    let end = begun + limit(order);
    timer.set(end)?;
    let mut seen = CaptureCounts::new(order);
    let mut head = [0; HEAD_BYTES];
    while seen.packets() < u64::from(order.packets) && timer::now() < end {
        _ = poll.wait()?.count();
        while seen.packets() < u64::from(order.packets) {
            let Some(passed) = capture.receive(&mut head)? else { break };
            seen.take(&passed, &head[..passed.head]);
        }
        strays.take()?;
    }
    let taken = timer::now().saturating_since(begun);
    let mut audited = seen.judge(order, settings.role == Role::Router);
    audited.seconds = (taken.0 / 1_000_000_000) as u32;
    audited.at_unix = timer::wall_clock().as_secs();
    let (packets, connections) = (strays.packets(), strays.connections()?);
    audited.strays = packets + connections;
    if packets > 0 {
        audited.faults.push(format!("{packets} packets of shaped devices left beside the tunnel"));
    }
    if connections > 0 {
        audited.faults.push(format!("{connections} connections of shaped devices lead beside the tunnel"));
    }
    Ok(audited)
}

/// How long the packets should take.
pub fn expected(order: &AuditJob) -> Nanos {
    Nanos((1e9 * f64::from(order.packets) / order.per_second.max(1.0)) as u64)
}

/// Twice as long, and a little more.
pub fn limit(order: &AuditJob) -> Nanos {
    let expected = expected(order);
    expected + expected + CAPTURE_GRACE
}

/// What has passed so far.
pub(super) struct CaptureCounts {
    directions: [Audit; 2],
    handshakes: u64,
    bytes: u16,
    is_wireguard: bool,
    /// By which the first packet left: a packet passes by several, one below the other.
    interface: Option<u32>,
}

impl CaptureCounts {
    pub fn new(order: &AuditJob) -> CaptureCounts {
        let any = Pace { law: Law::Constant, mean: Nanos::from_secs(1), spread_percent: 0 };
        CaptureCounts {
            directions: order.paces.map(|pace| Audit::new(pace.unwrap_or(any), order.bytes)),
            handshakes: 0,
            bytes: order.bytes,
            is_wireguard: matches!(order.place, CapturePoint::Wire { .. }),
            interface: None,
        }
    }

    pub fn packets(&self) -> u64 {
        self.directions.iter().map(Audit::packets).sum()
    }

    pub fn take(&mut self, passed: &Passed, head: &[u8]) {
        if self.interface.is_none() && passed.outgoing {
            self.interface = Some(passed.interface);
        }
        if self.interface != Some(passed.interface) {
            return;
        }
        let ip_header = match head.first().map(|byte| byte >> 4) {
            Some(4) => 20,
            _ => 40,
        };
        let kind = head.get(ip_header + UDP_HEADER).copied();
        if self.is_wireguard && kind.is_some_and(|kind| kind < WIREGUARD_DATA) {
            self.handshakes += 1;
            return;
        }
        let direction = usize::from(!passed.outgoing);
        let at = Nanos(u64::try_from(passed.at.as_nanos()).unwrap_or(u64::MAX));
        self.directions[direction].handle(at, u16::try_from(passed.length).unwrap_or(u16::MAX));
    }

    pub fn judge(&self, order: &AuditJob, is_router: bool) -> AuditReport {
        let mut faults = Vec::new();
        let finding = |direction: usize| {
            let mut finding = self.directions[direction].finding();
            if order.paces[direction].is_none() {
                finding.promised_bits_per_second = 0.0;
            }
            finding
        };
        let findings = [0, 1].map(finding);
        for (index, name) in super::names(is_router).into_iter().enumerate() {
            // How packets come in, the way has had its part in: their sizes alone are judged.
            let is_judged = index == 0 && order.paces[0].is_some();
            faults.extend(wrongs(&findings[index], is_judged, name));
        }
        let packets = self.packets();
        if packets < u64::from(order.packets) {
            faults.push(format!("only {packets} packets passed of {} awaited", order.packets));
        }
        let [sent, received] = findings;
        AuditReport {
            bytes: self.bytes,
            packets,
            handshakes: self.handshakes,
            faults,
            directions: [sent, received].map(|finding| (finding.packets > 0).then_some(finding)),
            ..AuditReport::default()
        }
    }
}

/// What is wrong with one direction: with its sizes, and with its intervals and rate where those can be judged.
fn wrongs(finding: &Finding, with_intervals: bool, name: &str) -> Vec<String> {
    if !with_intervals {
        let sizes = (finding.wrong_sizes > 0).then(|| {
            format!("{name}: {} of {} packets have another size than promised", finding.wrong_sizes, finding.packets)
        });
        return sizes.into_iter().collect();
    }
    let mut wrongs: Vec<_> = finding.wrongs().into_iter().map(|wrong| format!("{name}: {wrong}")).collect();
    let ratio = finding.bits_per_second / finding.promised_bits_per_second.max(1.0);
    if finding.packets >= ENOUGH_FOR_RATE && (ratio - 1.0).abs() > RATE_TOLERANCE {
        let [is, promised] = [finding.bits_per_second, finding.promised_bits_per_second].map(|bits| bits / 1e3);
        wrongs.push(format!("{name}: {is:.0} kbit/s instead of {promised:.0}"));
    }
    wrongs
}

/// UDP between here and the other end's address and port, or from and to our port.
fn wire_rules(peer: Option<IpAddr>, port: u16) -> Vec<Vec<Test>> {
    let test = |at, size, value| Test { at, size, mask: u32::MAX, value };
    let v4 = || vec![test(0, 1, 0x45), test(9, 1, UDP)];
    let v6 = || vec![Test { at: 0, size: 1, mask: 0xf0, value: 0x60 }, test(6, 1, UDP)];
    let rule = |start: Vec<Test>, address: Vec<Test>, port_at| {
        let mut rule = start;
        rule.extend(address);
        rule.push(test(port_at, 2, u32::from(port)));
        rule
    };
    let words = |octets: &[u8], at: u32| -> Vec<Test> {
        let words = octets.chunks_exact(4).zip(0..);
        words
            .map(|(word, index)| test(at + 4 * index, 4, word.iter().fold(0, |sum, b| sum << 8 | u32::from(*b))))
            .collect()
    };
    match peer {
        Some(IpAddr::V4(peer)) => {
            vec![rule(v4(), words(&peer.octets(), 16), 22), rule(v4(), words(&peer.octets(), 12), 20)]
        }
        Some(IpAddr::V6(peer)) => {
            vec![rule(v6(), words(&peer.octets(), 24), 42), rule(v6(), words(&peer.octets(), 8), 40)]
        }
        // This end's port: what leaves has it as its source.
        None => {
            let any = Vec::new;
            vec![rule(v4(), any(), 20), rule(v4(), any(), 22), rule(v6(), any(), 40), rule(v6(), any(), 42)]
        }
    }
}

/// When a captured packet passed, for tests.
#[cfg(test)]
pub(super) fn passed(at: Nanos, outgoing: bool, length: usize, head: usize) -> Passed {
    Passed { at: std::time::Duration::from_nanos(at.0), interface: 3, outgoing, length, head }
}
