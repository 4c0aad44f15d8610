//! Schedules the audits of the wire, and runs each in a forked process.

use std::net::SocketAddr;

use log::{info, warn};

use super::{AUDIT_PACKETS, AuditJob, AuditReport, CapturePoint, DEFAULT_AUDIT_PACKETS, LatenessReport, capture};
use crate::config::model::{Role, Settings};
use crate::daemon::dataplane::session_report::SessionReport;
use crate::daemon::token::Token;
use crate::daemon::worker::{RunningWorker, poll_worker, stop_worker};
use crate::sys::epoll::Poll;
use crate::sys::worker::WorkerOutput;
use crate::tunnel;
use crate::units::Nanos;
use crate::wire::size::CellSize;

const HOUR: Nanos = Nanos::from_secs(3_600);
/// An audit that takes this much longer than its capture hangs and is killed.
const AUDIT_TIMEOUT: Nanos = Nanos::from_secs(60);
/// Prefix of a worker's output that is an error instead of a report.
const FAILED: &str = "failed: ";

/// The running, the last and the next audit.
pub struct Audits {
    running: Option<RunningWorker>,
    /// Whether the running audit also looks for quotes.
    is_deep: bool,
    last: Option<(AuditReport, Nanos)>,
    /// When the next scheduled audit is due.
    next: Nanos,
}

/// What an audit needs to know of the tunnel.
#[derive(Clone, Copy)]
pub struct AuditView<'a> {
    /// The settings in force.
    pub settings: Option<&'a Settings>,
    /// The size of a cell, once it is known.
    pub size: Option<CellSize>,
    /// The sessions.
    pub sessions: &'a [SessionReport],
    /// The address of a router's endpoint, once it is known.
    pub endpoint: Option<SocketAddr>,
}

impl Audits {
    /// The first scheduled audit is due within about a day; `random` decides when.
    pub fn new(random: u16, now: Nanos) -> Audits {
        Audits { running: None, is_deep: false, last: None, next: now + HOUR + hours(u64::from(random) % 24) }
    }

    /// The last report, and when it was made.
    pub fn last(&self) -> Option<&(AuditReport, Nanos)> {
        self.last.as_ref()
    }

    /// Whether an audit is running.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the running audit hangs, so that [`Audits::handle_output`] must end it.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        self.running.as_ref().is_some_and(|running| running.is_overdue(now))
    }

    /// Whether a scheduled audit must start now, every `days` days. `is_shaping` says whether there is a promise to
    /// check, `has_gap` whether no cell is about to leave, and `draw` decides when the next one is due. To be asked
    /// about once a second.
    pub fn poll_schedule(
        &mut self,
        days: Option<u16>,
        is_shaping: bool,
        has_gap: impl FnOnce() -> bool,
        draw: impl FnOnce() -> u16,
        now: Nanos,
    ) -> bool {
        let Some(days) = days.filter(|_| now >= self.next && self.running.is_none()) else { return false };
        if !has_gap() {
            return false;
        }
        // Half a day more or less, so that each audit runs at another hour.
        let later = || hours(u64::from(days) * 24 - 12 + u64::from(draw()) % 24);
        self.next = now + if is_shaping { later() } else { HOUR };
        is_shaping
    }

    /// Starts an audit of `packets` packets, clamped to [`AUDIT_PACKETS`] ([`DEFAULT_AUDIT_PACKETS`] if `None`), unless
    /// one is running. A `deep` one also looks for packets from the router that quote confined devices. Returns its
    /// expected duration.
    ///
    /// # Errors
    /// Why it cannot start, in one line.
    pub fn start(
        &mut self,
        packets: Option<u32>,
        deep: bool,
        view: AuditView<'_>,
        poll: &Poll,
        now: Nanos,
    ) -> Result<Nanos, String> {
        let packets = packets.unwrap_or(DEFAULT_AUDIT_PACKETS).clamp(*AUDIT_PACKETS.start(), *AUDIT_PACKETS.end());
        let (settings, job) = audit_job(packets, deep, view)?;
        if deep && settings.role == Role::Endpoint {
            return Err("an endpoint has no devices that its packets could quote: repeat without deep".to_owned());
        }
        let expected = capture::expected_duration(&job);
        if self.running.is_some() {
            let joins = self.is_deep || !deep;
            let why = "an audit that does not look for quotes is running: repeat when it has ended";
            return if joins { Ok(expected) } else { Err(why.to_owned()) };
        }
        self.is_deep = deep;
        let timeout = capture::max_duration(&job) + AUDIT_TIMEOUT;
        let started = RunningWorker::start(poll, Token::Audit, now, timeout, || match capture::check(&job, settings) {
            Ok(report) => WorkerOutput { text: report.to_text(), fd: None },
            Err(error) => WorkerOutput { text: format!("{FAILED}{error}"), fd: None },
        });
        self.running = Some(started.map_err(|error| format!("starting the audit process: {error}"))?);
        Ok(expected)
    }

    /// Handles the output of the running audit. Returns its report once it is complete, or why there is none.
    /// `lateness` is that of the departures since the daemon started.
    pub fn handle_output(
        &mut self,
        lateness: Option<LatenessReport>,
        poll: &Poll,
        now: Nanos,
    ) -> Option<Result<AuditReport, String>> {
        let output = poll_worker(&mut self.running, poll, now)?;
        let report = output.map_err(|error| error.to_string()).and_then(|output| parse_output(&output.text));
        let report = report.map(|report| AuditReport { lateness, ..report });
        match &report {
            Ok(report) => {
                let faults = report.sentences().collect::<Vec<_>>().join("; ");
                info!(
                    "audited the wire: {} packets, {}",
                    report.packets,
                    if faults.is_empty() { "no faults" } else { &faults }
                );
                self.last = Some((report.clone(), now));
            }
            Err(why) => warn!("auditing the wire: {why}"),
        }
        Some(report)
    }

    /// Ends a running audit, because its session has changed. Returns whether there was one.
    pub fn stop(&mut self, poll: &Poll) -> bool {
        stop_worker(&mut self.running, poll)
    }
}

