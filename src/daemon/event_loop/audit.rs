//! The loop's part of the check of the wire: when, by a process of its own, and who waits for it.

use std::io;

use log::{info, warn};

use super::super::audit::{self, AuditJob, AuditReport, CapturePoint, PACKETS};
use super::super::liveness::State;
use super::super::problem::Code;
use super::super::request::{Answer, Format, Requester};
use super::super::session::Session;
use super::{AUDIT, EventLoop};
use crate::config::model::{Role, Settings, Tunnel};
use crate::plan::tunnel;
use crate::sys::random;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::Nanos;

const HOUR: Nanos = Nanos::from_secs(3_600);
/// Those who wait beyond this are sent away.
const MAX_REQUESTERS: usize = 4;
/// What takes so much longer than the capture hangs, and is killed.
const AUDIT_TIMEOUT: Nanos = Nanos::from_secs(60);

/// Checks that were made and are to come.
pub struct Audits {
    running: Option<RunningAudit>,
    last: Option<(AuditReport, Nanos)>,
    /// When the next one is due by itself.
    next: Nanos,
}

struct RunningAudit {
    worker: Worker,
    until: Nanos,
    requesters: Vec<(Format, Requester)>,
}

impl Audits {
    /// The first comes within a day.
    pub fn new(now: Nanos) -> Audits {
        Audits { running: None, last: None, next: now + HOUR + Nanos(HOUR.0 * random_hours(24)) }
    }

    /// What was found last and when, and whether another is under way.
    pub fn state(&self) -> (Option<&(AuditReport, Nanos)>, bool) {
        (self.last.as_ref(), self.running.is_some())
    }
}

impl EventLoop {
    /// Begins a check for somebody who asks. One who does not wait is answered at once.
    pub(super) fn ask_for_audit(
        &mut self,
        packets: u32,
        format: Format,
        waiting: bool,
        requester: Requester,
        now: Nanos,
    ) {
        let begun = self.begin_audit(packets, now);
        let answer = match (begun, &mut self.audits.running) {
            (Err(why), _) => Answer::refused(why),
            (Ok(_), Some(running)) if waiting && running.requesters.len() < MAX_REQUESTERS => {
                running.requesters.push((format, requester));
                return;
            }
            (Ok(_), _) if waiting => Answer::refused("too many wait for the check: try again"),
            (Ok(expected), _) => requester.values(format, |top| {
                top.flag("running", true);
                top.number("packets", packets.into());
                top.decimal("expected_s", expected.as_secs_f64());
            }),
        };
        self.answer(requester, answer, now);
    }

    /// Once a second: what is due by itself, and what hangs.
    pub(super) fn poll_audits(&mut self, now: Nanos) {
        if self.audits.running.as_ref().is_some_and(|running| now >= running.until) {
            return self.handle_audit(now);
        }
        let Some(days) = self.settings.as_ref().and_then(|settings| settings.audit_days) else { return };
        if now < self.audits.next || self.audits.running.is_some() || !self.has_gap(now) {
            return;
        }
        // Half a day more or less, so that it comes at another hour each time.
        let hours = u64::from(days) * 24 - 12 + random_hours(24);
        let next = if self.state(now) == State::Shaping { HOUR.0 * hours } else { HOUR.0 };
        self.audits.next = now + Nanos(next);
        if self.state(now) == State::Shaping {
            // Why not, somebody who asks will hear.
            _ = self.begin_audit(audit::DEFAULT_PACKETS, now);
        }
    }

