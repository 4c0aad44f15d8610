//! Captures and judges the packets, in a separate process.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::quotes::QuoteMonitor;
use super::strays::StrayMonitor;
use super::{AuditJob, AuditReport, CapturePoint};
use crate::config::model::{Role, Settings};
use crate::core::Pace;
use crate::core::audit::{Audit, Finding};
use crate::law::Law;
use crate::sys::capture::{self, Capture, CapturedPacket, HEAD_BYTES, Layer, Test};
use crate::sys::epoll::Poll;
use crate::sys::timer::{self, Timer};
use crate::units::Nanos;
use crate::units::decimals::with_decimals;

/// Added to twice the expected duration.
const CAPTURE_GRACE: Nanos = Nanos::from_secs(10);

/// Maximum relative deviation of the sent rate from the promised one.
const RATE_TOLERANCE: f64 = 0.1;
/// Fewer packets deviate by the law's randomness alone.
const ENOUGH_FOR_RATE: u64 = 200;

/// Pause after a batch of packets in which quotes are searched for, so that a flood costs little time of the processor.
const QUOTES_PAUSE: Duration = Duration::from_millis(10);

const UDP: u32 = 17;
/// Bytes of the UDP header before WireGuard's message type (WireGuard paper, 5.4).
const UDP_HEADER: usize = 8;
const WIREGUARD_DATA: u8 = 4;

/// Captures until enough packets have passed or the time is up, then judges them.
pub fn check(job: &AuditJob, settings: &Settings) -> io::Result<AuditReport> {
    let start = timer::now();
    let (wire, rules, interface) = match &job.place {
        CapturePoint::Wire { peer, port } => (wire_rules(*peer, *port), wire_rules(*peer, *port), 0),
        CapturePoint::Interface(name) => (Vec::new(), vec![Vec::new()], capture::interface_index(name)?),
    };
    let mut capture = Capture::open(interface, Layer::Network, &rules)?;
    let mut strays = StrayMonitor::open(job, settings)?;
    let mut quotes = if job.deep { Some(QuoteMonitor::open(settings, wire)?) } else { None };
    let (mut poll, timer) = (Poll::new()?, Timer::new()?);
    poll.add(&capture, 0)?;
    poll.add(&strays, 1)?;
    poll.add(&timer, 2)?;
    quotes.iter().try_for_each(|quotes| poll.add(quotes, 3))?;
    let end = start + max_duration(job);
    timer.set(end)?;
    let mut counts = CaptureCounts::new(job);
    let mut head = [0; HEAD_BYTES];
    while counts.packets() < u64::from(job.packets) && timer::now() < end {
        _ = poll.wait()?.count();
        while counts.packets() < u64::from(job.packets) {
            let Some(packet) = capture.receive(&mut head)? else { break };
            counts.handle_packet(&packet, &head[..packet.head]);
        }
        strays.handle_packets()?;
        if let Some(quotes) = &mut quotes
            && quotes.handle_packets()?
        {
            std::thread::sleep(QUOTES_PAUSE);
        }
    }
    let elapsed = timer::now().saturating_since(start);
    let mut report = counts.judge(job, settings.role == Role::Router);
    report.seconds = (elapsed.0 / 1_000_000_000) as u32;
    report.at_unix = timer::wall_clock().as_secs();
    let (packets, connections) = (strays.packets(), strays.connections()?);
    report.strays = packets + connections;
    report.quotes = quotes.map(|quotes| quotes.findings());
    if packets > 0 {
        report.faults.push(format!("{packets} packets of shaped devices left outside the tunnel"));
    }
    if connections > 0 {
        report.faults.push(format!("{connections} connections of shaped devices go outside the tunnel"));
    }
    Ok(report)
}

/// The expected duration.
pub fn expected_duration(job: &AuditJob) -> Nanos {
    Nanos((1e9 * f64::from(job.packets) / job.per_second.max(1.0)) as u64)
}

/// The time limit: twice the expected duration plus a grace period.
pub fn max_duration(job: &AuditJob) -> Nanos {
    let expected = expected_duration(job);
    expected + expected + CAPTURE_GRACE
}

