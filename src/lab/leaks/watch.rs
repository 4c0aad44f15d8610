//! Analyses the provider's capture, event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::attribution::{Attribution, attribute, is_refusal};
use super::mark::{Mark, MarkKind, Policy};
use super::testbed::{TestDevice, Testbed};
use crate::lab::capture::{self, CapturedPacket, Frame, IpHeader};
use crate::lab::error::Error;

/// For this long after a change of policy, packets that the device sent before it may still cross the WAN.
const IN_FLIGHT_GRACE_NS: u64 = 200_000_000;
/// For this long after a device becomes protected, its servers may retransmit what the device no longer acknowledges.
const RETRANSMIT_GRACE_NS: u64 = 4_000_000_000;

/// The analysed capture of a run.
#[derive(Clone, Debug, Default)]
pub struct CaptureAnalysis {
    /// The events in the order in which they happened.
    pub events: Vec<ScenarioEvent>,
    /// All marks, in the order of the capture.
    pub marks: Vec<Mark>,
    /// Kinds of requests of unshaped devices that the capture shows outside the tunnel.
    pub kinds_seen: BTreeSet<String>,
    path: std::path::PathBuf,
}

/// What the provider captured from the start of an event to the start of the next one.
#[derive(Clone, Debug, Default)]
pub struct ScenarioEvent {
    /// Name of the event.
    pub name: String,
    /// Start of the event, milliseconds of uptime.
    pub begin_ms: u64,
    /// When service was due again, milliseconds of uptime.
    pub cause_ended_ms: Option<u64>,
    /// Number of packets.
    pub examined: usize,
    /// Packets of these in the tunnel: cells and handshakes.
    pub tunnel: usize,
    /// Packets of protected devices outside the tunnel.
    pub leaks: usize,
    /// Descriptions of the leaks, and how many there are of each.
    pub leak_kinds: BTreeMap<String, usize>,
    /// How many of the leaks contain a request of each kind, quote it or answer it.
    pub leaked_requests: BTreeMap<String, usize>,
}

/// Whether a device is protected now, and since when by the capture's time stamps.
#[derive(Clone, Copy, Default)]
struct Protection {
    protected: bool,
    /// `None` if since the start of the run.
    since_ns: Option<u64>,
}

impl CaptureAnalysis {
    /// Reads the capture at `path`.
    pub fn read(path: &Path, testbed: &Testbed) -> Result<CaptureAnalysis, Error> {
        let mut watched = CaptureAnalysis { path: path.to_owned(), ..CaptureAnalysis::default() };
        let protected = |device: &TestDevice| device.policy.is_some_and(Policy::protects);
        let first = |device| Protection { protected: protected(device), since_ns: None };
        let mut protection: Vec<Protection> = testbed.devices.iter().map(first).collect();
        let mut problem = None;
        let mut ended = false;
        capture::read(path, |packet| {
            let frame = packet.frame();
            let ip = frame.as_ref().and_then(Frame::ip);
            match ip.as_ref().and_then(Mark::of) {
                Some(Ok(mark)) => {
                    ended |= mark.kind == MarkKind::End;
                    let result = watched.handle_mark(mark, testbed, &mut protection, packet.time_ns);
                    problem = problem.take().or(result.err());
                }
                Some(Err(text)) => problem = problem.take().or(Some(text)),
                None if ended => return Err("after the end of the run"),
                None => watched.handle_packet(testbed, &protection, &packet, frame.as_ref(), ip.as_ref()),
            }
            Ok(())
        })?
        .complete()?;
        if !ended {
            problem = problem.or(Some("the mark `end` is missing: the scenario did not finish".to_owned()));
        }
        problem.map_or(Ok(watched), |problem| Err(Error::content(path, 0, problem)))
    }

    /// Compares the marks in the capture with the lines of the file at `path`, where the scenario records each mark.
    pub fn compare(&self, path: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        for (number, line) in text.lines().enumerate() {
            let set = Mark::parse(line);
            if set.as_ref() != self.marks.get(number) {
                let lost = format!("mark `{line}` is not in {}: the capture lacks packets", self.path.display());
                return Err(Error::content(path, number + 1, lost));
            }
        }
        Ok(())
    }

