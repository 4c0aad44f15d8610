//! `millpond-lab bursts`: what bursts cost and show, for several shares of decoys.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use serde::Serialize;

use super::home;
use crate::lab::bursts::{BurstLine, BurstRow, rows};
use crate::lab::error::Error;
use crate::lab::simulate::MAX_DEVICES;
use crate::lab::trace::{Direction, HomeTrace};
use crate::units::{BitsPerSec, Chance, Nanos};

/// Computes what bursts cost and show, for several shares of decoys: data a month, against a flat line with the same
/// delay and stochastic traffic padding at the same belief; the bound on what anyone can believe, and what the best
/// attacker reaches in simulated weeks. Without captures, uses the captured 44-minute run of a whole home, or a
/// synthetic home.
#[derive(FromArgs)]
#[argh(subcommand, name = "bursts")]
pub(super) struct BurstsCommand {
    /// captures (pcap, pcapng) of a home's network, from one recording
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// device that gets bursts, by its name in the captures; may be repeated (default: the cameras, or else the device
    /// that sends most)
    #[argh(option)]
    device: Vec<String>,
    /// rate outside bursts in kbit/s, each way (default: 20)
    #[argh(option, default = "20")]
    base: u64,
    /// upload rate in bursts in kbit/s (default: 600)
    #[argh(option, default = "600")]
    upload: u64,
    /// download rate in bursts in kbit/s (default: 60)
    #[argh(option, default = "60")]
    download: u64,
    /// length of a slot in seconds (default: 5)
    #[argh(option, default = "5")]
    slot: u64,
    /// probability that need begins a burst (default: 0.9)
    #[argh(option, default = "0.9")]
    begin: f64,
    /// probability that need keeps one (default: 0.95)
    #[argh(option, default = "0.95")]
    keep: f64,
    /// probability that a burst lasts without need (default: by the length of the events)
    #[argh(option)]
    linger: Option<f64>,
    /// events a day (default: as in the captures)
    #[argh(option)]
    events: Option<f64>,
    /// mean length of an event in seconds (default: as in the captures)
    #[argh(option)]
    seconds: Option<f64>,
    /// simulated weeks of the attack (default: 8)
    #[argh(option, default = "8")]
    weeks: u32,
    /// seed of all randomness (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// use a synthetic home even if captures are available
    #[argh(switch)]
    synthetic: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

#[derive(Serialize)]
struct BurstsReport {
    rows: Vec<BurstRow>,
}

impl BurstsCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let line = self.line()?;
        let home = match &self.captures[..] {
            [] => home::whole(home::folder(self.synthetic).as_ref(), self.seed)?.0,
            captures => home::of_captures(captures, MAX_DEVICES)?,
        };
        let listed = self.listed(&home)?;
        let names: Vec<_> = listed.iter().map(|index| home.devices[*index].device.as_str()).collect();
        eprintln!("bursts for {}", names.join(", "));
        let report = BurstsReport { rows: rows(&home, &listed, &line)? };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        } else {
            print(&report.rows);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn line(&self) -> Result<BurstLine, Error> {
        let rates = [("--base", self.base), ("--upload", self.upload), ("--download", self.download)];
        if let Some((option, got)) = rates.into_iter().find(|(_, kbit)| !(8..=1_000_000).contains(kbit)) {
            return Err(Error::Request(format!("bursts: {option}: want 8..=1000000 kbit/s, got {got}")));
        }
        if self.upload < self.base || self.download < self.base {
            return Err(Error::Request("bursts: --upload and --download: want at least --base".to_owned()));
        }
        if !(2..=600).contains(&self.slot) || !(1..=10_000).contains(&self.weeks) {
            return Err(Error::Request("bursts: want --slot 2..=600 and --weeks 1..=10000".to_owned()));
        }
        let positive = |value: Option<f64>| value.is_none_or(|value| value.is_finite() && value > 0.0);
        if !positive(self.events) || !positive(self.seconds) {
            return Err(Error::Request("bursts: --events and --seconds: want a number above 0".to_owned()));
        }
        let event = self.seconds.map(|seconds| Nanos((seconds * 1e9) as u64));
        let busy_s = self.events.unwrap_or(0.0) * self.seconds.unwrap_or(0.0);
        if busy_s >= 86_400.0 {
            return Err(Error::Request("bursts: --events and --seconds: more than a day of events a day".to_owned()));
        }
        let [begin, keep] = [chance("--begin", self.begin)?, chance("--keep", self.keep)?];
        let linger = self.linger.map(|linger| chance("--linger", linger)).transpose()?;
        if linger.is_some_and(|linger| linger > keep) {
            return Err(Error::Request("bursts: --linger: want at most --keep".to_owned()));
        }
        let [base, upload, download] = [self.base, self.upload, self.download].map(BitsPerSec::from_kbit);
        Ok(BurstLine {
            base: [base; 2],
            burst: [upload, download],
            slot: Nanos::from_secs(self.slot),
            begin,
            keep,
            linger,
            events_a_day: self.events,
            event,
            weeks: self.weeks,
            seed: self.seed,
        })
    }

    fn listed(&self, home: &HomeTrace) -> Result<Vec<usize>, Error> {
        let place = |name: &String| {
            let place = home.devices.iter().position(|trace| trace.device == *name);
            place.ok_or_else(|| {
                let names: Vec<_> = home.devices.iter().map(|trace| trace.device.as_str()).collect();
                Error::Request(format!("bursts: --device: no device {name}; choose from: {}", names.join(", ")))
            })
        };
        if !self.device.is_empty() {
            return self.device.iter().map(place).collect();
        }
        let (cameras, all) = (|index: &usize| home.devices[*index].device.contains("cam"), 0..home.devices.len());
        let listed: Vec<usize> = all.clone().filter(cameras).collect();
        if !listed.is_empty() {
            return Ok(listed);
        }
        let busiest = all.max_by_key(|index| home.devices[*index].bytes(Direction::Up));
        busiest.map(|index| vec![index]).ok_or_else(|| Error::Request("bursts: the home has no device".to_owned()))
    }
}

fn chance(option: &str, value: f64) -> Result<Chance, Error> {
    let chance = Chance((value * f64::from(Chance::ONE)).round() as u32);
    let is_one = (1..Chance::ONE).contains(&chance.0);
    is_one
        .then_some(chance)
        .ok_or_else(|| Error::Request(format!("bursts: {option}: want between 0 and 1, got {value}")))
}

fn print(rows: &[BurstRow]) {
    println!("| decoy | linger | epsilon | events a day | belief: before, bound, attack | GB | flat | STP | p99 |");
    println!("|{}", " --- |".repeat(9));
    for row in rows {
        let [before, after, attack] =
            [row.belief_before, row.belief_after, row.attack_belief].map(|share| format!("{:.1} %", 100.0 * share));
        let flat = row.flat_gb_month.map_or("-".to_owned(), |gb| format!("{gb:.0}"));
        println!(
            "| {} | {} | {:.2} | {:.0} | {before}, {after}, {attack} | {:.0} | {flat} | {:.0} | {:.1} s |",
            row.decoy, row.linger, row.epsilon, row.events_day, row.gb_month, row.stp_gb_month, row.p99_s
        );
    }
}
