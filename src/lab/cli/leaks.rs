//! `millpond-lab leaks`: checks that no packet passed outside the tunnel.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::error::Error;
use crate::lab::flat_line::Verdict;
use crate::lab::leaks::{LeakRun, TestedBuild, judge};

/// Checks the run that `tests/lab/run leaks` recorded in a folder. For each event: packets of shaped and blocked
/// devices outside the tunnel, time until service recovers, and packets that unshaped devices lost. Writes FOLDER.json.
/// Exit code 1 if any check fails.
#[derive(FromArgs)]
#[argh(subcommand, name = "leaks")]
pub(super) struct LeaksCommand {
    /// folder with run.json, marks, wan.pcap and one journal for each device
    #[argh(positional)]
    folder: PathBuf,
    /// the run used a build without the guard: pass if the laboratory detects its leaks
    #[argh(switch)]
    without_guard: bool,
}

impl LeaksCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let build = if self.without_guard { TestedBuild::Unguarded } else { TestedBuild::Guarded };
        let (report, checks) = judge(&LeakRun::read(&self.folder)?, build);
        let mut name = self.folder.file_name().unwrap_or_default().to_owned();
        name.push(".json");
        let path = self.folder.with_file_name(name);
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        fs::write(&path, text + "\n").map_err(Error::io("writing", &path))?;
        for check in &checks {
            println!("{check}");
        }
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let failed = count(Verdict::Failed);
        println!("{} passed, {failed} failed, {} skipped", count(Verdict::Passed), count(Verdict::Skipped));
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