    fn handle_mark(
        &mut self,
        mark: Mark,
        testbed: &Testbed,
        protection: &mut [Protection],
        now_ns: u64,
    ) -> Result<(), String> {
        match &mark.kind {
            MarkKind::Begin(name) => {
                // Packets before the first mark count to the first event.
                let unnamed = self.events.first().is_some_and(|event| event.name.is_empty());
                let before = if unnamed { self.events.remove(0) } else { ScenarioEvent::default() };
                self.events.push(ScenarioEvent { name: name.clone(), begin_ms: mark.ms, ..before });
            }
            MarkKind::CauseEnded => {
                let event = self.events.last_mut().ok_or("the mark `cause_ended` comes before the first event")?;
                event.cause_ended_ms = Some(mark.ms);
            }
            MarkKind::Policy { device, policy } => {
                let index =
                    testbed.index(device).ok_or(format!("a mark sets the policy of the unknown device {device}"))?;
                // A change between `shape` and `block` keeps the protection, so no new grace period starts.
                if protection[index].protected != policy.protects() {
                    protection[index] = Protection { protected: policy.protects(), since_ns: Some(now_ns) };
                }
            }
            MarkKind::Outage(..) | MarkKind::End => {}
        }
        self.marks.push(mark);
        Ok(())
    }

    fn handle_packet(
        &mut self,
        testbed: &Testbed,
        protection: &[Protection],
        packet: &CapturedPacket<'_>,
        frame: Option<&Frame<'_>>,
        ip: Option<&IpHeader<'_>>,
    ) {
        if self.events.is_empty() {
            self.events.push(ScenarioEvent::default());
        }
        let Some(event) = self.events.last_mut() else { return };
        event.examined += 1;
        let (Some(frame), Some(ip)) = (frame, ip) else { return };
        if is_tunnel(testbed, ip) {
            event.tunnel += 1;
            return;
        }
        let Some(attribution) = attribute(testbed, ip) else { return };
        let outward = frame.source != Some(testbed.provider);
        if testbed.devices[attribution.device].policy.is_none() {
            self.kinds_seen.extend(attribution.kind.filter(|_| outward));
            return;
        }
        let state = protection[attribution.device];
        if state.protected && !excused(state, packet.time_ns, outward, &attribution, frame, ip) {
            event.leaks += 1;
            if let Some(kind) = &attribution.kind {
                *event.leaked_requests.entry(kind.clone()).or_default() += 1;
            }
            *event.leak_kinds.entry(describe(testbed, &attribution, outward, ip)).or_default() += 1;
        }
    }
}

/// Whether the provider may see this packet of a protected device, because the device did not cause it.
fn excused(
    state: Protection,
    now_ns: u64,
    outward: bool,
    attribution: &Attribution,
    frame: &Frame<'_>,
    ip: &IpHeader<'_>,
) -> bool {
    // Any outside host may send packets to the home. The journals record whether these reach a device, and an answer
    // is a leak.
    let within = |grace_ns| state.since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) < grace_ns);
    match outward {
        true => within(IN_FLIGHT_GRACE_NS) || (attribution.intruder && is_refusal(frame, ip)),
        false => attribution.intruder || within(RETRANSMIT_GRACE_NS),
    }
}

fn is_tunnel(testbed: &Testbed, ip: &IpHeader<'_>) -> bool {
    let Some(udp) = ip.udp() else { return false };
    let ends = |router: IpAddr, endpoint: IpAddr, port: u16| {
        testbed.routers.contains(&router) && testbed.endpoints.contains(&endpoint) && port == testbed.tunnel_port
    };
    // Message types of WireGuard (its paper, section 5.4).
    matches!(udp.payload.first(), Some(1..=4))
        && (ends(ip.source, ip.destination, udp.destination_port) || ends(ip.destination, ip.source, udp.source_port))
}

/// Device and direction, with the kind of request or else the other address.
fn describe(testbed: &Testbed, attribution: &Attribution, outward: bool, ip: &IpHeader<'_>) -> String {
    let name = &testbed.devices[attribution.device].name;
    let (direction, other) = if outward { ("out", ip.destination) } else { ("in", ip.source) };
    match &attribution.kind {
        Some(kind) if !attribution.intruder => format!("{name} {direction} {kind}"),
        _ => format!("{name} {direction} {other} protocol {}", ip.protocol),
    }
}
