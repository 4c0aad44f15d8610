//! `millpond-lab simulate`: runs the real engines on a home's traces in virtual time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;
use serde::Serialize;

use super::home;
use super::progress::Progress;
use crate::core::Limits;
use crate::lab::capture::{LinkType, PcapWriter};
use crate::lab::error::Error;
use crate::lab::plot::{Chart, Series, SeriesStyle};
use crate::lab::simulate::paper::{self, Overhead, PaperResult};
use crate::lab::simulate::whole_home::{self, HomeSizeRow};
use crate::lab::simulate::{MAX_DEVICES, SentCell, SimulationConfig, SimulationResult, simulate, wire};
use crate::lab::stats::Summary;
use crate::lab::trace::HomeTrace;
use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};

/// Runs the real engines, and the paper's arrangement for comparison, on a home's traffic in virtual time. Prints the
/// delay of each device, the drops by cause, the share of cover cells and the data per month. Without captures or
/// --home, uses the captured 44-minute run of a whole home, or a synthetic home if there are no captures.
#[derive(FromArgs)]
#[argh(subcommand, name = "simulate")]
pub(super) struct SimulateCommand {
    /// captures (pcap, pcapng) of a home's network, from one recording
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// folder with one trace (CSV) for each device
    #[argh(option)]
    home: Option<PathBuf>,
    /// use a synthetic home even if captures are available
    #[argh(switch)]
    synthetic: bool,
    /// repeat or cut the home to this many hours
    #[argh(option)]
    hours: Option<f64>,
    /// gamma, normal, constant or kernel (default: gamma)
    #[argh(option, default = "Law::Gamma", from_str_fn(law))]
    law: Law,
    /// spread of the law in percent (default: 33; normal: 15)
    #[argh(option)]
    spread: Option<u8>,
    /// cells that leave together, 1 to 64 (default: by the rate)
    #[argh(option)]
    train: Option<u8>,
    /// upload rate in kbit/s on the wire (default: 160)
    #[argh(option, default = "160")]
    upload: u64,
    /// download rate in kbit/s on the wire (default: 320)
    #[argh(option, default = "320")]
    download: u64,
    /// maximum size of a cell in bytes on the wire (default: 512)
    #[argh(option, default = "512")]
    cell: usize,
    /// size of the queue at each end in bytes (default: 262144)
    #[argh(option)]
    queue_bytes: Option<usize>,
    /// maximum wait in that queue in seconds (default: 10)
    #[argh(option)]
    queue_seconds: Option<u64>,
    /// cells lost on the path in percent (default: 0)
    #[argh(option, default = "0.0")]
    loss: f64,
    /// delay of the path in milliseconds (default: 0)
    #[argh(option, default = "0")]
    path_ms: u64,
    /// seed of all randomness (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// capture file (pcap) to write, as the provider would record it
    #[argh(option)]
    pcap: Option<PathBuf>,
    /// also find the lowest rates for one device, for two together, for three, and so on (the paper's section 7.6)
    #[argh(switch)]
    whole_home: bool,
    /// maximum mean delay of any device for --whole-home, in seconds (default: 2)
    #[argh(option, default = "2.0")]
    tolerance: f64,
    /// folder for the SVG figure of --whole-home
    #[argh(option)]
    svg: Option<PathBuf>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

#[derive(Serialize)]
struct SimulationReport {
    law: &'static str,
    upload_kbit: u64,
    download_kbit: u64,
    seed: u64,
    gb_month: f64,
    millpond: SimulationResult,
    paper: PaperResult,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    whole_home: Vec<HomeSizeRow>,
}

impl SimulateCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let setup = self.setup()?;
        let home = self.chosen_home()?;
        let millpond = match &self.pcap {
            None => simulate(&home, &setup, |_| {})?,
            Some(path) => {
                let mut writer = PcapWriter::create(path, LinkType::Ethernet)?;
                let mut failure = None;
                let each = |departure: SentCell<'_>| {
                    if failure.is_none() {
                        failure = wire::record(&mut writer, &departure).err();
                    }
                };
                let outcome = simulate(&home, &setup, each)?;
                failure.map_or(Ok(()), Err)?;
                writer.finish()?;
                outcome
            }
        };
        let paper = paper::simulate(&home, &setup, Overhead::Tunnel);
        let results = SimulationReport {
            law: self.law.name(),
            upload_kbit: self.upload,
            download_kbit: self.download,
            seed: self.seed,
            gb_month: whole_home::gb_month([self.upload, self.download]),
            millpond,
            paper,
            whole_home: if self.whole_home { self.by_devices(&home, &setup)? } else { Vec::new() },
        };
        if let Some(folder) = &self.svg {
            write_figure(folder, &results.whole_home)?;
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&results).unwrap_or_default());
        } else {
            print(&results);
            print_whole_home(&results.whole_home, self.tolerance);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn by_devices(&self, home: &HomeTrace, setup: &SimulationConfig) -> Result<Vec<HomeSizeRow>, Error> {
        let progress = Progress::new("searching rates");
        let rows = whole_home::home_size_rows(home, setup, Nanos((self.tolerance * 1e9) as u64), |done, of| {
            progress.show(done, of);
        });
        progress.finish();
        rows
    }

    fn setup(&self) -> Result<SimulationConfig, Error> {
        let defaults = Limits::default();
        let limits = Limits {
            bytes: self.queue_bytes.unwrap_or(defaults.bytes),
            age: self.queue_seconds.map_or(defaults.age, Nanos::from_secs),
        };
        if limits.bytes > Limits::MAX_BYTES {
            return Err(Error::Request(format!("simulate: --queue-bytes: must be at most {}", Limits::MAX_BYTES)));
        }
        if !(0.0..=100.0).contains(&self.loss) {
            return Err(Error::Request(format!(
                "simulate: --loss: must be a percentage from 0 to 100, got {}",
                self.loss
            )));
        }
        if !(self.tolerance > 0.0 && self.tolerance <= 3600.0) {
            return Err(Error::Request(format!(
                "simulate: --tolerance: must be above 0 and at most 3600 s, got {}",
                self.tolerance
            )));
        }
        if self.svg.is_some() && !self.whole_home {
            return Err(Error::Request("simulate: --svg draws the result of --whole-home; give both".to_owned()));
        }
        Ok(SimulationConfig {
            law: self.law,
            train: self.train,
            spread_percent: self.spread.unwrap_or(if self.law == Law::Normal { 15 } else { 33 }),
            upload: BitsPerSec::from_kbit(self.upload),
            download: BitsPerSec::from_kbit(self.download),
            cell_bytes: self.cell,
            bursts: None,
            limits,
            lead: Nanos::ZERO,
            path_delay: Nanos::from_millis(self.path_ms),
            loss: self.loss / 100.0,
            seed: self.seed,
        })
    }

    fn chosen_home(&self) -> Result<HomeTrace, Error> {
        let home = match (&self.home, self.captures.as_slice()) {
            (Some(_), [_, ..]) => {
                return Err(Error::Request("simulate: give either captures or --home".to_owned()));
            }
            (Some(folder), []) => HomeTrace::read(folder)?,
            (None, []) => home::whole(home::folder(self.synthetic).as_ref(), self.seed)?.0,
            (None, captures) => home::of_captures(captures, MAX_DEVICES)?,
        };
        match self.hours {
            None => Ok(home),
            Some(hours) if hours > 0.0 && hours <= 24.0 * 365.0 => Ok(home.repeated(Nanos((hours * 3.6e12) as u64))),
            Some(hours) => {
                Err(Error::Request(format!("simulate: --hours: must be above 0 and at most 8760, got {hours}")))
            }
        }
    }
}