    /// Takes what was found, once it is there.
    pub(super) fn handle_audit(&mut self, now: Nanos) {
        let Some(running) = &mut self.audits.running else { return };
        let report = match running.worker.report() {
            Ok(None) if now < running.until => return,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Some(report)) => Ok(report.text),
            Err(error) => Err(error),
        };
        _ = self.poll.remove(&running.worker);
        let requesters = std::mem::take(&mut running.requesters);
        self.audits.running = None;
        let found = report.and_then(|text| {
            let refused = text.strip_prefix(FAILED).map(str::to_owned);
            let found = AuditReport::from_text(&text);
            found.ok_or_else(|| io::Error::other(refused.unwrap_or_else(|| "its report is not whole".to_owned())))
        });
        let found = found.map(|audited| AuditReport { lateness: self.lateness(), ..audited });
        match &found {
            Ok(audited) => {
                let faults = audited.faults.join("; ");
                info!(
                    "checked the wire: {} packets, {}",
                    audited.packets,
                    if faults.is_empty() { "all well" } else { &faults }
                );
                let text = (!audited.is_good()).then(|| format!("the check of the wire found: {faults}"));
                self.set_problem(Code::Audit, text);
                self.audits.last = Some((audited.clone(), now));
            }
            Err(error) => warn!("checking the wire: {error}"),
        }
        let is_router = self.settings.as_ref().is_none_or(|settings| settings.role == Role::Router);
        for (format, requester) in requesters {
            let answer = match (&found, format) {
                (Ok(audited), Format::Text) => Answer::Text(audited.text(is_router)),
                (Ok(audited), _) => requester.values(format, |top| audited.put(top, is_router)),
                (Err(error), _) => Answer::refused(format!("checking the wire: {error}")),
            };
            self.answer(requester, answer, now);
        }
    }

    /// Ends a check of a session that is another now.
    pub(super) fn drop_audit(&mut self, now: Nanos) {
        let Some(running) = self.audits.running.take() else { return };
        _ = self.poll.remove(&running.worker);
        for (_, requester) in running.requesters {
            self.answer(
                requester,
                Answer::refused("checking the wire: the settings have changed meanwhile: try again"),
                now,
            );
        }
    }

    /// Gives how long it will take.
    fn begin_audit(&mut self, packets: u32, now: Nanos) -> Result<Nanos, String> {
        let order = self.order(packets.clamp(*PACKETS.start(), *PACKETS.end()))?;
        let expected = audit::expected(&order);
        if self.audits.running.is_some() {
            return Ok(expected);
        }
        let Some(settings) = &self.settings else { return Err("there are no settings".to_owned()) };
        let worker = Worker::start(|| match audit::check(&order, settings) {
            Ok(audited) => WorkerOutput { text: audited.to_text(), fd: None },
            Err(error) => WorkerOutput { text: format!("{FAILED}{error}"), fd: None },
        });
        let worker = worker.and_then(|worker| self.poll.add(&worker, AUDIT).map(|()| worker));
        let worker = worker.map_err(|error| format!("starting a process that checks the wire: {error}"))?;
        let until = now + audit::limit(&order) + AUDIT_TIMEOUT;
        self.audits.running = Some(RunningAudit { worker, until, requesters: Vec::new() });
        Ok(expected)
    }

    /// What is promised now, and where it shows; or why there is nothing to check.
    fn order(&self, packets: u32) -> Result<AuditJob, String> {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else {
            return Err("there is no tunnel yet: see millpond status".to_owned());
        };
        let sessions = self.sessions.all();
        if !sessions.iter().any(|session| session.next().is_some()) {
            return Err("no cells leave yet: see millpond status".to_owned());
        }
        if !sessions.iter().any(Session::covers) {
            return Err("a schedule has level off now: nothing is promised".to_owned());
        }
        let place = self.place(settings);
        let bytes = if matches!(place, CapturePoint::Wire { .. }) { size.wire_bytes } else { size.inner_bytes };
        let paces = match sessions {
            [session] => session.paces(),
            _ => [None; 2],
        };
        let per_second = |session: &Session| 2e9 / session.engine().pace().mean.0 as f64;
        let per_second = sessions.iter().filter(|session| session.next().is_some()).map(per_second).sum();
        Ok(AuditJob { packets, place, bytes: bytes as u16, paces, per_second, mark: settings.routing_ids.mark })
    }

    fn place(&self, settings: &Settings) -> CapturePoint {
        match (&settings.tunnel, self.endpoint.address()) {
            (Some(Tunnel::Wireguard(_)), Some(peer)) if settings.role == Role::Router => {
                CapturePoint::Wire { peer: Some(peer.ip()), port: peer.port() }
            }
            (Some(Tunnel::Wireguard(wireguard)), _) if wireguard.listen_port.is_some() => {
                CapturePoint::Wire { peer: None, port: wireguard.listen_port.unwrap_or_default() }
            }
            _ => CapturePoint::Interface(tunnel::interface(settings).to_owned()),
        }
    }

    fn lateness(&self) -> Option<[Nanos; 2]> {
        let lateness = &self.sessions.all().first()?.engine().stats().lateness;
        Some([lateness.percentile(99.0), lateness.max()])
    }
}

/// How a report begins that says why there is none.
const FAILED: &str = "failed: ";

/// Fewer than `below`; without randomness, half as many.
fn random_hours(below: u64) -> u64 {
    random::seed().map_or(below / 2, |seed| u64::from(u16::from_ne_bytes([seed[0], seed[1]])) % below)
}
