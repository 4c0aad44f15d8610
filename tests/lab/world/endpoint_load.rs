//! The load of many homes on one endpoint, over real sockets. The endpoint's loop runs in one network namespace, the
//! homes in another one in their own process, with a virtual cable between them. WireGuard and the queueing tree are
//! left out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use argh::FromArgs;
use millpond::config::model::{Home, Settings};
use millpond::core::{Engine, Limits, Pace, Params, Stats, Transmit};
use millpond::daemon::{BareDaemon, Options};
use millpond::law::Law;
use millpond::plan::ownership::CELL_PORT;
use millpond::sys::{timer, unix_socket};
use millpond::units::{BitsPerSec, Nanos};
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::control::{ControlMessage, ShapingRequest};
use millpond::wire::size::{CellSize, Encapsulation, IpVersion};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

/// The endpoint's address, the address of the first home, and the network of all homes.
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FIRST_HOME: Ipv4Addr = Ipv4Addr::new(10, 77, 32, 1);
const HOMES_NET: &str = "10.77.32.0/19";
/// The homes' end of the cable.
const HOMES: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 254);
const MAX_HOMES: usize = 8000;

/// A home builds its cell this long before the departure, as a router does.
const LEAD: Nanos = Nanos::from_micros(400);
/// Homes whose departures are this close together are handled together, as an endpoint does.
const COALESCE_WINDOW: Nanos = Nanos::from_micros(100);

/// measure the load of homes on an endpoint, without WireGuard, and print it as a line of JSON; needs root
#[derive(FromArgs)]
#[argh(subcommand, name = "endpoint-load")]
pub struct EndpointLoad {
    /// number of homes
    #[argh(option)]
    homes: usize,
    /// cells a second each way for each home
    #[argh(option)]
    rate: u64,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
    /// threads of the endpoint (default 1)
    #[argh(option, default = "1")]
    threads: u16,
}

/// act as the homes of an endpoint, until standard input ends; "endpoint-load" starts this
#[derive(FromArgs)]
#[argh(subcommand, name = "homes")]
pub struct Homes {
    /// number of homes
    #[argh(option)]
    homes: usize,
    /// cells a second each way for each home
    #[argh(option)]
    rate: u64,
    /// the endpoint's network namespace
    #[argh(option)]
    endpoint: PathBuf,
    /// the only processor for the homes
    #[argh(option)]
    processor: Option<usize>,
}

/// The endpoint's result of a measurement.
struct EndpointResult {
    stats: Stats,
    /// Processor time of the loop's thread.
    cpu_seconds: f64,
    /// Resident bytes that all homes together added.
    memory_bytes: u64,
    seconds: f64,
}

/// The homes' result of a measurement.
struct HomesResult {
    /// The smallest number of cells that a home received.
    min_cells: u64,
    /// Cells that the homes noticed as lost, all together.
    lost: u64,
    /// The smallest share of its cells that a home received from its first one on, in percent.
    least_percent: f64,
}

impl EndpointLoad {
    pub fn run(self) -> Result<(), String> {
        let EndpointLoad { homes, rate, seconds, threads } = self;
        if !(1..=MAX_HOMES).contains(&homes) || rate == 0 {
            return Err(format!(
                "cannot serve {homes} homes at {rate} cells a second: want 1 to {MAX_HOMES} homes and a rate above 0"
            ));
        }
        let folder = std::env::temp_dir().join(format!("millpond-endpoint-load-{}", process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
        let measured = measure((homes, threads), rate, seconds, &folder);
        _ = fs::remove_dir_all(folder);
        let (endpoint, received) = measured?;
        println!("{}", row((homes, threads), &endpoint, &received));
        // Only service is required, not its timing, because this machine may be busy.
        if received.min_cells == 0 { Err(format!("one of {homes} homes received no cell")) } else { Ok(()) }
    }
}

fn measure(
    (homes, threads): (usize, u16),
    rate: u64,
    seconds: u64,
    folder: &Path,
) -> Result<(EndpointResult, HomesResult), String> {
    let (socket, config) = (folder.join("socket"), folder.join("config"));
    fs::write(&config, "config millpond main\n").map_err(|error| format!("writing {}: {error}", config.display()))?;
    let options = Options {
        config,
        socket: socket.clone(),
        brokers: Vec::new(),
        guard_file: folder.join("guard"),
        usage_file: folder.join("usage"),
    };
    let (namespace, made) = mpsc::channel();
    let (cable, connected) = mpsc::channel::<()>();
    let endpoint = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("making a network namespace: {error}"))?;
        let own = File::open("/proc/thread-self/ns/net").map_err(|error| format!("opening the namespace: {error}"))?;
        _ = namespace.send(own);
        connected.recv().map_err(|_| "the cable to the homes was not set up".to_owned())?;
        if let Some(processor) = homes_processor(threads) {
            pin(&(0..processor).collect::<Vec<_>>())?;
        }
        serve(&options, homes, threads)
    });
    let outcome = made.recv().map_err(|_| "the endpoint did not start".to_owned()).and_then(|namespace| {
        let running = RunningHomes::start((homes, threads), rate, &namespace)?;
        _ = cable.send(());
        thread::sleep(Duration::from_secs(seconds));
        // The reload ends the loop, because the settings are not enabled.
        _ = unix_socket::ask(&socket, "reload", Duration::from_secs(5));
        Ok(running)
    });
    // If the homes did not start, this ends the endpoint's wait for its cable.
    drop(cable);
    let served = endpoint.join().map_err(|_| "the endpoint panicked".to_owned())?;
    let received = outcome?.end()?;
    Ok((served?, received))
}

