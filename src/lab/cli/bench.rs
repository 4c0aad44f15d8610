//! `millpond-lab bench`: benchmarks that are tracked from commit to commit.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::bench::{
    Arrangement, BenchReport, DelayRow, Footprint, GatewayReport, HOME, RATES_KBIT, SMALL_DEVICES, delays,
    device_scale, endpoint_load, fixed_hour_cells, gateway, instructions, sparse,
};
use crate::lab::error::Error;
use crate::lab::trace::HomeTrace;

/// Simulates a home's delay under millpond and under the paper's arrangement at equal rates on the wire, and gathers
/// the other measurements of tests/tools/bench. Prints tables and writes JSON.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(super) struct BenchCommand {
    /// JSON file to write
    #[argh(option)]
    json: PathBuf,
    /// use the synthetic home even if captures are available
    #[argh(switch)]
    synthetic: bool,
    /// seed of the synthetic home (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// callgrind's output for `millpond-lab simulate --synthetic --hours 1 --seed 1`
    #[argh(option)]
    callgrind: Option<PathBuf>,
    /// the router's program, to measure its size
    #[argh(option)]
    binary: Option<PathBuf>,
    /// folder of the laboratory's results, for memory and the sparse stream (default: target/lab)
    #[argh(option, default = "PathBuf::from(\"target/lab\")")]
    lab: PathBuf,
}

impl BenchCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let folder = home::folder(self.synthetic);
        let (home, _) = home::whole(folder.as_ref(), self.seed)?;
        let results = self.measure(&home, if folder.is_some() { "captured" } else { "synthetic" })?;
        print(&results);
        if let Some(parent) = self.json.parent() {
            fs::create_dir_all(parent).map_err(Error::io("creating folder", parent))?;
        }
        let text = serde_json::to_string_pretty(&results).unwrap_or_default();
        fs::write(&self.json, text + "\n").map_err(Error::io("writing", &self.json))?;
        println!("\nwrote {}", self.json.display());
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self, home: &HomeTrace, kind: &'static str) -> Result<BenchReport, Error> {
        let (mut delay, mut delay_variants) = (Vec::new(), Vec::new());
        for kbit in RATES_KBIT {
            eprintln!(
                "simulating {:.0} s of {} devices at {kbit} kbit/s",
                home.length.as_secs_f64(),
                home.devices.len()
            );
            for arrangement in [Arrangement::Millpond, Arrangement::Paper] {
                delay.extend(delays(home, kbit, arrangement)?);
            }
            for arrangement in [Arrangement::MillpondBounded, Arrangement::PaperBare] {
                delay_variants.extend(delays(home, kbit, arrangement)?);
            }
        }
        let instructions_per_cell = match &self.callgrind {
            Some(path) => Some((instructions(path)? as f64 / fixed_hour_cells()? as f64).round()),
            None => None,
        };
        let binary_bytes = match &self.binary {
            Some(path) => Some(fs::metadata(path).map_err(Error::io("reading the size of", path))?.len()),
            None => None,
        };
        let runs = ["flat-line/gamma-busy", "sparse/5-nothing"].map(|run| self.lab.join(run));
        let footprint = Footprint::of_router(&runs.each_ref().map(PathBuf::as_path))?;
        Ok(BenchReport {
            delay,
            delay_variants,
            instructions_per_cell,
            binary_bytes,
            rss_kb: footprint.map(|footprint| footprint.rss_kb),
            anon_kb: footprint.map(|footprint| footprint.anon_kb),
            sparse: sparse(&self.lab.join("sparse"))?,
            endpoint: endpoint_load(&self.lab.join("endpoint.json"))?,
            devices: device_scale(&self.lab.join("devices.json"))?,
            gateway: gateway(&self.lab.join("gateway.json"))?,
            home: kind,
        })
    }
}

fn print(results: &BenchReport) {
    println!("\ndelay of the {} home at equal rates on the wire, without drops in either arrangement", results.home);
    table(&results.delay);
    println!("\nvariants: millpond with its default queue bounds; the paper's arrangement without the VPN's headers");
    let is_summary = |row: &&DelayRow| row.device == HOME || row.device == SMALL_DEVICES;
    table(&results.delay_variants.iter().filter(is_summary).cloned().collect::<Vec<_>>());
    let all: Vec<DelayRow> = results.delay.iter().chain(&results.delay_variants).cloned().collect();
    for (title, ours, theirs) in [
        ("millpond against the paper", Arrangement::Millpond, Arrangement::Paper),
        ("the same, with millpond's default queue bounds", Arrangement::MillpondBounded, Arrangement::Paper),
        (
            "the same, without the VPN's headers in the paper's arrangement",
            Arrangement::Millpond,
            Arrangement::PaperBare,
        ),
    ] {
        println!("\n{title}:");
        RATES_KBIT.iter().for_each(|kbit| compare(&all, *kbit, ours, theirs));
    }
    println!();
    let number = |value: Option<f64>| value.map_or("not measured".to_owned(), |value| format!("{value:.0}"));
    println!("instructions per cell  {}", number(results.instructions_per_cell));
    println!("binary bytes           {}", number(results.binary_bytes.map(|bytes| bytes as f64)));
    println!("resident KiB           {}", number(results.rss_kb));
    println!("anonymous KiB          {}", number(results.anon_kb));
    if results.sparse.is_empty() {
        println!("sparse stream          not measured (run tests/lab/run sparse)");
    }
    for row in &results.sparse {
        let above = row
            .ratio_above_path
            .map_or("path not measured".to_owned(), |ratio| format!("{ratio:.2} without the path's own delay"));
        println!(
            "sparse stream, {:>2} packets/s beside {:<8} mean {:.1} ms = {:.2} of the law's residual interval \
             ({above}), p99 {:.1} ms, {} lost",
            row.per_second, row.beside, row.mean_ms, row.ratio_mean, row.p99_ms, row.lost
        );
    }
    print_endpoint(results);
    match &results.gateway {
        Some(report) => print_gateway(report),
        None => println!("gateway                not measured (run tests/lab/gateway as root)"),
    }
}