fn parse_output(text: &str) -> Result<AuditReport, String> {
    let failure = text.strip_prefix(FAILED);
    AuditReport::from_text(text).ok_or_else(|| failure.unwrap_or("the report is incomplete").to_owned())
}

/// The promise in force and where to capture. The error says why there is nothing to audit.
fn audit_job<'a>(packets: u32, deep: bool, view: AuditView<'a>) -> Result<(&'a Settings, AuditJob), String> {
    let (Some(settings), Some(size)) = (view.settings, view.size) else {
        return Err("there is no tunnel yet: see millpond status".to_owned());
    };
    let sessions = view.sessions;
    if !sessions.iter().any(|session| session.sends) {
        return Err("no cells are sent yet: see millpond status".to_owned());
    }
    if !sessions.iter().any(|session| session.covers) {
        return Err("a schedule has set level off: there is no promise to check now".to_owned());
    }
    let place = tunnel::capture_point(settings, view.endpoint);
    let bytes = if matches!(place, CapturePoint::Wire { .. }) { size.wire_bytes } else { size.inner_bytes };
    let (paces, trains) = match sessions {
        // No one pace holds for a window with bursts.
        [session] if session.has_bursts => ([None; 2], [1; 2]),
        [session] => (session.paces, session.trains),
        _ => ([None; 2], [1; 2]),
    };
    let per_second = sessions.iter().map(SessionReport::cells_per_second).sum();
    let mark = settings.routing_ids.mark;
    let job = AuditJob { packets, place, bytes: bytes as u16, paces, trains, per_second, mark, deep };
    Ok((settings, job))
}

fn hours(count: u64) -> Nanos {
    Nanos(HOUR.0 * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduled_audits_come_at_another_hour_each_time() {
        let mut audits = Audits::new(5, Nanos::ZERO);
        let mut starts = Vec::new();
        for hour in 0..24 * 30 {
            let random = (hour * 7) as u16;
            if audits.poll_schedule(Some(7), true, || true, || random, hours(hour)) {
                starts.push(hour);
            }
        }
        assert_eq!(starts[0], 6, "an hour and the drawn ones after the start");
        for pair in starts.windows(2) {
            assert!((7 * 24 - 12..7 * 24 + 12).contains(&(pair[1] - pair[0])), "{starts:?}");
        }
        assert!(starts.len() >= 4);
    }

    #[test]
    fn without_a_promise_an_audit_waits_another_hour() {
        let mut audits = Audits::new(0, Nanos::ZERO);
        assert!(!audits.poll_schedule(Some(7), false, || true, || 0, hours(1)));
        assert!(!audits.poll_schedule(Some(7), true, || true, || 0, hours(1) + Nanos::from_secs(1)));
        assert!(!audits.poll_schedule(Some(7), true, || false, || 0, hours(2)), "a cell is about to leave");
        assert!(audits.poll_schedule(Some(7), true, || true, || 0, hours(2)));
        assert!(!audits.poll_schedule(None, true, || true, || 0, hours(9_999)), "switched off");
    }

    #[test]
    fn an_audit_without_a_tunnel_says_why() {
        let view = AuditView { settings: None, size: None, sessions: &[], endpoint: None };
        let poll = Poll::new().expect("an epoll instance");
        let refused = Audits::new(0, Nanos::ZERO).start(None, true, view, &poll, Nanos::ZERO);
        assert_eq!(refused, Err("there is no tunnel yet: see millpond status".to_owned()));
    }

    #[test]
    fn the_output_of_a_failed_audit_is_its_error() {
        assert_eq!(parse_output("failed: no such interface"), Err("no such interface".to_owned()));
        assert_eq!(parse_output("found 1"), Err("the report is incomplete".to_owned()));
        let report = AuditReport { packets: 7, ..AuditReport::default() };
        assert_eq!(parse_output(&report.to_text()), Ok(report));
    }
}