/// A result as JSON, with the keys that "millpond-lab bench" reads.
fn row((homes, threads): (usize, u16), served: &EndpointResult, received: &HomesResult) -> String {
    let EndpointResult { stats, cpu_seconds, memory_bytes, seconds } = served;
    let us = |percent| stats.lateness.percentile(percent).as_millis_f64() * 1e3;
    let cells = stats.cells_data + stats.cells_cover + stats.cells_received;
    format!(
        "{{\"homes\": {homes}, \"threads\": {threads}, \"cells_per_second\": {:.0}, \"cpu_percent\": {:.2}, \
         \"lateness_us\": {{\"p50\": {:.0}, \"p99\": {:.0}}}, \"kb_per_home\": {:.1}, \"drops\": {}, \
         \"least_percent\": {:.1}}}",
        cells as f64 / seconds,
        100.0 * cpu_seconds / seconds,
        us(50.0),
        us(99.0),
        *memory_bytes as f64 / 1024.0 / homes as f64,
        stats.cells_lost + stats.slots_missed + received.lost,
        received.least_percent
    )
}

/// Runs the endpoint until it gets a reload.
fn serve(options: &Options, homes: usize, threads: u16) -> Result<EndpointResult, String> {
    let settings = settings(homes, threads)?;
    let mut endpoint = BareDaemon::start(options, &settings, "mpx0").map_err(|error| error.to_string())?;
    let memory_before = resident_bytes()?;
    let start = timer::now();
    endpoint.serve(&settings, cell_size()?).map_err(|error| error.to_string())?;
    let cpu_before = cpu_seconds()?;
    endpoint.run().map_err(|error| error.to_string())?;
    // The statistics are a copy for each home, which would count as its memory.
    let memory_bytes = resident_bytes()?.saturating_sub(memory_before);
    Ok(EndpointResult {
        cpu_seconds: cpu_seconds()? - cpu_before,
        memory_bytes,
        seconds: timer::now().saturating_since(start).as_secs_f64(),
        stats: endpoint.stats(),
    })
}

fn settings(homes: usize, threads: u16) -> Result<Settings, String> {
    let parsed = millpond::config::parse(b"config millpond main\n\toption role endpoint\n");
    let mut settings = parsed.settings.ok_or("an endpoint cannot be set up without a tunnel")?;
    settings.threads = Some(threads);
    settings.homes = (0..homes).map(home).collect();
    Ok(settings)
}

fn home(number: usize) -> Home {
    Home {
        name: number.to_string(),
        public_key: None,
        preshared_key: None,
        address: address(number),
        address6: None,
        max_download: BitsPerSec::from_kbit(4000),
        max_upload: BitsPerSec::from_kbit(4000),
        exit: None,
        join_until: None,
    }
}

fn address(number: usize) -> Ipv4Addr {
    (u32::from(FIRST_HOME) + number as u32).into()
}

/// The sizes of the default cell in WireGuard.
fn cell_size() -> Result<CellSize, String> {
    Encapsulation::wireguard(IpVersion::V4).largest_cell(512).ok_or_else(|| "no cell fits into 512 bytes".to_owned())
}

