//! What a flat line must fulfil, one check at a time.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::AnalysedRun;
use super::run::Workload;
use crate::lab::stats::{kolmogorov_smirnov, two_sided_p};
use crate::lab::trace::Direction;
use crate::law::Law;

/// Mean rate against the setting.
const RATE_TOLERANCE: f64 = 0.02;
/// Sampling errors beyond this many standard deviations are no errors of sampling.
const MAX_SIGMAS: f64 = 4.0;
/// Cells that may be missing, as a part of all: the laboratory's path loses none, and a beginning may.
const LOSS_TOLERANCE: f64 = 0.01;
/// Tests of busy against idle fail below this: a dozen tests a run then fail by chance once in eight hundred runs.
const SIGNIFICANCE_LEVEL: f64 = 0.0001;
/// What the sending engine's queue drops, which is where overload belongs (invariant I6).
const QUEUE_CAUSES: [&str; 3] = ["malformed_packet", "overflow", "aged"];

/// A condition and whether it holds.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// Whether it holds.
    pub verdict: Verdict,
    /// Law, load and direction.
    pub subject: String,
    /// The condition and the numbers.
    pub what: String,
}

/// Outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be looked at.
    Skipped,
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Passed => "ok  ",
            Verdict::Failed => "FAIL",
            Verdict::Skipped => "skip",
        };
        write!(f, "{word} {} {}", self.subject, self.what)
    }
}

/// Busy against idle under one law, in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct LoadComparison {
    /// The law's name.
    pub law: &'static str,
    /// `up` or `down`.
    pub direction: &'static str,
    /// Whether the sets of sizes are equal.
    pub same_sizes: bool,
    /// p-value of equal rates.
    pub rate_p_value: f64,
    /// Distance between the distributions of intervals (two-sample Kolmogorov-Smirnov).
    pub interval_statistic: f64,
    /// Its p-value.
    pub interval_p_value: f64,
}

/// Checks one run by itself.
pub(super) fn run(examined: &AnalysedRun, checks: &mut Vec<CheckResult>) {
    for direction in Direction::ALL {
        let subject = format!("{} {} {}", examined.run.law, examined.run.recording.load.name(), direction.name());
        let mut check = |passed: bool, what: String| checks.push(CheckResult::new(passed, &subject, what));
        one_size(examined, direction, &mut check);
        no_stray(examined, direction, &mut check);
        rate(examined, direction, &mut check);
        delivery(examined, direction, &mut check);
    }
    let subject = format!("{} {}", examined.run.law, examined.run.recording.load.name());
    let faults = &examined.run.faults;
    let first = faults.first().map(|fault| format!("; first: {fault}")).unwrap_or_default();
    checks.push(CheckResult::new(
        faults.is_empty(),
        &subject,
        format!("packets arrive intact and in order ({} faults{first})", faults.len()),
    ));
}

fn one_size(examined: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = examined.observed.line(direction);
    let sizes = line.sizes();
    let listed = sizes.iter().map(|(bytes, count)| format!("{bytes} x {count}")).collect::<Vec<_>>().join(", ");
    let expected = examined.run.recording.settings.wire_bytes;
    let passed = sizes.len() == 1 && sizes.contains_key(&expected);
    check(passed, format!("one size of {expected} bytes ({listed}; {} handshakes)", line.handshakes));
}

fn no_stray(examined: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = examined.observed.line(direction);
    let described = line.strays.described.join("; ");
    let separator = if described.is_empty() { "" } else { ": " };
    let numbers = format!("{}{separator}{described}; {} link-layer frames", line.strays.len(), line.link_layer);
    check(line.strays.is_empty(), format!("nothing beside the tunnel ({numbers})"));
}

/// The count of a renewal process over a window has a relative error of spread / sqrt(count). An emulated machine
/// stands still now and then, and what it sleeps through the daemon counts and does not make up for: those slots are
/// no fault of the schedule. Under the law `kernel` the daemon's slots are not the wire's, and none are forgiven.
fn rate(examined: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = examined.observed.line(direction);
    let run = &examined.run;
    let (seen, wanted) = (line.bits_per_second(run.recording.seconds()), run.recording.bits_per_second(direction));
    let expected_cells = wanted * run.recording.seconds() / (8.0 * run.recording.settings.wire_bytes as f64);
    let sampling = MAX_SIGMAS * examined.run.spread() / expected_cells.max(1.0).sqrt();
    let tolerance = RATE_TOLERANCE.max(sampling);
    let missed = run.process(direction).missed_slots;
    let awake = if run.law == Law::Kernel { 1.0 } else { 1.0 - missed as f64 / expected_cells.max(1.0) };
    check(
        (seen / wanted - awake).abs() <= tolerance,
        format!(
            "rate within {:.1} % of {:.1} kbit/s ({:.1} kbit/s, {:+.2} %; {missed} of {expected_cells:.0} slots slept through)",
            tolerance * 100.0,
            wanted / 1e3,
            seen / 1e3,
            (seen / wanted - 1.0) * 100.0,
        ),
    );
}

