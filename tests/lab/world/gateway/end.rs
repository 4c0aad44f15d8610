//! One end of the line, in a process of its own: the daemon's event loop, or a bare loop that exchanges the same trains
//! by the same system calls and does nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process;

use argh::FromArgs;
use millpond::config::example;
use millpond::config::model::{Home, Role, Settings, Shape};
use millpond::core::Pace;
use millpond::daemon::{BareDaemon, Options};
use millpond::law::Law;
use millpond::plan::ownership::{CELL_PORT, TUN};
use millpond::sys::udp::{CellSocket, ReceiveBuffer};
use millpond::sys::{realtime, timer};
use millpond::units::{BitsPerSec, Nanos};
use millpond::wire::size::{CellSize, Encapsulation, IpVersion};

use super::place::{ENDPOINT, Namespace, ROUTER, pin, shell};

/// The largest cell on the wire, in bytes.
const MAX_CELL_BYTES: usize = 1_400;
/// Trains that a bare loop has on the way: what a socket's buffer holds.
const WINDOW: usize = 2;
/// A bare loop that has received nothing for this long starts again.
const BARE_TIMEOUT: Nanos = Nanos::from_millis(10);

/// be one end of the line that "gateway" measures, which starts this
#[derive(FromArgs)]
#[argh(subcommand, name = "gateway-end")]
pub struct GatewayEnd {
    /// which end: `router` or `endpoint`
    #[argh(option)]
    role: String,
    /// rate of the line each way in kbit/s
    #[argh(option)]
    rate: u64,
    /// exchange trains without an engine, as fast as possible, for this many seconds
    #[argh(option)]
    bare: Option<u64>,
    /// the namespace
    #[argh(option)]
    namespace: PathBuf,
    /// the processor
    #[argh(option)]
    processor: usize,
}

/// What an end prints as it ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndResult {
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub missed: u64,
    /// The 99th percentile of the lateness in microseconds.
    pub late_us: f64,
    /// Processor time in seconds, of a bare loop.
    pub cpu_seconds: f64,
}

impl EndResult {
    fn print(&self) {
        let EndResult { sent, received, lost, missed, late_us, cpu_seconds } = self;
        println!("{sent} {received} {lost} {missed} {late_us:.0} {cpu_seconds:.6}");
    }

    pub fn parse(line: &str) -> Option<EndResult> {
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let &[sent, received, lost, missed, late_us, cpu_seconds] = &numbers[..] else { return None };
        let [sent, received, lost, missed] = [sent, received, lost, missed].map(|number| number as u64);
        Some(EndResult { sent, received, lost, missed, late_us, cpu_seconds })
    }
}

/// The cells of the line.
pub fn cell_size() -> Result<CellSize, String> {
    let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(MAX_CELL_BYTES);
    size.ok_or_else(|| format!("no cell fits into {MAX_CELL_BYTES} bytes"))
}

/// The trains of a line of that rate: their pace, and their number of cells.
pub fn trains(rate: BitsPerSec) -> Result<(Pace, u8), String> {
    let (law, bytes) = (Law::default(), cell_size()?.wire_bytes);
    let train = law.train(None, rate.interval(bytes));
    Ok((Pace::of_trains(law, example::router().shape.spread_percent, rate, bytes, train), train))
}