fn law(name: &str) -> Result<Law, String> {
    Law::from_name(name).ok_or_else(|| format!("unknown law `{name}`; expected gamma, normal, constant or kernel"))
}

fn print(results: &SimulationReport) {
    let (millpond, paper) = (&results.millpond, &results.paper);
    println!(
        "simulated {:.0} s of {} at {} kbit/s up and {} down: {:.0} GB in 30 days",
        millpond.simulated_s, results.law, results.upload_kbit, results.download_kbit, results.gb_month
    );
    for way in &millpond.directions {
        println!(
            "{:<5} cells {} ({:.1} % cover), packets {}, delivered {}, lost with cells {}, reordered {}, corrupted {}",
            way.direction,
            way.cells_data + way.cells_cover,
            way.cover_percent,
            way.sent,
            way.delivered,
            way.lost,
            way.reordered,
            way.corrupted
        );
        for (cause, count) in way.queue_drops.iter().chain(&way.receive_drops) {
            println!("      dropped, {cause}: {count}");
        }
    }
    println!("\n{:<18} {:>38}   {:>38}", "delay in ms", "millpond", "paper (nothing dropped)");
    let columns = ["mean", "p50", "p99", "max"].map(|name| format!("{name:>9}")).concat();
    println!("{:<18} {:>38}   {:>38}", "device", columns, columns);
    let home = (millpond.home_delay_ms, paper.home_delay_ms);
    let devices = millpond.devices.iter().zip(&paper.devices);
    let rows = devices.map(|(ours, theirs)| (ours.name.as_str(), ours.delay_ms, theirs.delay_ms));
    for (name, ours, theirs) in rows.chain([("home", home.0, home.1)]) {
        println!("{name:<18} {:>38}   {:>38}", numbers(&ours), numbers(&theirs));
    }
}