/// The running process of the homes.
struct RunningHomes {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl RunningHomes {
    /// Starts the process, and returns when the homes and the cable to `endpoint` are ready.
    fn start((homes, threads): (usize, u16), rate: u64, endpoint: &File) -> Result<RunningHomes, String> {
        let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let namespace = format!("/proc/{}/fd/{}", process::id(), endpoint.as_raw_fd());
        let mut command = process::Command::new(program);
        command.args(["homes", "--homes", &homes.to_string(), "--rate", &rate.to_string(), "--endpoint", &namespace]);
        if let Some(processor) = homes_processor(threads) {
            command.args(["--processor", &processor.to_string()]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting the homes: {error}"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("the homes have no output")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| format!("reading from the homes: {error}"))?;
        if line == "ready\n" { Ok(RunningHomes { child, output }) } else { Err("the homes did not start".to_owned()) }
    }

    /// Ends the process and returns its result.
    fn end(mut self) -> Result<HomesResult, String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).map_err(|error| format!("reading from the homes: {error}"))?;
        let status = self.child.wait().map_err(|error| format!("waiting for the homes: {error}"))?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [min_cells, lost, least_percent] if status.success() => {
                Ok(HomesResult { min_cells: min_cells as u64, lost: lost as u64, least_percent })
            }
            _ => Err(format!("the homes ended with {status} and printed {text:?}")),
        }
    }
}

impl Homes {
    pub fn run(self) -> Result<(), String> {
        connect(&self.endpoint, self.processor)?;
        if let Some(processor) = self.processor {
            pin(&[processor])?;
        }
        let mut routers =
            (0..self.homes).map(|number| Router::new(number, self.rate)).collect::<Result<Vec<_>, _>>()?;
        println!("ready");
        let done = Arc::new(AtomicBool::new(false));
        let ends = done.clone();
        thread::spawn(move || {
            _ = std::io::stdin().read(&mut [0]);
            ends.store(true, Ordering::Relaxed);
        });
        run(&mut routers, &done);
        let stats = || routers.iter().map(|router| router.engine.stats());
        let min_cells = stats().map(|stats| stats.cells_received).min().unwrap_or(0);
        let now = timer::now();
        let least = routers.iter().map(|router| router.received_percent(now)).fold(100.0, f64::min);
        println!("{min_cells} {} {least:.1}", stats().map(|stats| stats.cells_lost).sum::<u64>());
        Ok(())
    }
}

/// Moves this process to a new namespace, where every address of the homes is local, with a cable to `endpoint`.
fn connect(endpoint: &Path, processor: Option<usize>) -> Result<(), String> {
    let open = |path: &Path| File::open(path).map_err(|error| format!("opening {}: {error}", path.display()));
    let enter = |namespace: &File| {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|error| format!("entering a network namespace: {error}"))
    };
    let far = open(endpoint)?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("making a network namespace: {error}"))?;
    let near = open(Path::new("/proc/thread-self/ns/net"))?;
    shell("ip link add mpx1 type veth peer name mpx0 && ip link set lo up && ip link set mpx1 up")?;
    shell(&format!("ip link set mpx0 netns /proc/{}/fd/{}", process::id(), far.as_raw_fd()))?;
    shell(&format!("ip route add local {HOMES_NET} dev lo && ip addr add {HOMES}/32 dev mpx1"))?;
    shell(&format!("ip route add {ENDPOINT} dev mpx1"))?;
    if let Some(processor) = processor {
        // What the homes receive is the work of their processor, not of the endpoint's that sends it.
        let mask = 1u64 << processor;
        shell(&format!(
            "at=$(mktemp -d) && mount -t sysfs sysfs \"$at\" && echo {mask:x} > \"$at\"/class/net/mpx1/queues/rx-0/rps_cpus; \
             umount \"$at\"; rmdir \"$at\""
        ))?;
    }
    enter(&far)?;
    shell(&format!("ip link set lo up && ip addr add {ENDPOINT}/32 dev mpx0 && ip link set mpx0 up"))?;
    shell(&format!("ip route add {HOMES} dev mpx0 && ip route add {HOMES_NET} via {HOMES}"))?;
    enter(&near)
}

/// A home's router as an endpoint sees it: it sends cells, and requests the cells that it receives.
struct Router {
    engine: Engine,
    socket: UdpSocket,
    request: ShapingRequest,
    /// When the endpoint's first cell came.
    first_cell: Option<Nanos>,
    is_granted: bool,
    cell: Box<[u8; MAX_PACKET_BYTES]>,
    /// The cell that waits for its departure.
    built: Option<Transmit>,
}

