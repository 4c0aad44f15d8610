//! The commands of `millpond-lab`, one file each.

mod activity;
mod adversary;
mod bench;
mod bound;
mod bursts;
mod distinguish;
mod flat_line;
mod home;
mod identify;
mod leaks;
mod price;
mod progress;
mod report;
mod simulate;
mod trace;

use std::process::ExitCode;

use argh::FromArgs;

use super::capture;
use super::error::Error;

/// EX_DATAERR of sysexits: unusable input.
const EXIT_DATA: u8 = 65;
/// EX_USAGE of sysexits: an invalid request.
const EXIT_USAGE: u8 = 64;

/// The laboratory of millpond: reads captures, simulates homes and tests what the tunnel's packets reveal.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Activity(activity::ActivityCommand),
    Adversary(adversary::AdversaryCommand),
    Bench(bench::BenchCommand),
    Bound(bound::BoundCommand),
    Bursts(bursts::BurstsCommand),
    Distinguish(distinguish::DistinguishCommand),
    FlatLine(flat_line::FlatLineCommand),
    Identify(identify::IdentifyCommand),
    Leaks(leaks::LeaksCommand),
    Price(price::PriceCommand),
    Report(report::ReportCommand),
    Simulate(simulate::SimulateCommand),
    Trace(trace::TraceCommand),
}

/// Runs the command given by the process's arguments. Exit code 0 for success, 1 if a check fails, 64 for an invalid
/// request, 65 for unusable input. A command that reads captures ends with a line on stderr that accounts for their
/// packets, also after an error.
pub fn main() -> ExitCode {
    let arguments: Arguments = argh::from_env();
    let result = match arguments.command {
        Command::Activity(command) => command.run(),
        Command::Adversary(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Bound(command) => command.run(),
        Command::Bursts(command) => command.run(),
        Command::Distinguish(command) => command.run(),
        Command::FlatLine(command) => command.run(),
        Command::Identify(command) => command.run(),
        Command::Leaks(command) => command.run(),
        Command::Price(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Trace(command) => command.run(),
    };
    let code = result.unwrap_or_else(|error| {
        eprintln!("millpond-lab: {error}");
        ExitCode::from(if matches!(error, Error::Request(_)) { EXIT_USAGE } else { EXIT_DATA })
    });
    for line in capture::account_lines() {
        eprintln!("millpond-lab: {line}");
    }
    code
}
