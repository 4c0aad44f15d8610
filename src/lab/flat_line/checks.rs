//! The checks that a flat line must pass.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::AnalysedRun;
use super::run::Workload;
use crate::lab::stats::{kolmogorov_smirnov, two_sided_p};
use crate::lab::trace::Direction;
use crate::law::Law;

/// Accepted relative deviation of the mean rate from the setting.
const RATE_TOLERANCE: f64 = 0.02;
/// A deviation of more than this many standard deviations is not explained by sampling.
const MAX_SIGMAS: f64 = 4.0;
/// Accepted share of missing cells: the laboratory's path loses none, but some may be missing at the start of a run.
const LOSS_TOLERANCE: f64 = 0.01;
/// Tests of busy against idle fail if the p-value is below this. With a dozen tests a run, one fails by chance once in
/// eight hundred runs.
const SIGNIFICANCE_LEVEL: f64 = 0.0001;
/// Drops by the sending engine's queue, which is where overload must stay (invariant I6).
const QUEUE_CAUSES: [&str; 3] = ["malformed_packet", "overflow", "aged"];

/// A checked condition and its verdict.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// Whether the condition holds.
    pub verdict: Verdict,
    /// What was checked, for instance law, load and direction.
    pub subject: String,
    /// The condition, with the measured numbers.
    pub what: String,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Passed,
    /// The condition does not hold.
    Failed,
    /// The condition could not be checked.
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

/// Compares a busy with an idle run of one law, in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct LoadComparison {
    /// The law's name.
    pub law: &'static str,
    /// `up` or `down`.
    pub direction: &'static str,
    /// Whether both runs have the same set of packet sizes.
    pub same_sizes: bool,
    /// p-value of the hypothesis that both rates are equal.
    pub rate_p_value: f64,
    /// Distance between the two distributions of intervals (two-sample Kolmogorov-Smirnov statistic).
    pub interval_statistic: f64,
    /// p-value of that statistic.
    pub interval_p_value: f64,
}

/// Checks a single run.
pub(super) fn run(analysed: &AnalysedRun, checks: &mut Vec<CheckResult>) {
    for direction in Direction::ALL {
        let subject = format!("{} {} {}", analysed.run.law, analysed.run.recording.load.name(), direction.name());
        let mut check = |passed: bool, what: String| checks.push(CheckResult::new(passed, &subject, what));
        one_size(analysed, direction, &mut check);
        no_stray(analysed, direction, &mut check);
        whole_trains(analysed, direction, &mut check);
        rate(analysed, direction, &mut check);
        delivery(analysed, direction, &mut check);
    }
    let subject = format!("{} {}", analysed.run.law, analysed.run.recording.load.name());
    let faults = &analysed.run.faults;
    let first = faults.first().map(|fault| format!("; first: {fault}")).unwrap_or_default();
    checks.push(CheckResult::new(
        faults.is_empty(),
        &subject,
        format!("packets arrive intact and in order ({} faults{first})", faults.len()),
    ));
}

fn one_size(analysed: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = analysed.capture.line(direction);
    let sizes = line.sizes();
    let listed = sizes.iter().map(|(bytes, count)| format!("{bytes} x {count}")).collect::<Vec<_>>().join(", ");
    let expected = analysed.run.recording.settings.wire_bytes;
    let passed = sizes.len() == 1 && sizes.contains_key(&expected);
    check(passed, format!("one size of {expected} bytes ({listed}; {} handshakes)", line.handshakes));
}

fn no_stray(analysed: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = analysed.capture.line(direction);
    let described = line.strays.described.join("; ");
    let separator = if described.is_empty() { "" } else { ": " };
    let numbers = format!("{}{separator}{described}; {} link-layer frames", line.strays.len(), line.link_layer);
    check(line.strays.is_empty(), format!("no packet outside the tunnel ({numbers})"));
}

/// A train leaves as a whole or not at all.
fn whole_trains(analysed: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = analysed.capture.line(direction);
    if line.train > 1 {
        let trains = line.trains();
        check(trains.short == 0, format!("every train has {} cells ({} do not)", line.train, trains.short));
    }
}

