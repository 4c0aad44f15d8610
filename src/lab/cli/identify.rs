//! `millpond-lab identify`: infers which devices a home has.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use super::progress::Progress;
use crate::lab::error::Error;
use crate::lab::identify::{self, Corpus, EvaluationConfig, ObservedHost, oui::Vendors};

/// Identifies the hosts in captures by vendor prefix, by the names that they look up and by the shape of their traffic.
/// Without captures, cross-validates this identification on the labelled devices of the data folder (../shared/data or
/// $MILLPOND_DATA), or on synthetic traces if there is no data folder (the paper's section 5.1).
#[derive(FromArgs)]
#[argh(subcommand, name = "identify")]
pub(super) struct IdentifyCommand {
    /// captures (pcap, pcapng) of a home's network
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// list of vendors: Wireshark's manuf, or the IEEE's oui.txt or oui.csv (default: a short built-in list)
    #[argh(option)]
    oui: Option<PathBuf>,
    /// use only these labelled devices, separated by commas
    #[argh(option)]
    only: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// folder for SVG figures
    #[argh(option)]
    svg: Option<PathBuf>,
    /// seed of folds, forests and shuffles (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// use synthetic traces even if the data folder exists
    #[argh(switch)]
    synthetic: bool,
}

impl IdentifyCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let mut vendors = Vendors::built_in();
        if let Some(path) = &self.oui {
            vendors = vendors.read(path)?;
        }
        // Read the given captures first: an unusable one should not cost a minute of training.
        let hosts = hosts(&self.captures)?;
        let corpus = self.corpus()?;
        if self.captures.is_empty() { self.evaluate(&corpus, &vendors) } else { self.name(&corpus, &vendors, &hosts) }
    }

    fn evaluate(&self, corpus: &Corpus, vendors: &Vendors) -> Result<ExitCode, Error> {
        let progress = Progress::new("cross-validating");
        let evaluation =
            identify::evaluate(corpus, &EvaluationConfig::default(), self.seed, |done, of| progress.show(done, of));
        progress.finish();
        let names = identify::by_names(corpus);
        let addresses = identify::by_address(corpus, vendors);
        if self.json {
            let report = serde_json::json!({ "by_address": addresses, "by_names": names, "by_traffic": evaluation });
            println!("{report:#}");
        } else {
            identify::print_evaluation(&evaluation, &names, &addresses);
        }
        if let Some(folder) = &self.svg {
            for path in identify::draw(corpus, &evaluation, folder)? {
                eprintln!("figure: {}", path.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn name(&self, corpus: &Corpus, vendors: &Vendors, hosts: &[ObservedHost]) -> Result<ExitCode, Error> {
        if self.svg.is_some() {
            return Err(Error::Request(
                "identify: --svg draws the cross-validation; give no captures with it".to_owned(),
            ));
        }
        let unknown = identify::identify(corpus, vendors, hosts, self.seed);
        if self.json {
            println!("{:#}", serde_json::json!({ "seed": self.seed, "hosts": unknown }));
        } else {
            identify::print_identities(&unknown, corpus.in_use);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn corpus(&self) -> Result<Corpus, Error> {
        let corpus = match home::folder(self.synthetic) {
            Some(folder) => {
                let progress = Progress::new("reading labelled captures");
                let corpus = Corpus::read(&folder, |done, of| progress.show(done, of))?;
                progress.finish();
                corpus
            }
            None => Corpus::synthetic(self.seed),
        };
        for warning in &corpus.warnings {
            eprintln!("millpond-lab: {warning}");
        }
        match &self.only {
            None => Ok(corpus),
            Some(names) => corpus.only(&names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()),
        }
    }
}

fn hosts(captures: &[PathBuf]) -> Result<Vec<ObservedHost>, Error> {
    let mut hosts: Vec<ObservedHost> = Vec::new();
    for path in captures {
        let sighting = identify::observe(path)?;
        if let Some(damage) = &sighting.damage {
            eprintln!("millpond-lab: {damage}; using the packets before it");
        }
        if sighting.hosts.is_empty() {
            return Err(Error::content(
                path,
                0,
                "no private address exchanges packets with the Internet or a resolver; \
                 capture on the router's LAN side",
            ));
        }
        hosts.extend(sighting.hosts);
    }
    Ok(hosts)
}