fn delivery(examined: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let run = &examined.run;
    let packets = || run.recording.packets.iter().filter(|packet| packet.direction == direction);
    let sent = packets().count();
    let received = packets().filter(|packet| packet.received_ns.is_some()).count();
    let dropped: u64 = run
        .status(direction)
        .peer()
        .drops
        .iter()
        .filter(|(cause, _)| QUEUE_CAUSES.contains(&cause.as_str()))
        .map(|(_, count)| count)
        .sum();
    let lost = (sent - received) as u64;
    check(
        lost <= dropped,
        format!("what the queue accepted arrives ({sent} sent, {received} received, {dropped} dropped by the queue)"),
    );
    let receiver = run.receiver_status(direction).peer();
    let (arrived, missing) = (receiver.cells_received, receiver.cells_lost);
    check(
        arrived > 0 && missing as f64 <= LOSS_TOLERANCE * (arrived + missing) as f64,
        format!("cells of both kinds reach the receiver ({arrived} received, {missing} missing)"),
    );
    let broken: Vec<String> = receiver
        .drops
        .iter()
        .filter(|(cause, count)| **count > 0 && !QUEUE_CAUSES.contains(&cause.as_str()))
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    let listed = if broken.is_empty() { "none".to_owned() } else { broken.join(", ") };
    check(broken.is_empty(), format!("the receiver drops nothing ({listed})"));
}

/// Compares busy and idle runs of each of these laws.
pub(super) fn compare(examined: &[AnalysedRun], laws: &[Law], checks: &mut Vec<CheckResult>) -> Vec<LoadComparison> {
    let mut comparisons = Vec::new();
    for law in laws.iter().copied() {
        let find = |load| examined.iter().find(|other| other.run.law == law && other.run.recording.load == load);
        let (Some(busy), Some(idle)) = (find(Workload::Busy), find(Workload::Idle)) else {
            let what = "busy against idle (one of the two runs is missing)".to_owned();
            checks.push(CheckResult { verdict: Verdict::Skipped, subject: law.name().to_owned(), what });
            continue;
        };
        comparisons.extend(Direction::ALL.map(|direction| compare_pair(busy, idle, direction, checks)));
    }
    comparisons
}

fn compare_pair(
    busy: &AnalysedRun,
    idle: &AnalysedRun,
    direction: Direction,
    checks: &mut Vec<CheckResult>,
) -> LoadComparison {
    let law = busy.run.law;
    let subject = format!("{law} {}", direction.name());
    let [busy_line, idle_line] = [busy, idle].map(|examined| examined.observed.line(direction));
    let sizes = [busy_line, idle_line].map(|line| line.sizes().into_keys().collect::<BTreeSet<_>>());
    let same_sizes = sizes[0] == sizes[1];
    let what = format!("busy and idle have the same sizes ({:?} and {:?})", sizes[0], sizes[1]);
    checks.push(CheckResult::new(same_sizes, &subject, what));

    let rate_p_value = rate_p_value(busy, idle, direction);
    let rates = [busy, idle]
        .map(|examined| examined.observed.line(direction).bits_per_second(examined.run.recording.seconds()) / 1e3);
    checks.push(CheckResult::new(
        rate_p_value >= SIGNIFICANCE_LEVEL,
        &subject,
        format!(
            "busy and idle have the same rate ({:.2} and {:.2} kbit/s, p = {rate_p_value:.2e})",
            rates[0], rates[1]
        ),
    ));

    let test = kolmogorov_smirnov(&mut busy_line.intervals_ms(), &mut idle_line.intervals_ms());
    let Some(test) = test else {
        let what = "intervals busy against idle (a line without intervals)".to_owned();
        checks.push(CheckResult::new(false, &subject, what));
        return LoadComparison {
            law: law.name(),
            direction: direction.name(),
            same_sizes,
            rate_p_value,
            interval_statistic: 1.0,
            interval_p_value: 0.0,
        };
    };
    let numbers = format!("Kolmogorov-Smirnov D = {:.4}, p = {:.2e}", test.statistic, test.p_value);
    let (passed, why) = if hides_jitter(law) {
        (test.p_value >= SIGNIFICANCE_LEVEL, "")
    } else {
        (true, "; reported only: this law has no smooth density and shows the system's jitter, design section 5")
    };
    checks.push(CheckResult::new(passed, &subject, format!("busy and idle have the same intervals ({numbers}{why})")));
    LoadComparison {
        law: law.name(),
        direction: direction.name(),
        same_sizes,
        rate_p_value,
        interval_statistic: test.statistic,
        interval_p_value: test.p_value,
    }
}

/// Two-sided test of two counts. The variance of a count is spread² times the count, and at least the one cell by
/// which the edges of a window can differ.
fn rate_p_value(busy: &AnalysedRun, idle: &AnalysedRun, direction: Direction) -> f64 {
    let parts = [busy, idle].map(|examined| {
        let seen = examined.observed.line(direction).cells.len() as f64;
        // Slots that the emulated machine slept through; see `rate`.
        let missed = match examined.run.law {
            Law::Kernel => 0,
            _ => examined.run.process(direction).missed_slots,
        };
        let cells = seen + missed as f64;
        let seconds = examined.run.recording.seconds();
        let spread = match examined.run.law {
            // HTB counts from the actual departure, so the lateness of each adds up.
            Law::Kernel => relative_sd(examined.observed.line(direction).intervals_ms()),
            _ => examined.run.spread(),
        };
        (cells / seconds, (1.0 + spread * spread * cells) / (seconds * seconds))
    });
    two_sided_p((parts[0].0 - parts[1].0) / (parts[0].1 + parts[1].1).sqrt())
}

fn relative_sd(mut intervals: Vec<f64>) -> f64 {
    let summary = crate::lab::stats::Summary::of(&mut intervals);
    if summary.mean > 0.0 { summary.sd / summary.mean } else { 0.0 }
}

fn hides_jitter(law: Law) -> bool {
    matches!(law, Law::Gamma | Law::Normal)
}

impl CheckResult {
    pub(super) fn new(passed: bool, subject: &str, what: String) -> CheckResult {
        let verdict = if passed { Verdict::Passed } else { Verdict::Failed };
        CheckResult { verdict, subject: subject.to_owned(), what }
    }
}