/// Prints what a building's line carries and costs.
fn print_gateway(report: &GatewayReport) {
    println!(
        "\ngateway: a flat line between two ends on a processor each, {} devices, without cryptography",
        report.devices
    );
    println!(
        "up {:.3} and down {:.3} Gbit/s; the fastest that was held {:.1} of {:.1} that bare loops exchange: {:.2}",
        report.gbit_up, report.gbit_down, report.max_gbit, report.ceiling_gbit, report.ratio
    );
    println!(
        "us per cell: {:.2} idle, {:.2} under the heaviest load, {:.2} in a bare loop; {} cells lost, {} missed",
        report.us_per_cell_idle, report.us_per_cell, report.us_per_cell_ceiling, report.lost, report.missed
    );
    println!(
        "{:>7} {:>15} {:>13} {:>11} {:>15} {:>7} {:>13} {:>18}",
        "Mbit/s", "carried Mbit/s", "us/cell", "cpu %", "sparse us", "ratio", "lost %", "auc"
    );
    for row in &report.loads {
        let pair = |[up, down]: [f64; 2], decimals: usize| format!("{up:.decimals$} {down:.decimals$}");
        println!(
            "{:>7} {:>15} {:>13} {:>11} {:>15} {:>7.2} {:>13} {:>18}",
            row.mbit,
            pair(row.carried_mbit, 1),
            pair(row.us_per_cell, 2),
            pair(row.cpu_percent, 0),
            pair(row.sparse_us, 0),
            row.sparse_ratio,
            pair(row.lost_percent, 2),
            format!("{:.3}{}", row.auc, if row.told_apart { " told apart" } else { "" })
        );
    }
}

/// Prints the load of an endpoint by its number of homes.
fn print_endpoint(results: &BenchReport) {
    if results.endpoint.is_empty() {
        println!("endpoint               not measured (run tests/tools/bench as root)");
        return;
    }
    println!("\nendpoint, for each home 80 cells of 508 bytes per second in each direction, without cryptography");
    println!(
        "{:>5} {:>7} {:>9} {:>6} {:>9} {:>10} {:>10} {:>9} {:>8} {:>7}",
        "homes", "threads", "cells/s", "cpu %", "us/cell", "late p50", "late p99", "KiB/home", "drops", "least %"
    );
    for row in &results.endpoint {
        println!(
            "{:>5} {:>7} {:>9.0} {:>6.1} {:>9.2} {:>7.0} us {:>7.0} us {:>9.1} {:>8} {:>7.1}",
            row.homes,
            row.threads,
            row.cells_per_second,
            row.cpu_percent,
            row.cell_us(),
            row.lateness_us.p50,
            row.lateness_us.p99,
            row.kb_per_home,
            row.drops,
            row.least_percent
        );
    }
}

fn table(rows: &[DelayRow]) {
    println!(
        "{:>5} {:<40} {:<18} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "kbit", "device", "arrangement", "mean ms", "p50 ms", "p99 ms", "max ms", "dropped"
    );
    // A stable sort keeps the home's order of devices and groups the arrangements of each device.
    let place = |row: &&DelayRow| (row.kbit, rows.iter().position(|first| first.device == row.device));
    let mut sorted: Vec<&DelayRow> = rows.iter().collect();
    sorted.sort_by_key(place);
    for row in sorted {
        println!(
            "{:>5} {:<40} {:<18} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>8}",
            row.kbit, row.device, row.arrangement, row.mean_ms, row.p50_ms, row.p99_ms, row.max_ms, row.dropped
        );
    }
}

fn compare(rows: &[DelayRow], kbit: u64, ours: Arrangement, theirs: Arrangement) {
    let find = |arrangement: Arrangement, device: &str| {
        rows.iter().find(|row| row.kbit == kbit && row.device == device && row.arrangement == arrangement.name())
    };
    let both = |device| Some((find(ours, device)?, find(theirs, device)?));
    if let Some((ours, theirs)) = both(HOME) {
        println!(
            "{} {kbit:>4} kbit/s, home: mean {:.0} against {:.0} ms, p99 {:.0} against {:.0} ms",
            verdict(ours.mean_ms < theirs.mean_ms && ours.p99_ms < theirs.p99_ms),
            ours.mean_ms,
            theirs.mean_ms,
            ours.p99_ms,
            theirs.p99_ms
        );
    }
    if let Some((ours, theirs)) = both(SMALL_DEVICES) {
        println!(
            "{} {kbit:>4} kbit/s, {SMALL_DEVICES}: mean {:.1} against {:.1} ms, ratio {:.3} (at most 0.2)",
            verdict(ours.mean_ms <= theirs.mean_ms / 5.0),
            ours.mean_ms,
            theirs.mean_ms,
            ours.mean_ms / theirs.mean_ms
        );
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met   " } else { "MISSED" }
}
