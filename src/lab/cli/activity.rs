//! `millpond-lab activity`: infers when devices were used.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use super::progress::Progress;
use crate::lab::activity::{self, Detector};
use crate::lab::error::Error;
use crate::lab::identify::observe;

/// Infers from changes in traffic rate when the hosts in captures were used (the paper's section 5.2). Without
/// captures, scores this inference on the labelled captures of the data folder (../shared/data or $MILLPOND_DATA), or
/// on synthetic captures if there is no data folder: precision, recall, delay.
#[derive(FromArgs)]
#[argh(subcommand, name = "activity")]
pub(super) struct ActivityCommand {
    /// captures (pcap, pcapng) of a home's network
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// analyse only the host with this MAC address
    #[argh(option)]
    mac: Option<String>,
    /// multiple of the background rate that counts as activity (default: 1.5)
    #[argh(option, default = "Detector::default().factor")]
    factor: f64,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// folder for SVG figures
    #[argh(option)]
    svg: Option<PathBuf>,
    /// seed of synthetic captures (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// use synthetic captures even if the data folder exists
    #[argh(switch)]
    synthetic: bool,
}

impl ActivityCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        if self.factor.is_nan() || self.factor < 1.0 {
            return Err(Error::Request(format!("activity: --factor: must be at least 1, got {}", self.factor)));
        }
        let detector = Detector { factor: self.factor, ..Detector::default() };
        if self.captures.is_empty() { self.score(&detector) } else { self.infer(&detector) }
    }

    fn score(&self, detector: &Detector) -> Result<ExitCode, Error> {
        let captures = match home::folder(self.synthetic) {
            Some(folder) => {
                let progress = Progress::new("reading labelled captures");
                let captures = activity::labelled_captures(&folder, |done, of| progress.show(done, of))?;
                progress.finish();
                captures
            }
            None => activity::synthetic_captures(self.seed),
        };
        let scores: Vec<_> = captures.iter().map(|capture| activity::score(capture, detector)).collect();
        let kinds = activity::pool_by_kind(&scores);
        if self.json {
            println!("{:#}", serde_json::json!({ "seed": self.seed, "activities": kinds, "captures": scores }));
        } else {
            activity::print_results(&kinds);
        }
        if let Some(folder) = &self.svg {
            for path in activity::draw(&captures, detector, folder)? {
                eprintln!("figure: {}", path.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn infer(&self, detector: &Detector) -> Result<ExitCode, Error> {
        let mut found = Vec::new();
        for path in &self.captures {
            let sighting = observe(path)?;
            if let Some(damage) = &sighting.damage {
                eprintln!("millpond-lab: {damage}; using the packets before it");
            }
            let wanted = |mac: &str| self.mac.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(mac));
            for host in sighting.hosts.iter().filter(|host| wanted(&host.trace.device)) {
                let onsets = detector.onsets(&host.trace);
                if let Some(folder) = &self.svg {
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                    let name = format!("{stem}-{}", host.trace.device);
                    eprintln!("figure: {}", activity::draw_trace(&name, &host.trace, &onsets, folder)?.display());
                }
                found.push((path, host.trace.device.clone(), onsets));
            }
        }
        if found.is_empty() {
            return Err(Error::Request(format!(
                "activity: no host{} exchanges packets with the Internet in these captures; capture on the router's \
                 LAN side",
                self.mac.as_ref().map_or_else(String::new, |mac| format!(" with address {mac}"))
            )));
        }
        if self.json {
            let hosts: Vec<_> = found
                .iter()
                .map(|(path, mac, onsets)| serde_json::json!({ "capture": path, "mac": mac, "onsets": onsets }))
                .collect();
            println!("{:#}", serde_json::json!({ "hosts": hosts }));
        } else {
            for (path, mac, onsets) in &found {
                activity::print_onsets(&format!("{}, {mac}", path.display()), onsets);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
