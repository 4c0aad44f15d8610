//! `millpond-lab leaks`: did anything pass beside the tunnel?

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::error::Error;
use crate::lab::flat_line::Verdict;
use crate::lab::leaks::{LeakRun, TestedBuild, judge};

/// Judges the run that `tests/lab/run leaks` left in a folder: for each event, packets of shaped and blocked devices
/// beside the tunnel, time until service is back, and what unshaped devices lost. Writes FOLDER.json. Exit code 1 if any
/// check fails.
#[derive(FromArgs)]
#[argh(subcommand, name = "leaks")]
pub(super) struct LeaksCommand {
    /// folder with run.json, marks, wan.pcap and a journal per device
    #[argh(positional)]
    folder: PathBuf,
    /// a build without the guard was recorded: it passes if the laboratory finds it leaking
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
