//! Decides, event by event.

use std::collections::BTreeSet;

use super::mark::{MarkKind, Policy};
use super::watch::ScenarioEvent;
use super::{EventReport, LeakReport, LeakRun};
use crate::lab::flat_line::{CheckResult, Verdict};

/// The issue asks for no fewer.
const MIN_EVENTS: usize = 18;
/// In so many of them a build without the guard must be caught.
const MIN_LEAKING_EVENTS: usize = 10;
/// So many leak_kinds of leaks of an event are named.
const MAX_LISTED_LEAK_KINDS: usize = 12;
/// What unshaped devices are asked to lose none of: ten datagrams a second.
const SERVICE_PROBE: &str = "udp4";
/// A request may be lost a moment before the outage that took its answer, and just after it.
const OUTAGE_MARGIN_MS: u64 = 500;
/// After a change of policy what had been let in before may still be read.
const IN_FLIGHT_GRACE_MS: u64 = 200;

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestedBuild {
    /// millpond as it is released: nothing may leak.
    Guarded,
    /// A build without the guard: it must be caught, or this laboratory would find nothing.
    Unguarded,
}

/// The report on a run, and every check with its verdict.
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
            checks.push(check(&event.name, false, || format!("devices that did not talk: {silent:?}")));
        }
        if build == TestedBuild::Guarded {
            no_leak(event, &report, &reached, &mut checks);
        }
        events.push(report);
    }
    let unseen = run.unseen();
    let all = "every way of talking and of getting in works for an unshaped device";
    checks.push(check("laboratory", unseen.is_empty(), || match unseen.is_empty() {
        true => all.to_owned(),
        false => format!("{all}, but for {unseen:?}"),
    }));
    match build {
        TestedBuild::Guarded => {
            let enough = events.len() >= MIN_EVENTS;
            checks.push(check("events", enough, || format!("{} of them, at least {MIN_EVENTS}", events.len())));
        }
        TestedBuild::Unguarded => {
            let caught: Vec<&str> =
                events.iter().filter(|event| event.leaks > 0).map(|event| event.name.as_str()).collect();
            let what =
                format!("{} events leak without the guard, at least {MIN_LEAKING_EVENTS}: {caught:?}", caught.len());
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
        let mut leak_kinds: Vec<String> = leak_kinds.iter().map(|(words, count)| format!("{count} {words}")).collect();
        if leak_kinds.len() > MAX_LISTED_LEAK_KINDS {
            let more = leak_kinds.split_off(MAX_LISTED_LEAK_KINDS).len();
            leak_kinds.push(format!("{more} leak_kinds more"));
        }
        let which = if leak_kinds.is_empty() { String::new() } else { format!(": {}", leak_kinds.join("; ")) };
        format!("{leaks} leaks in {examined} packets, {tunnel} of them the tunnel's{which}")
    }));
    if event.over_ms.is_some() {
        checks.push(check(name, report.recovery_s.is_some(), || match report.recovery_s {
            Some(seconds) => format!("shaped service is back after {seconds:.1} s"),
            None => "shaped service does not come back".to_owned(),
        }));
    }
    checks.push(check(name, report.unshaped_lost == 0, || format!("unshaped devices lose {}", report.unshaped_lost)));
}

fn check(subject: &str, holds: bool, what: impl FnOnce() -> String) -> CheckResult {
    let verdict = if holds { Verdict::Passed } else { Verdict::Failed };
    CheckResult { verdict, subject: subject.to_owned(), what: what() }
}

impl LeakRun {
    fn end_ms(&self) -> u64 {
        self.capture.marks.last().map_or(0, |mark| mark.ms)
    }

    /// From the mark `over` until every device that is not blocked has had an answer, to a request asked after it, on the
    /// way that its policy names.
    fn recovery_s(&self, event: &ScenarioEvent, to_ms: u64) -> Option<f64> {
        let over_ms = event.over_ms?;
        let mut slowest = 0;
        for (device, journal) in self.testbed.devices.iter().zip(&self.journals.0) {
            let way = match self.policy(&device.name, to_ms.saturating_sub(1)) {
                Some((Policy::Shape, _)) => &self.testbed.endpoints,
                Some((Policy::Direct, _)) => &self.testbed.routers,
                Some((Policy::Block, _)) | None => continue,
            };
            let asked = journal.asked(over_ms, to_ms).filter(|request| request.kind == SERVICE_PROBE);
            let answers = asked.filter_map(|request| request.answer);
            let on_its_way = answers.filter(|(_, via)| via.is_some_and(|via| way.contains(&via)));
            slowest = slowest.max(on_its_way.map(|(ms, _)| ms).min()?);
        }
        Some(slowest.saturating_sub(over_ms) as f64 / 1000.0)
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
            .flat_map(|place| self.journals.0[place].asked(from_ms, to_ms))
            .filter(|request| request.kind == SERVICE_PROBE && !request.is_answered() && !excused(request.sent_ms))
            .count()
    }

    /// Confined devices that somebody got in to.
    fn reached(&self, from_ms: u64, to_ms: u64) -> Vec<String> {
        let mut found = Vec::new();
        for (device, journal) in self.testbed.devices.iter().zip(&self.journals.0) {
            for (kind, ms) in journal.reached.iter().filter(|(_, ms)| (from_ms..to_ms).contains(ms)) {
                if self.is_confined(&device.name, *ms) {
                    found.push(format!("{} reached from outside by {kind}", device.name));
                }
            }
        }
        found
    }

    fn is_confined(&self, name: &str, ms: u64) -> bool {
        self.policy(name, ms).is_some_and(|(policy, since)| policy.confines() && ms >= since + IN_FLIGHT_GRACE_MS)
    }

    /// A device's policy at that time, and since when it has been as confined as it is.
    fn policy(&self, name: &str, ms: u64) -> Option<(Policy, u64)> {
        let first = self.testbed.place(name).and_then(|place| self.testbed.devices[place].policy);
        let mut now: Option<(Policy, u64)> = first.map(|policy| (policy, 0));
        for mark in self.capture.marks.iter().take_while(|mark| mark.ms <= ms) {
            match &mark.kind {
                MarkKind::Policy { device, policy } if device == name => {
                    let before = now.filter(|(before, _)| before.confines() == policy.confines());
                    now = Some((*policy, before.map_or(mark.ms, |(_, since)| since)));
                }
                _ => {}
            }
        }
        now
    }

    /// Devices that asked nothing in that time.
    fn silent(&self, from_ms: u64, to_ms: u64) -> Vec<&str> {
        let devices = self.testbed.devices.iter().zip(&self.journals.0);
        devices
            .filter(|(_, journal)| journal.asked(from_ms, to_ms).next().is_none())
            .map(|(device, _)| device.name.as_str())
            .collect()
    }

    /// Ways of talking that unshaped devices used without being seen, and ways in by which nobody got in: where those do
    /// not work, their absence in others proves nothing.
    fn unseen(&self) -> BTreeSet<String> {
        let mut unseen = BTreeSet::new();
        for place in self.testbed.unshaped() {
            let journal = &self.journals.0[place];
            unseen.extend(
                journal.kinds().into_iter().filter(|kind| !self.capture.kinds_seen.contains(*kind)).map(str::to_owned),
            );
            for way in ["tcp4", "udp4", "tcp6", "udp6"] {
                if !journal.reached.iter().any(|(kind, _)| kind == way) {
                    unseen.insert(format!("in by {way}"));
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
