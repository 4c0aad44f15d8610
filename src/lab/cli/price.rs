//! `millpond-lab price`: prints the delay and the monthly data of each rate, as the tables of docs/measurements.md.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::error::Error;
use crate::lab::simulate::{SimulationConfig, SimulationResult, simulate};
use crate::lab::trace::HomeTrace;
use crate::units::{BitsPerSec, MONTH_DAYS};

/// Rates in kbit/s, equal in both directions. The first and the fourth are the paper's 7.5 and 40 KB/s.
const RATES_KBIT: [u64; 6] = [60, 120, 160, 320, 640, 1_000];

/// Prints two Markdown tables for rates that are equal in both directions: the delays of every device of a home that
/// shares the line, and the data of each rate in a month (the paper's figure 9 and section 7.4).
#[derive(FromArgs)]
#[argh(subcommand, name = "price")]
pub(super) struct PriceCommand {
    /// folder with one trace (CSV) for each device
    #[argh(option)]
    home: Option<PathBuf>,
    /// use a synthetic home even if captures are available
    #[argh(switch)]
    synthetic: bool,
    /// seed of all randomness (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
}

impl PriceCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let home = match &self.home {
            Some(folder) => HomeTrace::read(folder)?,
            None => home::whole(home::folder(self.synthetic).as_ref(), self.seed)?.0,
        };
        let outcomes = RATES_KBIT.map(|kbit| {
            let rate = BitsPerSec::from_kbit(kbit);
            simulate(
                &home,
                &SimulationConfig { upload: rate, download: rate, seed: self.seed, ..SimulationConfig::default() },
                |_| {},
            )
        });
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        print!("{}\n{}", delays(&home, &outcomes), costs());
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a table with one line for each device: mean / 99th percentile / maximum delay in seconds, and the share of
/// dropped packets.
fn delays(home: &HomeTrace, outcomes: &[SimulationResult]) -> String {
    let mut table = String::from("| device |");
    RATES_KBIT.iter().for_each(|kbit| table.push_str(&format!(" {kbit} kbit/s |")));
    table.push_str(&format!("\n|{}\n", " --- |".repeat(1 + RATES_KBIT.len())));
    for (index, trace) in home.devices.iter().enumerate() {
        table.push_str(&format!("| {} |", trace.device));
        for outcome in outcomes {
            let device = &outcome.devices[index];
            let delay = device.delay_ms;
            let [mean, p99, max] = [delay.mean, delay.p99, delay.max].map(|ms| ms / 1e3);
            table.push_str(&format!(" {mean:.2} / {p99:.2} / {max:.2}"));
            let dropped = 100.0 * (device.sent - device.delivered) as f64 / device.sent.max(1) as f64;
            if dropped >= 0.1 {
                table.push_str(&format!(", {dropped:.1} % dropped"));
            }
            table.push_str(" |");
        }
        table.push('\n');
    }
    table
}

/// Returns a table with one line for each rate: KB per second, and GB per month in one direction and in both.
fn costs() -> String {
    let mut table = format!("| rate, each way | | one way in {MONTH_DAYS} days | both |\n| --- | --- | --- | --- |\n");
    for kbit in RATES_KBIT {
        let gb = BitsPerSec::from_kbit(kbit).bytes_in_month() as f64 / 1e9;
        let kilobytes = kbit as f64 / 8.0;
        table.push_str(&format!("| {kbit} kbit/s | {kilobytes} KB/s | {gb:.0} GB | {:.0} GB |\n", 2.0 * gb));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    #[test]
    fn costs_match_the_paper() {
        let costs = costs();
        assert!(
            costs.contains("| 60 kbit/s | 7.5 KB/s | 19 GB |") && costs.contains("| 40 KB/s | 104 GB |"),
            "{costs}"
        );
    }

    #[test]
    fn faster_rates_have_smaller_delays() {
        let (home, _) = HomeTrace::synthetic(Nanos::from_secs(120), 3);
        let of = |kbit| {
            let rate = BitsPerSec::from_kbit(kbit);
            simulate(&home, &SimulationConfig { upload: rate, download: rate, ..SimulationConfig::default() }, |_| {})
                .unwrap()
        };
        let outcomes: Vec<_> = RATES_KBIT.into_iter().map(of).collect();
        let table = delays(&home, &outcomes);
        assert_eq!(table.lines().count(), 2 + home.devices.len());
        assert!(outcomes.windows(2).all(|pair| pair[0].home_delay_ms.mean > pair[1].home_delay_ms.mean), "{table}");
    }
}
