//! `millpond-lab flat-line`: checks that recorded runs look the same whatever the load.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::error::Error;
use crate::lab::flat_line::{RouterResources, Verdict, analyse_runs, judge};
use crate::law::Law;

/// Checks the runs that `tests/lab/run flat-line` recorded in a folder: sizes, packets outside the tunnel, rate,
/// delivery, and busy against idle homes. Writes FOLDER.json. Exit code 1 if any check fails.
#[derive(FromArgs)]
#[argh(subcommand, name = "flat-line")]
pub(super) struct FlatLineCommand {
    /// folder with one LAW-LOAD folder for each run
    #[argh(positional)]
    folder: PathBuf,
    /// law whose two runs must exist; repeat for more laws (default: all)
    #[argh(option)]
    law: Vec<String>,
}

impl FlatLineCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let unknown = |name: &String| {
            Error::Request(format!(
                "flat-line: --law: unknown law `{name}`; expected gamma, normal, constant or kernel"
            ))
        };
        let named = self.law.iter().map(|name| Law::from_name(name).ok_or_else(|| unknown(name)));
        let mut laws = named.collect::<Result<Vec<_>, _>>()?;
        if laws.is_empty() {
            laws.extend(Law::ALL);
        }
        let analysed = analyse_runs(&self.folder)?;
        let machine = RouterResources::read(&self.folder, &analysed)?;
        let (report, checks) = judge(&analysed, &laws, machine);
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
