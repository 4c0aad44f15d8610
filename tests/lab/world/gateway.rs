//! A building's line on this machine's own kernel: two ends of the data plane on a processor each, a flat line each way
//! between them, and the traffic of a thousand devices through it. WireGuard and the queueing tree are left out.

mod end;
mod place;
mod tap;
mod traffic;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, Child, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use argh::FromArgs;
use millpond::core::Pace;
use millpond::lab::bench::{GatewayLoad, GatewayReport};
use millpond::sys::timer::{now, wall_clock};
use millpond::units::{BitsPerSec, Nanos};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use self::end::GatewayEnd;
use self::end::{EndResult, cell_size, cpu_seconds, trains};
use self::place::{MAX_DEVICES, Place};
use self::tap::{Tap, judge, within};
use self::traffic::{Carried, Traffic};

/// Rates of the line in kbit/s at which the ends are tried without home traffic, to find the fastest that they hold.
const FASTER_KBIT: [u64; 8] = [1_000_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000, 5_000_000, 6_000_000];
/// The ends are overloaded if they carry less of the line than this, and a faster one is not tried.
const OVERLOADED: f64 = 0.8;
/// Until the ends have agreed on trains and move them by one system call.
const SETTLING: Duration = Duration::from_secs(4);
/// Bytes of the headers that an interface counts for each train, which passes it as one packet: Ethernet, IP and UDP.
const TRAIN_HEADERS: f64 = 42.0;
/// Between two measurements.
const PAUSE: Duration = Duration::from_millis(200);

/// measure a fast flat line between two ends on a processor each, with the traffic of many devices, without WireGuard,
/// and print the result as JSON; needs root
#[derive(FromArgs)]
#[argh(subcommand, name = "gateway")]
pub struct Gateway {
    /// rate of the line each way in kbit/s (default 1000000)
    #[argh(option, default = "1_000_000")]
    rate: u64,
    /// home traffic in Mbit/s, half of it each way, separated by commas (default 1,10,100,400,800)
    #[argh(option, default = "\"1,10,100,400,800\".to_owned()")]
    loads: String,
    /// seconds of each load, and of the idle time before it (default 5)
    #[argh(option, default = "5")]
    seconds: u64,
    /// number of devices (default 1000)
    #[argh(option, default = "1_000")]
    devices: usize,
    /// leave out faster lines
    #[argh(switch)]
    only_rate: bool,
    /// seed of the traffic (default 1)
    #[argh(option, default = "1")]
    seed: u64,
}

/// A time of the measurement in which the load stayed the same.
struct Window {
    /// In nanoseconds of Unix time.
    span: (u64, u64),
    carried: Carried,
    /// Processor time of router and endpoint, in seconds.
    cpu_seconds: [f64; 2],
    /// Cells that passed the wire, up and down.
    cells: [f64; 2],
}

