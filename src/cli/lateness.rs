//! `millpond lateness`: records the lateness of single departures, for `millpond-lab bound`.

use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::control_socket;
use super::exit::{Failure, IO_ERROR, UNAVAILABLE};
use crate::daemon::request::Request;

/// Allowed number of departures. The file of the largest record has about 10 MB.
const CELLS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// The daemon keeps the last 16384 values: 8 s at the fastest rate.
const READ_PERIOD: Duration = Duration::from_secs(1);
/// Ends the daemon's record.
const END: u32 = u32::MAX;

/// Record by how many nanoseconds each cell of the running daemon leaves late, in order, as JSON for millpond-lab
/// bound.
#[derive(FromArgs)]
#[argh(subcommand, name = "lateness", example = "{command_name} --cells 200000 --output busy.json")]
pub struct LatenessCommand {
    /// number of departures, 1..=1000000 (default 20000)
    #[argh(option, default = "20_000", from_str_fn(cells))]
    cells: u32,
    /// on an endpoint with several homes: the home's address inside the tunnel
    #[argh(option)]
    home: Option<Ipv4Addr>,
    /// file to write (default: standard output)
    #[argh(option)]
    output: Option<PathBuf>,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

/// What the daemon answers.
struct Chunk<'a> {
    /// Law, spread in percent, mean interval in nanoseconds, missed slots.
    head: [&'a str; 4],
    next: u32,
    values: std::str::SplitAsciiWhitespace<'a>,
}

impl LatenessCommand {
    /// Writes the record once it is complete.
    pub fn execute(self) -> Result<(), Failure> {
        // The daemon starts before the file is opened: a refusal must not leave an empty file.
        let mut answer = self.ask(0)?;
        let name = self.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
        let failed = |error: io::Error| Failure::new(IO_ERROR, format!("writing {name}: {error}"));
        let mut file: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(io::BufWriter::new(File::create(path).map_err(failed)?)),
            None => Box::new(io::stdout().lock()),
        };
        let (mut from, mut left) = (1, self.cells);
        loop {
            let Chunk { head: [law, spread, interval, missed], next, values } = parse(&answer)?;
            if from == 1 && next > 1 {
                let head = format!("\"law\":\"{law}\",\"spread_percent\":{spread},\"interval_ns\":{interval}");
                write!(file, "{{{head},\"lateness_ns\":[").map_err(failed)?;
            }
            for value in values.take(left as usize) {
                let comma = if left < self.cells { "," } else { "" };
                write!(file, "{comma}{value}").map_err(failed)?;
                left -= 1;
            }
            if left == 0 {
                writeln!(file, "],\"missed_slots\":{missed}}}").and_then(|()| file.flush()).map_err(failed)?;
                self.ask(END)?;
                return Ok(());
            }
            // A full answer means that more values wait.
            if next < from + 4_096 {
                thread::sleep(READ_PERIOD);
            }
            from = next;
            answer = self.ask(from)?;
        }
    }

    fn ask(&self, from: u32) -> Result<String, Failure> {
        let address = DaemonAddress { socket: Some(self.socket.clone()), ubus: None };
        ask_for(&address, Request::Lateness { from, home: self.home })
    }
}

fn parse(answer: &str) -> Result<Chunk<'_>, Failure> {
    let parsed = answer.split_once('\n').and_then(|(head, values)| {
        let words: Vec<&str> = head.split(' ').collect();
        let [law, spread, interval, missed, next] = words[..] else { return None };
        let next = next.parse().ok()?;
        Some(Chunk { head: [law, spread, interval, missed], next, values: values.split_ascii_whitespace() })
    });
    parsed.ok_or_else(|| {
        let why = "recording the lateness: the daemon's answer is incomplete: it is of another version, restart it";
        Failure::new(UNAVAILABLE, why)
    })
}

fn cells(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| CELLS.contains(count));
    count.ok_or_else(|| format!("not a valid number of departures: '{text}' (want 1..=1000000)"))
}
