//! `millpond-lab adversary`: what an adversary makes of the line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::adversary::{Case, Record, Turns, WORRYING, virtual_cases};
use crate::lab::error::Error;
use crate::law::Law;
use crate::units::Nanos;

/// Compares busy with idle homes: the engine in virtual time, and, given a folder, what `tests/lab/run adversary` left in
/// it. Writes FOLDER.json, or prints it with --json. Exit code 1 if a smooth law gives anything away.
#[derive(FromArgs)]
#[argh(subcommand, name = "adversary")]
pub(super) struct Adversary {
    /// folder with one LAW folder per run
    #[argh(positional)]
    folder: Option<PathBuf>,
    /// hours of virtual time for each law and load (default: 2)
    #[argh(option, default = "2.0")]
    hours: f64,
    /// generated traces even where there are captures
    #[argh(switch)]
    synthetic: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// seed of traces, departures, forest and shuffles
    #[argh(option, default = "1")]
    seed: u64,
}

impl Adversary {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        if !(self.hours > 0.0 && self.hours <= 24.0 * 365.0) {
            return Err(Error::Request(format!("adversary: --hours: {} is not between 0 and 8760", self.hours)));
        }
        let (home, _) = home::whole(home::folder(self.synthetic).as_ref(), self.seed)?;
        eprintln!("virtual time: {} h of each law, busy and idle", self.hours);
        let mut record = Record { cases: virtual_cases(&home, Nanos((self.hours * 3.6e12) as u64), self.seed)? };
        for law in self.folder.iter().flat_map(|_| Law::ALL) {
            let Some(folder) = &self.folder else { break };
            if let Some(turns) = Turns::read(folder, law)? {
                eprintln!("{law}: comparing the emulated machine's conditions");
                record.cases.extend(turns.cases(self.seed)?);
            }
        }
        let text = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        if let Some(folder) = &self.folder {
            let path = folder.with_extension("json");
            fs::write(&path, &text).map_err(Error::io("writing", &path))?;
        }
        if self.json {
            print!("{text}");
        } else {
            print(&record);
        }
        let given_away = record.cases.iter().any(|case| is_promised(case) && is_found(case));
        Ok(if given_away { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Whether the law promises to be blind; a law that is not smooth has edges that any jitter shows.
fn is_promised(case: &Case) -> bool {
    Law::from_name(case.law).is_some_and(Law::is_smooth)
}

/// Of twenty intervals one misses 0.5 by chance: a difference counts as found when the corrected p-value says so too.
fn is_found(case: &Case) -> bool {
    !case.is_blind() && case.p_corrected < 0.01
}

fn print(record: &Record) {
    println!(
        "{:<8} {:<8} {:<16} {:>8} {:>6}  {:<14} {:>9}  attack",
        "law", "time", "condition", "packets", "AUC", "95 % interval", "p (Holm)"
    );
    for case in &record.cases {
        let [low, high] = case.ci95;
        let note = match (is_found(case), case.is_blind(), high > WORRYING) {
            (true, ..) => "  <- told apart",
            (false, false, _) => "  <- misses 0.5, as one in twenty does by chance",
            (false, true, true) => "  <- blind, but too few guesses to rule out 0.55",
            (false, true, false) => "",
        };
        println!(
            "{:<8} {:<8} {:<16} {:>8} {:>6.3}  {low:.3} to {high:.3} {:>9.2e}  {}{note}",
            case.law, case.time, case.condition, case.packets, case.auc, case.p_corrected, case.attack
        );
    }
    for law in Law::ALL {
        let of_law = || record.cases.iter().filter(move |case| case.law == law.name());
        let found: Vec<&str> = of_law().filter(|case| is_found(case)).map(|case| case.condition.as_str()).collect();
        let (count, missed) = (of_law().count(), of_law().filter(|case| !case.is_blind()).count());
        if count == 0 {
            continue;
        }
        let verdict = if found.is_empty() || !of_law().any(is_promised) { "ok  " } else { "FAIL" };
        let told = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        println!(
            "{verdict} {law}: told apart from an idle home: {told} ({count} attacks, {missed} intervals miss 0.5)"
        );
    }
}