impl Gateway {
    pub fn run(self) -> Result<(), String> {
        let loads: Vec<f64> = self.loads.split(',').filter_map(|load| load.trim().parse().ok()).collect();
        if loads.is_empty() || !(1..=MAX_DEVICES).contains(&self.devices) || self.seconds == 0 || self.rate == 0 {
            return Err(format!(
                "want loads in Mbit/s such as `1,800`, 1 to {MAX_DEVICES} devices, and a time and a rate above 0"
            ));
        }
        let place = Place::new()?;
        let rate = BitsPerSec::from_kbit(self.rate);
        eprintln!("gateway: seed {}, two bare loops", self.seed);
        let [ceiling_gbit, us_per_cell_ceiling] = self.ceiling(&place)?;
        let mut max_gbit = 0.0f64;
        for kbit in FASTER_KBIT.into_iter().filter(|_| !self.only_rate) {
            let gbit = self.carried_gbit(&place, kbit)?;
            eprintln!("gateway: of {} Gbit/s each way {gbit:.3} are carried", kbit as f64 / 1e6);
            max_gbit = gbit.max(max_gbit);
            if gbit < OVERLOADED * kbit as f64 / 1e6 {
                break;
            }
        }
        let ends = Ends::start(&place, self.rate, None)?;
        thread::sleep(SETTLING);
        let mut traffic = Traffic::connect(&place, self.devices, self.seed)?;
        let tap = Tap::start(&place)?;
        let mut windows = Vec::new();
        for mbit in &loads {
            for mbit in [0.0, *mbit] {
                thread::sleep(PAUSE);
                eprintln!("gateway: {mbit} Mbit/s of {} devices, half of it each way", self.devices);
                windows.push(Window::measure(
                    (&place, &ends, rate),
                    &mut traffic,
                    mbit,
                    Nanos::from_secs(self.seconds),
                )?);
            }
        }
        let seen = tap.end()?;
        let results = ends.end()?;
        let (pace, _) = trains(rate)?;
        let cell_gbit = cell_size()?.wire_bytes as f64 * 8.0 / 1e9;
        let idle: Vec<_> = windows.iter().step_by(2).map(|window| window.span).collect();
        let idle = within(&seen, &idle);
        let mut report = GatewayReport {
            devices: self.devices,
            gbit_up: 0.0,
            gbit_down: 0.0,
            ceiling_gbit,
            max_gbit,
            ratio: max_gbit / ceiling_gbit,
            us_per_cell_idle: 0.0,
            us_per_cell: 0.0,
            us_per_cell_ceiling,
            sparse_ratio: 0.0,
            lost: results.iter().map(|result| result.lost).sum(),
            missed: results.iter().map(|result| result.missed).sum(),
            auc: 0.5,
            loads: Vec::new(),
        };
        for (mbit, pair) in loads.iter().zip(windows.chunks(2)) {
            let [before, busy] = pair else { continue };
            let under = within(&seen, &[busy.span]);
            let (auc, told_apart) = judge(&idle, &under)?;
            // An end handles the cells of both directions.
            let us =
                |window: &Window| window.cpu_seconds.map(|seconds| seconds * 1e6 / (window.cells[0] + window.cells[1]));
            [report.gbit_up, report.gbit_down] = busy.cells.map(|cells| cells * cell_gbit / busy.seconds());
            report.us_per_cell_idle = most(us(before));
            report.us_per_cell = most(us(busy));
            let load = busy.load(*mbit, us(busy), residual_us(pace), (auc, told_apart));
            (report.sparse_ratio, report.auc) = (load.sparse_ratio, auc);
            report.loads.push(load);
        }
        println!("{}", serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?);
        let is_flowing = results.iter().all(|result| result.received > 0);
        if is_flowing { Ok(()) } else { Err("no cell passed the line".to_owned()) }
    }

    /// What two bare loops exchange each way in gigabits a second, and the processor time of a cell in microseconds.
    fn ceiling(&self, place: &Place) -> Result<[f64; 2], String> {
        let seconds = self.seconds.min(3);
        let mut ends = Ends::start(place, self.rate, Some(seconds))?;
        ends.0.iter_mut().try_for_each(RunningEnd::go)?;
        thread::sleep(Duration::from_secs(seconds));
        let results = ends.end()?;
        let bits = cell_size()?.wire_bytes as f64 * 8.0 / seconds as f64;
        let gbit = results.map(|result| result.received as f64 * bits / 1e9);
        let us = results.map(|result| result.cpu_seconds * 1e6 / (result.sent + result.received) as f64);
        Ok([gbit[0].min(gbit[1]), most(us)])
    }

    /// How much of a flat line of that rate both ends carry without home traffic, in gigabits a second each way.
    fn carried_gbit(&self, place: &Place, kbit: u64) -> Result<f64, String> {
        let (ends, rate) = (Ends::start(place, kbit, None)?, BitsPerSec::from_kbit(kbit));
        thread::sleep(SETTLING);
        let (before, start) = (cells(place, rate)?, now());
        thread::sleep(Duration::from_secs(self.seconds.min(3)));
        let (after, seconds) = (cells(place, rate)?, now().saturating_since(start).as_secs_f64());
        let results = ends.end()?;
        let cells = (after[0] - before[0]).min(after[1] - before[1]);
        // What is lost behind the wire counts as not carried.
        let arrived = |result: &EndResult| result.received as f64 / (result.received + result.lost).max(1) as f64;
        let share = arrived(&results[0]).min(arrived(&results[1]));
        Ok(share * cells * cell_size()?.wire_bytes as f64 * 8.0 / 1e9 / seconds)
    }
}

impl Window {
    fn measure(
        (place, ends, rate): (&Place, &Ends, BitsPerSec),
        traffic: &mut Traffic,
        mbit: f64,
        length: Nanos,
    ) -> Result<Window, String> {
        let cells_before = cells(place, rate)?;
        let (start, started, before) = (wall_clock(), now(), ends.cpu_seconds()?);
        let carried = traffic.run(mbit * 1e6 / 2.0, length)?;
        let (after, cells_after) = (ends.cpu_seconds()?, cells(place, rate)?);
        let end = start + Duration::from_nanos(now().saturating_since(started).0);
        let cpu_seconds = [after[0] - before[0], after[1] - before[1]];
        let cells = [cells_after[0] - cells_before[0], cells_after[1] - cells_before[1]];
        Ok(Window { span: (start.as_nanos() as u64, end.as_nanos() as u64), carried, cpu_seconds, cells })
    }