impl Router {
    fn new(number: usize, rate: u64) -> Result<Router, String> {
        let size = cell_size()?;
        let pace = Pace { law: Law::Gamma, mean: Nanos(1_000_000_000 / rate), spread_percent: 33 };
        let request = ShapingRequest {
            id: 1,
            law: pace.law,
            spread_percent: pace.spread_percent,
            cell_bytes: size.wire_bytes as u16,
            rate: BitsPerSec(rate * size.wire_bytes as u64 * 8),
            cover: true,
            trains: [1; 2],
        };
        let params = Params { payload_bytes: size.payload_bytes, pace, lead: LEAD, limits: Limits::default() };
        let seed = std::array::from_fn(|at| (number >> (8 * (at & 1))) as u8 ^ at as u8);
        let address = SocketAddrV4::new(address(number), CELL_PORT);
        let socket = UdpSocket::bind(address).map_err(|error| format!("opening a socket at {address}: {error}"))?;
        socket.set_nonblocking(true).map_err(|error| format!("opening a socket at {address}: {error}"))?;
        Ok(Router {
            engine: Engine::new(params, seed, timer::now()),
            socket,
            request,
            first_cell: None,
            is_granted: false,
            cell: Box::new([0; MAX_PACKET_BYTES]),
            built: None,
        })
    }

    /// Requests cells until the endpoint has granted them. The caller calls this about once a second.
    fn request(&mut self) {
        if !self.is_granted {
            self.engine.send_control(ControlMessage::ShapingRequest(self.request));
        }
    }

    /// How many of the endpoint's cells have come since the first one, in percent.
    fn received_percent(&self, now: Nanos) -> f64 {
        let mean = self.engine.pace().mean.0 as f64;
        let expected = self.first_cell.map_or(0.0, |first| now.saturating_since(first).0 as f64 / mean);
        100.0 * self.engine.stats().cells_received as f64 / expected.max(1.0)
    }

    /// The time of the next call of `act`.
    fn next(&self) -> Nanos {
        self.built.map_or_else(|| self.engine.poll_timeout().0, |transmit| transmit.scheduled)
    }

    /// Builds the next cell, or if it is built, sends it and receives the cells that have arrived.
    fn act(&mut self, buffer: &mut [u8]) {
        let Some(Transmit { scheduled, len, .. }) = self.built.take() else {
            self.built = self.engine.poll_transmit(timer::now(), &mut self.cell[..]);
            return;
        };
        _ = self.socket.send_to(&self.cell[..len], (ENDPOINT, CELL_PORT));
        self.engine.handle_departure(scheduled, timer::now());
        while let Ok((length, _)) = self.socket.recv_from(buffer) {
            self.first_cell.get_or_insert_with(timer::now);
            self.engine.handle_cell(&buffer[..length]);
            self.is_granted |= matches!(self.engine.poll_control(), Some(ControlMessage::ShapingGrant(_)));
        }
    }
}

/// The processor for the homes, if the endpoint's threads leave one. The endpoint has those before it.
fn homes_processor(threads: u16) -> Option<usize> {
    let processors = thread::available_parallelism().map_or(1, |count| count.get());
    Some(processors - 1).filter(|last| *last >= usize::from(threads))
}

/// Lets this thread, and those that it starts, run on these processors only.
fn pin(processors: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    let added = processors.iter().try_for_each(|processor| set.set(*processor));
    added.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|error| format!("pinning a thread: {error}"))
}

fn run(routers: &mut [Router], done: &AtomicBool) {
    let mut departures: BinaryHeap<_> =
        routers.iter().enumerate().map(|(index, router)| Reverse((router.next(), index))).collect();
    let mut second = timer::now();
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        let now = timer::now();
        if now >= second {
            routers.iter_mut().for_each(Router::request);
            second = now + Nanos::from_secs(1);
        }
        let Some(Reverse((when, index))) = departures.pop() else { break };
        if when > now + COALESCE_WINDOW {
            thread::sleep(Duration::from_nanos((when.0 - now.0).min(1_000_000)));
        }
        if when <= timer::now() + COALESCE_WINDOW {
            routers[index].act(&mut buffer);
        }
        departures.push(Reverse((routers[index].next(), index)));
    }
}

fn cpu_seconds() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| format!("reading the processor time: {error}"))?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> Result<u64, String> {
    let pages = fs::read_to_string("/proc/self/statm").map_err(|error| format!("reading /proc/self/statm: {error}"))?;
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages * 4096).ok_or_else(|| "reading /proc/self/statm: no number".to_owned())
}

fn shell(command: &str) -> Result<(), String> {
    let output = process::Command::new("sh").args(["-c", command]).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    let failed = || format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(failed)
}