impl GatewayEnd {
    pub fn run(self) -> Result<(), String> {
        Namespace::open(&self.namespace)?.enter()?;
        pin(self.processor)?;
        let role = match self.role.as_str() {
            "router" => Role::Router,
            "endpoint" => Role::Endpoint,
            other => return Err(format!("no end is called `{other}`")),
        };
        let rate = BitsPerSec::from_kbit(self.rate);
        match self.bare {
            Some(seconds) => exchange(role, rate, Nanos::from_secs(seconds))?.print(),
            None => {
                let folder = std::env::temp_dir().join(format!("millpond-gateway-{}", process::id()));
                fs::create_dir_all(&folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
                let served = serve(role, rate, &folder);
                _ = fs::remove_dir_all(folder);
                served?.print();
            }
        }
        Ok(())
    }
}

/// The interface, the own address and the peer's.
fn ends(role: Role) -> (&'static str, Ipv4Addr, Ipv4Addr) {
    match role {
        Role::Router => ("wire0", ROUTER, ENDPOINT),
        Role::Endpoint => ("wire1", ENDPOINT, ROUTER),
    }
}

/// Runs the daemon's event loop until SIGTERM.
fn serve(role: Role, rate: BitsPerSec, folder: &Path) -> Result<EndResult, String> {
    let options = Options {
        config: folder.join("config"),
        socket: folder.join("socket"),
        brokers: Vec::new(),
        guard_file: folder.join("guard"),
        usage_file: folder.join("usage"),
    };
    fs::write(&options.config, "config millpond main\n").map_err(|error| format!("writing settings: {error}"))?;
    let size = cell_size()?;
    let settings = settings(role, rate, size);
    realtime::enter();
    let error = |error: millpond::daemon::Error| error.to_string();
    let mut daemon = BareDaemon::start_with_tun(&options, &settings, ends(role).0).map_err(error)?;
    shell(&match role {
        Role::Router => format!("ip link set {TUN} up; ip route add default dev {TUN}"),
        Role::Endpoint => format!("ip link set {TUN} up; ip route add {ROUTER} dev {TUN}"),
    })?;
    daemon.serve(&settings, size).map_err(error)?;
    println!("ready");
    daemon.run().map_err(error)?;
    let stats = daemon.stats();
    eprintln!(
        "{role:?}: {} data cells, {} cover cells, {} missed, {} lost, {:?}, late by {:.0} us (p50), {:.0} us \
         (p99), packets waited {:.0} us in the mean until their departure",
        stats.cells_data,
        stats.cells_cover,
        stats.slots_missed,
        stats.cells_lost,
        stats.drops,
        stats.lateness.percentile(50.0).as_millis_f64() * 1e3,
        stats.lateness.percentile(99.0).as_millis_f64() * 1e3,
        stats.delay.mean().as_millis_f64() * 1e3
    );
    Ok(EndResult {
        sent: stats.cells_data + stats.cells_cover,
        received: stats.cells_received,
        lost: stats.cells_lost,
        missed: stats.slots_missed,
        late_us: stats.lateness.percentile(99.0).as_millis_f64() * 1e3,
        cpu_seconds: 0.0,
    })
}

fn settings(role: Role, rate: BitsPerSec, size: CellSize) -> Settings {
    let example = match role {
        Role::Router => example::router(),
        Role::Endpoint => example::endpoint(),
    };
    let shape = Shape { upload: rate, download: rate, cell_bytes: size.wire_bytes as u16, ..example.shape };
    let home = Home { address: ROUTER, max_download: rate, max_upload: rate, ..example::home(2, None) };
    let homes = if role == Role::Endpoint { vec![home] } else { Vec::new() };
    Settings { shape, homes, threads: Some(1), ..example }
}

/// Sends a train for each that arrives.
fn exchange(role: Role, rate: BitsPerSec, length: Nanos) -> Result<EndResult, String> {
    let (interface, _, peer) = ends(role);
    let (cell_bytes, train) = (cell_size()?.payload_bytes, usize::from(trains(rate)?.1));
    let error = |error: std::io::Error| format!("exchanging trains on {interface}: {error}");
    let socket = CellSocket::open(interface, CELL_PORT, 0).map_err(error)?;
    socket.join_arrivals(true);
    println!("ready");
    _ = std::io::stdin().read_line(&mut String::new());
    realtime::enter();
    let cells = vec![0; cell_bytes * train];
    let (mut buffer, mut result) = (ReceiveBuffer::default(), EndResult::default());
    let peer = SocketAddrV4::new(peer, CELL_PORT);
    let (start, cpu) = (timer::now(), cpu_seconds(process::id())?);
    let (mut now, mut last, mut owed) = (start, start, WINDOW * train);
    while now < start + length {
        while owed >= train {
            // A full queue is the only error here, and the loop starts again after it.
            _ = socket.send_train(&cells, cell_bytes, peer);
            (owed, result.sent) = (owed - train, result.sent + train as u64);
        }
        while socket.receive_train(&mut buffer).map_err(error)? {
            last = now;
            while buffer.next_cell().is_some() {
                (owed, result.received) = (owed + 1, result.received + 1);
            }
            if owed >= train {
                break;
            }
        }
        now = timer::now();
        if now > last + BARE_TIMEOUT {
            (last, owed) = (now, WINDOW * train);
        }
    }
    realtime::leave();
    result.cpu_seconds = cpu_seconds(process::id())? - cpu;
    Ok(result)
}

/// The processor time of a process and all its threads, in seconds.
pub fn cpu_seconds(process: u32) -> Result<f64, String> {
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(process as i32));
    let time = clock.and_then(nix::time::clock_gettime);
    time.map(|time| std::time::Duration::from(time).as_secs_f64())
        .map_err(|error| format!("reading the processor time of {process}: {error}"))
}
