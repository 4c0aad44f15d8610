//! Audits of the wire: schedules them, runs each in a forked process, and answers the waiting requesters.

use std::io;

use log::{info, warn};

use crate::config::model::{Role, Settings, Tunnel};
use crate::daemon::audit::{self, AUDIT_PACKETS, AuditJob, AuditReport, CapturePoint};
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::control::request::Format;
use crate::daemon::dataplane::liveness::State;
use crate::daemon::dataplane::session::Session;
use crate::daemon::event_loop::{AUDIT, EventLoop};
use crate::daemon::problem::Code;
use crate::plan::tunnel;
use crate::sys::random;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::Nanos;

const HOUR: Nanos = Nanos::from_secs(3_600);
/// Maximum requesters that wait for an audit; further ones are refused.
const MAX_REQUESTERS: usize = 4;
/// An audit that takes this much longer than its capture hangs and is killed.
const AUDIT_TIMEOUT: Nanos = Nanos::from_secs(60);

/// The running, the last and the next audit.
pub struct Audits {
    running: Option<RunningAudit>,
    last: Option<(AuditReport, Nanos)>,
    /// When the next scheduled audit is due.
    next: Nanos,
}

struct RunningAudit {
    worker: Worker,
    deadline: Nanos,
    requesters: Vec<(Format, Requester)>,
}

impl Audits {
    /// The first scheduled audit is due within about a day.
    pub fn new(now: Nanos) -> Audits {
        Audits { running: None, last: None, next: now + HOUR + Nanos(HOUR.0 * random_hours(24)) }
    }

    /// The last report and its time, and whether an audit is running.
    pub fn state(&self) -> (Option<&(AuditReport, Nanos)>, bool) {
        (self.last.as_ref(), self.running.is_some())
    }
}

impl EventLoop {
    /// Starts an audit for a requester, or joins the running one. A requester that does not wait is answered at once.
    pub(super) fn handle_audit_request(
        &mut self,
        packets: u32,
        format: Format,
        waiting: bool,
        requester: Requester,
        now: Nanos,
    ) {
        let started = self.start_audit(packets, now);
        let answer = match (started, &mut self.audits.running) {
            (Err(why), _) => Answer::refused(why),
            (Ok(_), Some(running)) if waiting && running.requesters.len() < MAX_REQUESTERS => {
                running.requesters.push((format, requester));
                return;
            }
            (Ok(_), _) if waiting => Answer::refused("too many requesters wait for the audit: try again"),
            (Ok(expected), _) => requester.values(format, |top| {
                top.flag("running", true);
                top.number("packets", packets.into());
                top.decimal("expected_s", expected.as_secs_f64());
            }),
        };
        self.answer(requester, answer, now);
    }

    /// Starts a scheduled audit that is due, and ends one that hangs. Runs once a second.
    pub(super) fn poll_audits(&mut self, now: Nanos) {
        if self.audits.running.as_ref().is_some_and(|running| now >= running.deadline) {
            return self.handle_audit(now);
        }
        let Some(days) = self.settings.as_ref().and_then(|settings| settings.audit_days) else { return };
        if now < self.audits.next || self.audits.running.is_some() || !self.has_gap(now) {
            return;
        }
        // Half a day more or less, so that each audit runs at another hour.
        let hours = u64::from(days) * 24 - 12 + random_hours(24);
        let next = if self.state(now) == State::Shaping { HOUR.0 * hours } else { HOUR.0 };
        self.audits.next = now + Nanos(next);
        if self.state(now) == State::Shaping {
            // `millpond audit` shows why an audit cannot start.
            _ = self.start_audit(audit::DEFAULT_AUDIT_PACKETS, now);
        }
    }

