//! `millpond-lab report`: what the home did against what the provider saw.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::error::Error;
use crate::lab::report::{Comparison, page, table};

/// Compares two runs of the laboratory, behind a plain VPN and behind millpond: a table here, and one self-contained
/// HTML page.
#[derive(FromArgs)]
#[argh(subcommand, name = "report")]
pub(super) struct Report {
    /// run directory behind a plain VPN
    #[argh(option)]
    plain: PathBuf,
    /// run directory behind millpond
    #[argh(option)]
    shaped: PathBuf,
    /// file for the page
    #[argh(option)]
    out: PathBuf,
}

impl Report {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let comparison = Comparison::read(&self.plain, &self.shaped)?;
        if let Some(parent) = self.out.parent() {
            fs::create_dir_all(parent).map_err(Error::io("making folder", parent))?;
        }
        fs::write(&self.out, page(&comparison)).map_err(Error::io("writing", &self.out))?;
        println!("{}\nThe page: {}", table(&comparison), self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
