//! `millpond-lab report`: compares a home's activity with what its provider sees.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use super::progress::Progress;
use crate::lab::error::Error;
use crate::lab::exposure;
use crate::lab::identify::{Corpus, oui::Vendors};
use crate::lab::report::{VpnComparison, page, table};
use crate::lab::simulate::SimulationConfig;
use crate::units::BitsPerSec;

/// Writes a self-contained HTML page. From captures of your home: what its traffic reveals without protection, through
/// a VPN alone, behind millpond and with devices blocked. From two runs of the laboratory (--plain, --shaped): a
/// comparison of a plain VPN with millpond, also printed as a table.
#[derive(FromArgs)]
#[argh(subcommand, name = "report")]
pub(super) struct ReportCommand {
    /// captures (pcap, pcapng) of a home's network
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// folder of a run behind a plain VPN
    #[argh(option)]
    plain: Option<PathBuf>,
    /// folder of a run behind millpond
    #[argh(option)]
    shaped: Option<PathBuf>,
    /// upload rate of millpond in kbit/s on the wire (default: 160)
    #[argh(option, default = "160")]
    upload: u64,
    /// download rate of millpond in kbit/s on the wire (default: 320)
    #[argh(option, default = "320")]
    download: u64,
    /// list of vendors: Wireshark's manuf, or the IEEE's oui.txt or oui.csv (default: a short built-in list)
    #[argh(option)]
    oui: Option<PathBuf>,
    /// seed of all randomness (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// HTML file to write
    #[argh(option)]
    out: PathBuf,
}

impl ReportCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let (text, page) = match (self.captures.as_slice(), &self.plain, &self.shaped) {
            ([], Some(plain), Some(shaped)) => {
                let comparison = VpnComparison::read(plain, shaped)?;
                (table(&comparison), page(&comparison))
            }
            ([_, ..], None, None) => self.exposure()?,
            _ => {
                return Err(Error::Request(
                    "report: give captures, or both --plain and --shaped; see --help".to_owned(),
                ));
            }
        };
        if let Some(parent) = self.out.parent() {
            fs::create_dir_all(parent).map_err(Error::io("creating folder", parent))?;
        }
        fs::write(&self.out, page).map_err(Error::io("writing", &self.out))?;
        println!("{text}\nwrote {}", self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    fn exposure(&self) -> Result<(String, String), Error> {
        let sightings = home::sightings(&self.captures)?;
        let mut vendors = Vendors::built_in();
        if let Some(path) = &self.oui {
            vendors = vendors.read(path)?;
        }
        let corpus = match home::folder(false) {
            Some(folder) => {
                let progress = Progress::new("reading labelled captures");
                let corpus = Corpus::read(&folder, |done, of| progress.show(done, of))?;
                progress.finish();
                corpus
            }
            None => Corpus::synthetic(self.seed),
        };
        let setup = SimulationConfig {
            upload: BitsPerSec::from_kbit(self.upload),
            download: BitsPerSec::from_kbit(self.download),
            seed: self.seed,
            ..SimulationConfig::default()
        };
        let exposure = exposure::analyse(sightings, &corpus, &vendors, &setup)?;
        let (uses, through_vpn, vpn_chance) = exposure.vpn.total();
        let (_, shaped, shaped_chance) = exposure.shaped.link.total();
        let text = format!(
            "{} devices, {uses} uses; visible through a VPN alone: {through_vpn} ({vpn_chance:.0} by chance), \
             behind millpond: {shaped} ({shaped_chance:.0} by chance); seed {}",
            exposure.hosts.len(),
            self.seed
        );
        Ok((text, exposure::page(&exposure)))
    }
}