/// Compares the rate with the setting. The count of a renewal process over a window has a relative error of
/// spread / sqrt(count). An emulated machine pauses now and then; the daemon counts the slots that it misses then and
/// never makes up for them, so the check excuses up to that many: some of them may lie outside the window, because the
/// daemon is asked shortly before and after it. Under the law `kernel` HTB and not the daemon paces the wire, so no
/// slots are excused.
fn rate(analysed: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let line = analysed.capture.line(direction);
    let run = &analysed.run;
    let (seen, wanted) = (line.bits_per_second(run.recording.seconds()), run.recording.bits_per_second(direction));
    let expected_cells = wanted * run.recording.seconds() / (8.0 * run.recording.settings.wire_bytes as f64);
    let expected_trains = expected_cells / f64::from(line.train.max(1));
    let sampling = MAX_SIGMAS * analysed.run.spread() / expected_trains.max(1.0).sqrt();
    let tolerance = RATE_TOLERANCE.max(sampling);
    let missed = run.process(direction).missed_slots;
    let excused = if run.law == Law::Kernel { 0.0 } else { missed as f64 / expected_trains.max(1.0) };
    let share = seen / wanted;
    check(
        share >= 1.0 - excused - tolerance && share <= 1.0 + tolerance,
        format!(
            "rate within {:.1} % of {:.1} kbit/s \
             ({:.1} kbit/s, {:+.2} %; {missed} of {expected_trains:.0} slots missed)",
            tolerance * 100.0,
            wanted / 1e3,
            seen / 1e3,
            (seen / wanted - 1.0) * 100.0,
        ),
    );
}

fn delivery(analysed: &AnalysedRun, direction: Direction, check: &mut impl FnMut(bool, String)) {
    let run = &analysed.run;
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
        format!(
            "packets that the queue accepted arrive ({sent} sent, {received} received, {dropped} dropped by the queue)"
        ),
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

/// Compares the busy with the idle run of each of these laws.
pub(super) fn compare(analysed: &[AnalysedRun], laws: &[Law], checks: &mut Vec<CheckResult>) -> Vec<LoadComparison> {
    let mut comparisons = Vec::new();
    for law in laws.iter().copied() {
        let find = |load| analysed.iter().find(|other| other.run.law == law && other.run.recording.load == load);
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
    let [busy_line, idle_line] = [busy, idle].map(|analysed| analysed.capture.line(direction));
    let sizes = [busy_line, idle_line].map(|line| line.sizes().into_keys().collect::<BTreeSet<_>>());
    let same_sizes = sizes[0] == sizes[1];
    let what = format!("busy and idle have the same sizes ({:?} and {:?})", sizes[0], sizes[1]);
    checks.push(CheckResult::new(same_sizes, &subject, what));

    let rate_p_value = rate_p_value(busy, idle, direction);
    let rates = [busy, idle]
        .map(|analysed| analysed.capture.line(direction).bits_per_second(analysed.run.recording.seconds()) / 1e3);
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
        let what = "intervals busy against idle (a direction without intervals)".to_owned();
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
        (true, "; not a criterion: this law has no smooth density and reveals the system's jitter, design section 5")
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

/// Two-sided test of two counts. The variance of a count is spread² times the count plus one, because the edges of
/// the window can change the count by one cell. A daemon that missed slots is given as many of them as make the two
/// counts most alike; see `rate`.
fn rate_p_value(busy: &AnalysedRun, idle: &AnalysedRun, direction: Direction) -> f64 {
    let [busy, idle] = [busy, idle].map(|analysed| {
        let line = analysed.capture.line(direction);
        let seen = line.cells.len() as f64 / f64::from(line.train.max(1));
        let seconds = analysed.run.recording.seconds();
        let (missed, spread) = match analysed.run.law {
            // HTB counts from the actual departure, so lateness accumulates.
            Law::Kernel => (0.0, relative_sd(analysed.capture.line(direction).intervals_ms())),
            _ => (analysed.run.process(direction).missed_slots as f64, analysed.run.spread()),
        };
        CellRate {
            least: seen / seconds,
            most: (seen + missed) / seconds,
            variance: (1.0 + spread * spread * (seen + missed)) / (seconds * seconds),
        }
    });
    let difference = (busy.least - idle.most).max(idle.least - busy.most).max(0.0);
    two_sided_p(difference / (busy.variance + idle.variance).sqrt())
}

/// Trains a second of one run.
struct CellRate {
    /// As captured.
    least: f64,
    /// With every slot that the daemon missed around the window.
    most: f64,
    /// Of either.
    variance: f64,
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