/// The packets captured so far.
pub(super) struct CaptureCounts {
    directions: [Audit; 2],
    handshakes: u64,
    bytes: u16,
    is_wireguard: bool,
    /// The interface of the first sent packet. A packet passes several stacked interfaces; only this one counts.
    interface: Option<u32>,
}

impl CaptureCounts {
    pub fn new(job: &AuditJob) -> CaptureCounts {
        let any = Pace { law: Law::Constant, mean: Nanos::from_secs(1), spread_percent: 0 };
        CaptureCounts {
            directions: [0, 1].map(|way| Audit::new(job.paces[way].unwrap_or(any), job.trains[way], job.bytes)),
            handshakes: 0,
            bytes: job.bytes,
            is_wireguard: matches!(job.place, CapturePoint::Wire { .. }),
            interface: None,
        }
    }

    pub fn packets(&self) -> u64 {
        self.directions.iter().map(Audit::packets).sum()
    }

    pub fn handle_packet(&mut self, packet: &CapturedPacket, head: &[u8]) {
        if self.interface.is_none() && packet.outgoing {
            self.interface = Some(packet.interface);
        }
        if self.interface != Some(packet.interface) {
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
        let direction = usize::from(!packet.outgoing);
        let at = Nanos(u64::try_from(packet.at.as_nanos()).unwrap_or(u64::MAX));
        self.directions[direction].handle(at, u16::try_from(packet.length).unwrap_or(u16::MAX));
    }

    pub fn judge(&self, job: &AuditJob, is_router: bool) -> AuditReport {
        let mut faults = Vec::new();
        let finding = |direction: usize| {
            let mut finding = self.directions[direction].finding();
            if job.paces[direction].is_none() {
                finding.promised_bits_per_second = 0.0;
            }
            finding
        };
        let findings = [0, 1].map(finding);
        for (index, name) in super::direction_names(is_router).into_iter().enumerate() {
            // The network path changes intervals of received packets, so only their sizes are judged.
            let is_judged = index == 0 && job.paces[0].is_some();
            faults.extend(direction_faults(&findings[index], is_judged, name));
            let short = self.directions[index].short_trains();
            if is_judged && short > 0 {
                faults.push(format!("{name}: {short} trains have not all their {} cells", job.trains[index]));
            }
        }
        let packets = self.packets();
        if packets < u64::from(job.packets) {
            faults.push(format!("captured only {packets} of {} expected packets", job.packets));
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

/// The faults of one direction: of its sizes, and, `with_intervals`, of its intervals and rate.
fn direction_faults(finding: &Finding, with_intervals: bool, name: &str) -> Vec<String> {
    if !with_intervals {
        let sizes = (finding.wrong_sizes > 0).then(|| {
            format!("{name}: {} of {} packets do not have the promised size", finding.wrong_sizes, finding.packets)
        });
        return sizes.into_iter().collect();
    }
    let mut faults: Vec<_> = finding.violations().into_iter().map(|fault| format!("{name}: {fault}")).collect();
    let ratio = finding.bits_per_second / finding.promised_bits_per_second.max(1.0);
    if finding.packets >= ENOUGH_FOR_RATE && (ratio - 1.0).abs() > RATE_TOLERANCE {
        let [is, promised] =
            [finding.bits_per_second, finding.promised_bits_per_second].map(|bits| with_decimals(bits / 1e3, 0));
        faults.push(format!("{name}: {is} kbit/s instead of {promised}"));
    }
    faults
}

/// Filter rules for UDP to and from the peer's address and port, or without a peer to and from our own port.
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
        // The port is ours: the source port of sent packets, the destination port of received ones.
        None => {
            let any = Vec::new;
            vec![rule(v4(), any(), 20), rule(v4(), any(), 22), rule(v6(), any(), 40), rule(v6(), any(), 42)]
        }
    }
}

/// A captured packet with these properties, for tests.
#[cfg(test)]
pub(super) fn captured(at: Nanos, outgoing: bool, length: usize, head: usize) -> CapturedPacket {
    CapturedPacket { at: std::time::Duration::from_nanos(at.0), interface: 3, outgoing, sender: [0; 6], length, head }
}
