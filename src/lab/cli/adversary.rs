//! `millpond-lab adversary`: can an adversary detect activity from the tunnel's packets?

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::adversary::{AdversaryReport, Case, InterleavedCapture, MAX_BLIND_AUC, virtual_cases};
use crate::lab::error::Error;
use crate::law::Law;
use crate::units::Nanos;

/// Compares busy homes with idle homes: the engine in virtual time and, with FOLDER, the runs that `tests/lab/run
/// adversary` recorded there. With FOLDER, writes FOLDER.json. Exit code 1 if a difference is detected under law gamma
/// or normal.
#[derive(FromArgs)]
#[argh(subcommand, name = "adversary")]
pub(super) struct AdversaryCommand {
    /// folder with one LAW folder for each run
    #[argh(positional)]
    folder: Option<PathBuf>,
    /// hours of virtual time for each law and load (default: 2)
    #[argh(option, default = "2.0")]
    hours: f64,
    /// use synthetic traces even if captures are available
    #[argh(switch)]
    synthetic: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// seed of traces, departures, forest and shuffles (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
}

impl AdversaryCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        if !(self.hours > 0.0 && self.hours <= 24.0 * 365.0) {
            return Err(Error::Request(format!(
                "adversary: --hours: must be above 0 and at most 8760, got {}",
                self.hours
            )));
        }
        let (home, _) = home::whole(home::folder(self.synthetic).as_ref(), self.seed)?;
        eprintln!("virtual time: simulating {} h of three laws, busy and idle", self.hours);
        let mut report =
            AdversaryReport { cases: virtual_cases(&home, Nanos((self.hours * 3.6e12) as u64), self.seed)? };
        for law in self.folder.iter().flat_map(|_| Law::ALL) {
            let Some(folder) = &self.folder else { break };
            if let Some(interleaved) = InterleavedCapture::read(folder, law)? {
                eprintln!("{law}: comparing the conditions on the emulated machine");
                report.cases.extend(interleaved.cases(self.seed)?);
            }
        }
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        if let Some(folder) = &self.folder {
            let path = folder.with_extension("json");
            fs::write(&path, &text).map_err(Error::io("writing", &path))?;
        }
        if self.json {
            print!("{text}");
        } else {
            print(&report);
        }
        let detected = report.cases.iter().any(|case| promises_blindness(case) && is_detected(case));
        Ok(if detected { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Returns whether the case's law promises to hide activity. The densities of the other laws have edges, so any jitter
/// shows.
fn promises_blindness(case: &Case) -> bool {
    [Law::Gamma.name(), Law::Normal.name()].contains(&case.law)
}

/// Returns whether a difference was detected. One interval in twenty misses 0.5 by chance, so the corrected p-value
/// must be small too.
fn is_detected(case: &Case) -> bool {
    !case.is_blind() && case.p_corrected < 0.01
}

fn print(report: &AdversaryReport) {
    println!(
        "{:<8} {:<8} {:<16} {:>8} {:>6}  {:<14} {:>9}  attack",
        "law", "time", "condition", "packets", "AUC", "95 % interval", "p (Holm)"
    );
    for case in &report.cases {
        let [low, high] = case.ci95;
        let note = match (is_detected(case), case.is_blind(), high > MAX_BLIND_AUC) {
            (true, ..) => "  <- detected",
            (false, false, _) => "  <- misses 0.5, as one interval in twenty does by chance",
            (false, true, true) => "  <- not detected, but too few guesses to exclude 0.55",
            (false, true, false) => "",
        };
        println!(
            "{:<8} {:<8} {:<16} {:>8} {:>6.3}  {low:.3} to {high:.3} {:>9.2e}  {}{note}",
            case.law, case.time, case.condition, case.packets, case.auc, case.p_corrected, case.attack
        );
    }
    for law in Law::ALL {
        let of_law = || report.cases.iter().filter(move |case| case.law == law.name());
        let found: Vec<&str> = of_law().filter(|case| is_detected(case)).map(|case| case.condition.as_str()).collect();
        let (count, missed) = (of_law().count(), of_law().filter(|case| !case.is_blind()).count());
        if count == 0 {
            continue;
        }
        let verdict = if found.is_empty() || !of_law().any(promises_blindness) { "ok  " } else { "FAIL" };
        let detected = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        println!(
            "{verdict} {law}: distinguishable from an idle home: {detected} ({count} attacks, {missed} intervals \
             miss 0.5)"
        );
    }
}
