//! Goes through the provider's capture, event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::attribution::{Attribution, attribute, is_refusal};
use super::mark::{Mark, MarkKind, Policy};
use super::testbed::{TestDevice, Testbed};
use crate::lab::capture::{self, CapturedPacket, Frame, IpHeader};
use crate::lab::error::Error;

/// A packet that had left the device before the new policy was in force may still be on its way out.
const IN_FLIGHT_GRACE_NS: u64 = 200_000_000;
/// For so long servers repeat what a device that is newly confined does not acknowledge any more. They cannot know.
const RETRANSMIT_GRACE_NS: u64 = 4_000_000_000;

/// A capture, reduced.
#[derive(Clone, Debug, Default)]
pub struct CaptureAnalysis {
    /// In the order in which they happened.
    pub events: Vec<ScenarioEvent>,
    /// All marks, in the order of the capture.
    pub marks: Vec<Mark>,
    /// Ways of talking that unshaped devices were seen to use beside the tunnel.
    pub kinds_seen: BTreeSet<String>,
    path: std::path::PathBuf,
}

/// What the provider saw from an event's beginning to the next one's.
#[derive(Clone, Debug, Default)]
pub struct ScenarioEvent {
    /// Its name.
    pub name: String,
    /// Milliseconds of uptime.
    pub begin_ms: u64,
    /// When service was due again.
    pub over_ms: Option<u64>,
    /// All packets.
    pub examined: usize,
    /// Of them, cells and handshakes.
    pub tunnel: usize,
    /// Packets of confined devices beside the tunnel.
    pub leaks: usize,
    /// How many of each sort, in words.
    pub leak_kinds: BTreeMap<String, usize>,
}

/// Whether a device is confined now, and since when by the capture's time stamps.
#[derive(Clone, Copy, Default)]
struct Confinement {
    confined: bool,
    /// `None`: for as long as anybody can remember.
    since_ns: Option<u64>,
}

impl CaptureAnalysis {
    /// Reads the capture at `path`.
    pub fn read(path: &Path, testbed: &Testbed) -> Result<CaptureAnalysis, Error> {
        let mut watched = CaptureAnalysis { path: path.to_owned(), ..CaptureAnalysis::default() };
        let confined = |device: &TestDevice| device.policy.is_some_and(Policy::confines);
        let first = |device| Confinement { confined: confined(device), since_ns: None };
        let mut confinement: Vec<Confinement> = testbed.devices.iter().map(first).collect();
        let mut problem = None;
        let mut ended = false;
        capture::read(path, |packet| {
            let frame = Frame::parse(packet.data);
            let ip = frame.as_ref().and_then(Frame::ip);
            match ip.as_ref().and_then(Mark::of) {
                Some(Ok(mark)) => {
                    ended |= mark.kind == MarkKind::End;
                    let taken = watched.handle_mark(mark, testbed, &mut confinement, packet.time_ns);
                    problem = problem.take().or(taken.err());
                }
                Some(Err(text)) => problem = problem.take().or(Some(text)),
                None if ended => {}
                None => watched.handle_packet(testbed, &confinement, &packet, frame.as_ref(), ip.as_ref()),
            }
        })?;
        if !ended {
            problem = problem.or(Some("no mark ends it: the scenario did not run to its end".to_owned()));
        }
        problem.map_or(Ok(watched), |problem| Err(Error::content(path, 0, problem)))
    }

    /// Compares the marks in the capture with those that were set: one line each in the file at `path`.
    pub fn compare(&self, path: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        for (number, line) in text.lines().enumerate() {
            let set = Mark::parse(line);
            if set.as_ref() != self.marks.get(number) {
                let lost = format!("mark `{line}` is not in {}: packets are missing there", self.path.display());
                return Err(Error::content(path, number + 1, lost));
            }
        }
        Ok(())
    }

    fn handle_mark(
        &mut self,
        mark: Mark,
        testbed: &Testbed,
        confinement: &mut [Confinement],
        now_ns: u64,
    ) -> Result<(), String> {
        match &mark.kind {
            MarkKind::Begin(name) => {
                // What came before the first belongs to it.
                let unnamed = self.events.first().is_some_and(|event| event.name.is_empty());
                let before = if unnamed { self.events.remove(0) } else { ScenarioEvent::default() };
                self.events.push(ScenarioEvent { name: name.clone(), begin_ms: mark.ms, ..before });
            }
            MarkKind::CauseEnded => {
                let event = self.events.last_mut().ok_or("a mark `over` before the first event")?;
                event.over_ms = Some(mark.ms);
            }
            MarkKind::Policy { device, policy } => {
                let place = testbed.place(device).ok_or(format!("a policy of the unknown device {device}"))?;
                // From shape to block it stays as confined as it was.
                if confinement[place].confined != policy.confines() {
                    confinement[place] = Confinement { confined: policy.confines(), since_ns: Some(now_ns) };
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
        confinement: &[Confinement],
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
        let outward = frame.source != testbed.provider;
        if testbed.devices[attribution.device].policy.is_none() {
            self.kinds_seen.extend(attribution.kind.filter(|_| outward));
            return;
        }
        let state = confinement[attribution.device];
        if state.confined && !excused(state, packet.time_ns, outward, &attribution, frame, ip) {
            event.leaks += 1;
            *event.leak_kinds.entry(describe(testbed, &attribution, outward, ip)).or_default() += 1;
        }
    }
}

/// What may be seen of a confined device, none of it its doing.
fn excused(
    state: Confinement,
    now_ns: u64,
    outward: bool,
    attribution: &Attribution,
    frame: &Frame<'_>,
    ip: &IpHeader<'_>,
) -> bool {
    // Those outside send what they like: it matters whether it gets in, which the journals tell, and what comes back.
    let within = |grace_ns| state.since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) < grace_ns);
    match outward {
        true => within(IN_FLIGHT_GRACE_NS) || is_refusal(frame, ip),
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

/// TestDevice and direction, and what the packet says or else where it goes.
fn describe(testbed: &Testbed, attribution: &Attribution, outward: bool, ip: &IpHeader<'_>) -> String {
    let name = &testbed.devices[attribution.device].name;
    let (way, other) = if outward { ("out", ip.destination) } else { ("in", ip.source) };
    match &attribution.kind {
        Some(kind) if !attribution.intruder => format!("{name} {way} {kind}"),
        _ => format!("{name} {way} {other} protocol {}", ip.protocol),
    }
}