    fn seconds(&self) -> f64 {
        (self.span.1 - self.span.0) as f64 / 1e9
    }

    fn load(&self, mbit: f64, us_per_cell: [f64; 2], residual_us: f64, (auc, told_apart): (f64, bool)) -> GatewayLoad {
        let Carried { seconds, bytes, datagrams_sent, datagrams_received, probes_sent, probe_us } = &self.carried;
        let sparse_us = [0, 1].map(|way| probe_us[way].iter().sum::<f64>() / probe_us[way].len().max(1) as f64);
        let lost = |sent: u64, received: u64| 100.0 * (1.0 - received as f64 / sent.max(1) as f64).max(0.0);
        let probes = probe_us.iter().map(Vec::len).sum::<usize>() as u64;
        GatewayLoad {
            mbit,
            carried_mbit: bytes.map(|bytes| bytes as f64 * 8.0 / 1e6 / seconds),
            us_per_cell,
            cpu_percent: self.cpu_seconds.map(|cpu| 100.0 * cpu / self.seconds()),
            sparse_us,
            sparse_ratio: most(sparse_us) / residual_us,
            lost_percent: [lost(*datagrams_sent, *datagrams_received), lost(*probes_sent, probes)],
            auc,
            told_apart,
        }
    }
}

/// The cells that have passed the wire up and down, by the bytes that its interfaces have counted.
fn cells(place: &Place, rate: BitsPerSec) -> Result<[f64; 2], String> {
    let cell_bytes = cell_size()?.payload_bytes as f64 + TRAIN_HEADERS / f64::from(trains(rate)?.1);
    let [down, up] = place.wire_bytes()?.map(|bytes| bytes as f64 / cell_bytes);
    Ok([up, down])
}

/// The mean time until the next departure, in microseconds.
fn residual_us(pace: Pace) -> f64 {
    let spread = f64::from(pace.spread_percent) / 100.0;
    pace.mean.as_secs_f64() * 1e6 * (1.0 + spread * spread) / 2.0
}

fn most([a, b]: [f64; 2]) -> f64 {
    a.max(b)
}

/// Router and endpoint.
struct Ends([RunningEnd; 2]);

/// The process of an end, which ends with this value.
struct RunningEnd {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Whether it is a bare loop, which ends at its time.
    is_bare: bool,
}

impl Ends {
    /// Starts both, and returns when both are ready.
    fn start(place: &Place, kbit: u64, bare: Option<u64>) -> Result<Ends, String> {
        let router = RunningEnd::start("router", &place.router.path(), 0, kbit, bare)?;
        Ok(Ends([router, RunningEnd::start("endpoint", &place.endpoint.path(), 1, kbit, bare)?]))
    }

    fn cpu_seconds(&self) -> Result<[f64; 2], String> {
        let [router, endpoint] = &self.0;
        Ok([cpu_seconds(router.child.id())?, cpu_seconds(endpoint.child.id())?])
    }

    fn end(self) -> Result<[EndResult; 2], String> {
        let [mut router, mut endpoint] = self.0;
        Ok([router.end()?, endpoint.end()?])
    }
}

impl RunningEnd {
    fn start(role: &str, namespace: &str, processor: usize, kbit: u64, bare: Option<u64>) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let mut command = process::Command::new(program);
        command.args(["gateway-end", "--role", role, "--namespace", namespace]);
        command.args(["--processor", &processor.to_string(), "--rate", &kbit.to_string()]);
        if let Some(seconds) = bare {
            command.args(["--bare", &seconds.to_string()]);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("starting the {role}: {error}"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("an end has no output")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| format!("reading from the {role}: {error}"))?;
        let end = RunningEnd { child, output, is_bare: bare.is_some() };
        if line == "ready\n" { Ok(end) } else { Err(format!("the {role} did not start")) }
    }

    /// Lets a bare loop begin.
    fn go(&mut self) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("an end has no input")?;
        input.write_all(b"go\n").map_err(|error| format!("starting a bare loop: {error}"))
    }

    /// Ends the event loop, or waits for the end of the bare one, and returns its result.
    fn end(&mut self) -> Result<EndResult, String> {
        if !self.is_bare {
            _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        }
        let mut text = String::new();
        self.output.read_to_string(&mut text).map_err(|error| format!("reading from an end: {error}"))?;
        let status = self.child.wait().map_err(|error| format!("waiting for an end: {error}"))?;
        EndResult::parse(&text).ok_or_else(|| format!("an end of the line stopped with {status} and printed {text:?}"))
    }
}

impl Drop for RunningEnd {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
