//! Applies the checks to each event.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::{MarkKind, Policy};
use super::watch::ScenarioEvent;
use super::{EventReport, LeakReport, LeakRun};
use crate::lab::flat_line::{CheckResult, Verdict};

/// A build without the guard must leak in at least this many events.
const MIN_LEAKING_EVENTS: usize = 24;
/// The report of an event lists at most this many kinds of leaks.
const MAX_LISTED_LEAK_KINDS: usize = 12;
/// The requests that measure service: ten datagrams a second, of which unshaped devices must lose none.
const SERVICE_PROBE: &str = "udp4";
/// Requests sent this long before an outage may lose their answer in it, and those just after it may be lost too.
const OUTAGE_MARGIN_MS: u64 = 500;
/// For this long after a change of policy, a device may still read packets that were admitted before it.
const IN_FLIGHT_GRACE_MS: u64 = 200;

/// The build of millpond that the run tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestedBuild {
    /// The released build, which must not leak.
    Guarded,
    /// A build without the guard. The checks must find its leaks, or they would not find any.
    Unguarded,
}

/// Reports on a run and checks it.
pub fn judge(run: &LeakRun, build: TestedBuild) -> (LeakReport, Vec<CheckResult>) {
    let mut checks = Vec::new();
    let mut events = Vec::new();
    for (index, event) in run.capture.events.iter().enumerate() {
        let to_ms = run.capture.events.get(index + 1).map_or_else(|| run.end_ms(), |next| next.begin_ms);
        let from_ms = if index == 0 { 0 } else { event.begin_ms };
        let reached = run.reached(from_ms, to_ms);
        let report = EventReport {
            name: event.name.clone(),
            examined: event.examined,
            leaks: event.leaks + reached.len(),
            recovery_s: run.recovery_s(event, to_ms),
            unshaped_lost: run.unshaped_lost(event.begin_ms, to_ms),
        };
        let silent = run.silent(event.begin_ms, to_ms);
        if !silent.is_empty() {
            checks.push(check(&event.name, false, || format!("devices that sent no request: {silent:?}")));
        }
        match build {
            TestedBuild::Guarded => no_leak(event, &report, &reached, &mut checks),
            TestedBuild::Unguarded => own_leaks(event, &run.own_kinds(event.begin_ms, to_ms), &mut checks),
        }
        events.push(report);
    }
    let unseen = run.unseen();
    let all = "every kind of request, and every kind of access from outside, works for an unshaped device";
    checks.push(check("laboratory", unseen.is_empty(), || match unseen.is_empty() {
        true => all.to_owned(),
        false => format!("{all}, except {unseen:?}"),
    }));
    match build {
        TestedBuild::Guarded => {
            let (count, min) = (events.len(), run.testbed.min_events);
            checks.push(check("events", count >= min, || format!("{count} events, at least {min} required")));
        }
        TestedBuild::Unguarded => {
            let caught: Vec<&str> =
                events.iter().filter(|event| event.leaks > 0).map(|event| event.name.as_str()).collect();
            let what = format!(
                "{} events leak without the guard, at least {MIN_LEAKING_EVENTS} required: {caught:?}",
                caught.len()
            );
            checks.push(check("laboratory", caught.len() >= MIN_LEAKING_EVENTS, || what));
        }
    }
    (LeakReport { events }, checks)
}

fn no_leak(event: &ScenarioEvent, report: &EventReport, reached: &[String], checks: &mut Vec<CheckResult>) {
    let name = &event.name;
    checks.push(check(name, report.examined > 0 && report.leaks == 0, || {
        let mut leak_kinds = event.leak_kinds.clone();
        reached.iter().for_each(|words| *leak_kinds.entry(words.clone()).or_default() += 1);
        let (leaks, examined, tunnel) = (report.leaks, report.examined, event.tunnel);
        let which = if leak_kinds.is_empty() { String::new() } else { format!(": {}", list(&leak_kinds)) };
        format!("{leaks} leaks in {examined} packets, {tunnel} of them in the tunnel{which}")
    }));
    if event.cause_ended_ms.is_some() {
        checks.push(check(name, report.recovery_s.is_some(), || match report.recovery_s {
            Some(seconds) => format!("shaped service recovered after {seconds:.1} s"),
            None => "shaped service did not recover".to_owned(),
        }));
    }
    checks.push(check(name, report.unshaped_lost == 0, || {
        format!("unshaped devices lost {} requests", report.unshaped_lost)
    }));
}