fn print_whole_home(rows: &[HomeSizeRow], tolerance: f64) {
    if rows.is_empty() {
        return;
    }
    println!("\nlowest rates at which no device's mean delay exceeds {tolerance} s, in kbit/s up and down");
    println!(
        "{:>7}  {:<18} {:>13} {:>13} {:>13} {:>9} {:>9}",
        "devices", "added", "alone", "together", "sum of alone", "GB/month", "of sum"
    );
    let pair = |kbit: [u64; 2]| format!("{} {:>5}", kbit[0], kbit[1]);
    for row in rows {
        println!(
            "{:>7}  {:<18} {:>13} {:>13} {:>13} {:>9.1} {:>9.1}",
            row.devices,
            row.added,
            pair(row.alone_kbit),
            pair(row.together_kbit),
            pair(row.sum_of_alone_kbit),
            row.together_gb_month,
            row.sum_of_alone_gb_month
        );
    }
}

fn write_figure(folder: &Path, rows: &[HomeSizeRow]) -> Result<(), Error> {
    let both = |kbit: [u64; 2]| (kbit[0] + kbit[1]) as f64;
    let series = |name: &str, of: fn(&HomeSizeRow) -> [u64; 2]| Series {
        name: name.to_owned(),
        style: SeriesStyle::Line,
        values: rows.iter().map(|row| (row.devices as f64, both(of(row)))).collect(),
    };
    let axes = Series { name: String::new(), style: SeriesStyle::Points, values: vec![(0.0, 0.0)] };
    let chart = Chart {
        title: "Rates that a home needs as devices are added".to_owned(),
        x: "devices, the most demanding first".to_owned(),
        y: "kbit/s, both directions together".to_owned(),
        logarithmic: false,
        series: vec![
            series("one shaper for all devices", |row| row.together_kbit),
            series("one shaper for each device", |row| row.sum_of_alone_kbit),
            axes,
        ],
    };
    fs::create_dir_all(folder).map_err(Error::io("creating folder", folder))?;
    let path = folder.join("whole-home.svg");
    fs::write(&path, chart.svg()).map_err(Error::io("writing", &path))?;
    eprintln!("figure: {}", path.display());
    Ok(())
}

fn numbers(delay: &Summary) -> String {
    [delay.mean, delay.p50, delay.p99, delay.max].map(|value| format!("{value:>9.1}")).concat()
}