    /// Handles the report of the running audit, once it is complete.
    pub(super) fn handle_audit(&mut self, now: Nanos) {
        let Some(running) = &mut self.audits.running else { return };
        let report = match running.worker.report() {
            Ok(None) if now < running.deadline => return,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Some(output)) => Ok(output.text),
            Err(error) => Err(error),
        };
        _ = self.poll.remove(&running.worker);
        let requesters = std::mem::take(&mut running.requesters);
        self.audits.running = None;
        let report = report.and_then(|text| {
            let failure = text.strip_prefix(FAILED).map(str::to_owned);
            let report = AuditReport::from_text(&text);
            report.ok_or_else(|| io::Error::other(failure.unwrap_or_else(|| "the report is incomplete".to_owned())))
        });
        let report = report.map(|report| AuditReport { lateness: self.lateness(), ..report });
        match &report {
            Ok(report) => {
                let faults = report.faults.join("; ");
                info!(
                    "audited the wire: {} packets, {}",
                    report.packets,
                    if faults.is_empty() { "no faults" } else { &faults }
                );
                let text = (!report.passed()).then(|| format!("the last audit of the wire found: {faults}"));
                self.set_problem(Code::Audit, text);
                self.audits.last = Some((report.clone(), now));
            }
            Err(error) => warn!("auditing the wire: {error}"),
        }
        let is_router = self.settings.as_ref().is_none_or(|settings| settings.role == Role::Router);
        for (format, requester) in requesters {
            let answer = match (&report, format) {
                (Ok(report), Format::Text) => Answer::Text(report.text(is_router)),
                (Ok(report), _) => requester.values(format, |top| report.put(top, is_router)),
                (Err(error), _) => Answer::refused(format!("auditing the wire: {error}")),
            };
            self.answer(requester, answer, now);
        }
    }

    /// Ends a running audit, because its session has changed.
    pub(super) fn drop_audit(&mut self, now: Nanos) {
        let Some(running) = self.audits.running.take() else { return };
        _ = self.poll.remove(&running.worker);
        for (_, requester) in running.requesters {
            self.answer(
                requester,
                Answer::refused("auditing the wire: the settings changed during the audit: try again"),
                now,
            );
        }
    }

    /// Starts an audit unless one is running, and returns its expected duration. The error says why it cannot start.
    fn start_audit(&mut self, packets: u32, now: Nanos) -> Result<Nanos, String> {
        let job = self.audit_job(packets.clamp(*AUDIT_PACKETS.start(), *AUDIT_PACKETS.end()))?;
        let expected = audit::expected_duration(&job);
        if self.audits.running.is_some() {
            return Ok(expected);
        }
        let Some(settings) = &self.settings else { return Err("there are no settings".to_owned()) };
        let worker = Worker::start(|| match audit::check(&job, settings) {
            Ok(report) => WorkerOutput { text: report.to_text(), fd: None },
            Err(error) => WorkerOutput { text: format!("{FAILED}{error}"), fd: None },
        });
        let worker = worker.and_then(|worker| self.poll.add(&worker, AUDIT).map(|()| worker));
        let worker = worker.map_err(|error| format!("starting the audit process: {error}"))?;
        let deadline = now + audit::max_duration(&job) + AUDIT_TIMEOUT;
        self.audits.running = Some(RunningAudit { worker, deadline, requesters: Vec::new() });
        Ok(expected)
    }

    /// The promise in force and where to capture. The error says why there is nothing to audit.
    fn audit_job(&self, packets: u32) -> Result<AuditJob, String> {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else {
            return Err("there is no tunnel yet: see millpond status".to_owned());
        };
        let sessions = self.sessions.all();
        if !sessions.iter().any(|session| session.next().is_some()) {
            return Err("no cells are sent yet: see millpond status".to_owned());
        }
        if !sessions.iter().any(Session::covers) {
            return Err("a schedule has set level off: there is no promise to check now".to_owned());
        }
        let place = self.capture_point(settings);
        let bytes = if matches!(place, CapturePoint::Wire { .. }) { size.wire_bytes } else { size.inner_bytes };
        let paces = match sessions {
            [session] => session.paces(),
            _ => [None; 2],
        };
        let per_second = |session: &Session| 2e9 / session.engine().pace().mean.0 as f64;
        let per_second = sessions.iter().filter(|session| session.next().is_some()).map(per_second).sum();
        Ok(AuditJob { packets, place, bytes: bytes as u16, paces, per_second, mark: settings.routing_ids.mark })
    }

    fn capture_point(&self, settings: &Settings) -> CapturePoint {
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

/// Prefix of a worker's output that is an error instead of a report.
const FAILED: &str = "failed: ";

/// A random number of hours less than `below`; half of `below` without randomness from the kernel.
fn random_hours(below: u64) -> u64 {
    random::seed().map_or(below / 2, |seed| u64::from(u16::from_ne_bytes([seed[0], seed[1]])) % below)
}