/// Without the guard, what devices tried in this event alone must have been found.
fn own_leaks(event: &ScenarioEvent, own_kinds: &BTreeSet<&str>, checks: &mut Vec<CheckResult>) {
    if own_kinds.is_empty() {
        return;
    }
    let found = |kind: &&str| event.leaked_requests.get(*kind).map(|&count| ((*kind).to_owned(), count));
    let missing: Vec<_> = own_kinds.iter().filter(|kind| found(kind).is_none()).collect();
    checks.push(check(&event.name, missing.is_empty(), || match missing.is_empty() {
        true => format!(
            "{} leaks without the guard, of these by what devices tried in this event alone: {}",
            event.leaks,
            list(&own_kinds.iter().filter_map(found).collect())
        ),
        false => format!("nothing leaks without the guard of {missing:?}: {}", list(&event.leak_kinds)),
    }));
}

/// The most frequent kinds of leaks and how many there are of each.
fn list(leak_kinds: &BTreeMap<String, usize>) -> String {
    let mut sorted: Vec<_> = leak_kinds.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut listed: Vec<String> = sorted.iter().map(|(words, count)| format!("{count} {words}")).collect();
    if listed.len() > MAX_LISTED_LEAK_KINDS {
        let more = listed.split_off(MAX_LISTED_LEAK_KINDS).len();
        listed.push(format!("{more} more kinds"));
    }
    listed.join("; ")
}

fn check(subject: &str, holds: bool, what: impl FnOnce() -> String) -> CheckResult {
    let verdict = if holds { Verdict::Passed } else { Verdict::Failed };
    CheckResult { verdict, subject: subject.to_owned(), what: what() }
}

impl LeakRun {
    fn end_ms(&self) -> u64 {
        self.capture.marks.last().map_or(0, |mark| mark.ms)
    }

    /// Seconds from the mark `cause_ended` until every device that is not blocked got an answer, over the path that its
    /// policy names, to a request sent after the mark.
    fn recovery_s(&self, event: &ScenarioEvent, to_ms: u64) -> Option<f64> {
        let cause_ended_ms = event.cause_ended_ms?;
        let mut slowest = 0;
        for (device, journal) in self.testbed.devices.iter().zip(&self.journals.0) {
            let path = match self.policy(&device.name, to_ms.saturating_sub(1)) {
                Some((Policy::Shape, _)) => &self.testbed.endpoints,
                Some((Policy::Direct, _)) => &self.testbed.routers,
                Some((Policy::Block, _)) | None => continue,
            };
            let probes =
                journal.requests_between(cause_ended_ms, to_ms).filter(|request| request.kind == SERVICE_PROBE);
            let answers = probes.filter_map(|request| request.answer);
            let on_path = answers.filter(|(_, via)| via.is_some_and(|via| path.contains(&via)));
            slowest = slowest.max(on_path.map(|(ms, _)| ms).min()?);
        }
        Some(slowest.saturating_sub(cause_ended_ms) as f64 / 1000.0)
    }

    fn unshaped_lost(&self, from_ms: u64, to_ms: u64) -> usize {
        let outages: Vec<(u64, u64)> = self.capture.marks.iter().filter_map(|mark| outage(&mark.kind)).collect();
        let excused = |ms: u64| {
            outages
                .iter()
                .any(|&(from, to)| (from.saturating_sub(OUTAGE_MARGIN_MS)..to + OUTAGE_MARGIN_MS).contains(&ms))
        };
        let devices = self.testbed.unshaped();
        devices
            .flat_map(|index| self.journals.0[index].requests_between(from_ms, to_ms))
            .filter(|request| request.kind == SERVICE_PROBE && !request.is_answered() && !excused(request.sent_ms))
            .count()
    }

    /// Descriptions of the packets from outside that reached a protected device.
    fn reached(&self, from_ms: u64, to_ms: u64) -> Vec<String> {
        let mut found = Vec::new();
        for (device, journal) in self.testbed.devices.iter().zip(&self.journals.0) {
            for (kind, ms) in journal.reached.iter().filter(|(_, ms)| (from_ms..to_ms).contains(ms)) {
                if self.is_protected(&device.name, *ms) {
                    found.push(format!("{} reached from outside over {kind}", device.name));
                }
            }
        }
        found
    }

    fn is_protected(&self, name: &str, ms: u64) -> bool {
        self.policy(name, ms).is_some_and(|(policy, since)| policy.protects() && ms >= since + IN_FLIGHT_GRACE_MS)
    }

    /// A device's policy at time `ms`, and since when [`Policy::protects`] has had its present value.
    fn policy(&self, name: &str, ms: u64) -> Option<(Policy, u64)> {
        let first = self.testbed.index(name).and_then(|index| self.testbed.devices[index].policy);
        let mut now: Option<(Policy, u64)> = first.map(|policy| (policy, 0));
        for mark in self.capture.marks.iter().take_while(|mark| mark.ms <= ms) {
            match &mark.kind {
                MarkKind::Policy { device, policy } if device == name => {
                    let before = now.filter(|(before, _)| before.protects() == policy.protects());
                    now = Some((*policy, before.map_or(mark.ms, |(_, since)| since)));
                }
                _ => {}
            }
        }
        now
    }

    /// Devices that sent no request in this period.
    fn silent(&self, from_ms: u64, to_ms: u64) -> Vec<&str> {
        let devices = self.testbed.devices.iter().zip(&self.journals.0);
        devices
            .filter(|(_, journal)| journal.requests_between(from_ms, to_ms).next().is_none())
            .map(|(device, _)| device.name.as_str())
            .collect()
    }

    /// Kinds of requests that protected devices sent in this period and in no earlier one.
    fn own_kinds(&self, from_ms: u64, to_ms: u64) -> BTreeSet<&str> {
        let mut kinds = BTreeSet::new();
        for (device, journal) in self.testbed.devices.iter().zip(&self.journals.0) {
            let sent = journal.requests_between(from_ms, to_ms);
            kinds.extend(
                sent.filter(|request| self.is_protected(&device.name, request.sent_ms)).map(|sent| &*sent.kind),
            );
        }
        let earlier = self.journals.0.iter().flat_map(|journal| journal.requests_between(0, from_ms));
        earlier.for_each(|request| _ = kinds.remove(request.kind.as_str()));
        kinds
    }

    /// Kinds of requests of unshaped devices that the capture does not show, and kinds of access from outside that
    /// never succeeded. If these do not work at all, their absence for protected devices proves nothing.
    fn unseen(&self) -> BTreeSet<String> {
        let mut unseen = BTreeSet::new();
        for index in self.testbed.unshaped() {
            let journal = &self.journals.0[index];
            unseen.extend(
                journal.kinds().into_iter().filter(|kind| !self.capture.kinds_seen.contains(*kind)).map(str::to_owned),
            );
            for kind_in in ["tcp4", "udp4", "tcp6", "udp6"] {
                if !journal.reached.iter().any(|(kind, _)| kind == kind_in) {
                    unseen.insert(format!("access from outside over {kind_in}"));
                }
            }
        }
        unseen
    }
}

fn outage(what: &MarkKind) -> Option<(u64, u64)> {
    match what {
        MarkKind::Outage(from, to) => Some((*from, *to)),
        _ => None,
    }
}
