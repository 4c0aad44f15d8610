//! The files of one run: its settings, the packets of the devices, and the status of the daemons.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::DeviceReport;
use crate::lab::error::Error;
use crate::lab::stats::Summary;
use crate::lab::trace::Direction;
use crate::law::Law;

const PACKETS_HEADER: &str = "device,direction,seq,bytes,sent_ns,received_ns";

/// Whether the devices sent traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// They replayed their traces.
    Busy,
    /// They sent nothing.
    Idle,
}

impl Workload {
    /// Both.
    pub const ALL: [Workload; 2] = [Workload::Busy, Workload::Idle];

    /// `busy` or `idle`.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Busy => "busy",
            Workload::Idle => "idle",
        }
    }
}

/// What every run records, shaped or not: its settings and the delivery of every packet.
#[derive(Clone, Debug)]
pub struct Recording {
    /// `law` of `run.json`: a law's name, or `plain`.
    pub law_name: String,
    /// What the devices did.
    pub load: Workload,
    /// The rest of `run.json`.
    pub settings: RunSettings,
    /// Every packet that a device or server sent in the window.
    pub packets: Vec<SentPacket>,
}

/// One run with millpond.
#[derive(Clone, Debug)]
pub struct ShapedRun {
    /// The law in force.
    pub law: Law,
    /// Settings and packets.
    pub recording: Recording,
    /// Lines of `faults.txt`: packets that arrived altered or out of order.
    pub faults: Vec<String>,
    /// Instructions that the router executed in the window, if its emulator counts them.
    pub instructions: Option<InstructionCounts>,
    router: DaemonRecord,
    endpoint: DaemonRecord,
}

/// `run.json` without the law and the load.
#[derive(Clone, Debug, Deserialize)]
pub struct RunSettings {
    /// Router to endpoint, bits per second on the wire.
    pub upload_bps: f64,
    /// Endpoint to router.
    pub download_bps: f64,
    /// Length of a cell on the wire, from the IP header on.
    pub wire_bytes: usize,
    /// The router's address at the provider.
    pub router_wan: IpAddr,
    /// The endpoint's address.
    pub endpoint: IpAddr,
    /// UDP port of the tunnel.
    pub tunnel_port: u16,
    /// Protocol of the tunnel on that port.
    #[serde(default)]
    pub tunnel: TunnelProtocol,
    /// Start of the window, nanoseconds of Unix time.
    pub start_ns: u64,
    /// End of the window, nanoseconds of Unix time.
    pub stop_ns: u64,
    /// Standard deviation of the intervals in percent of their mean; `None` for the law's default.
    pub spread_percent: Option<f64>,
    /// Cells in each train, upload first.
    #[serde(default = "single_cells")]
    pub trains: [u8; 2],
}

fn single_cells() -> [u8; 2] {
    [1; 2]
}

/// The protocol of a tunnel's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelProtocol {
    /// WireGuard.
    #[default]
    Wireguard,
    /// OpenVPN.
    Openvpn,
}

/// A line of `packets.csv`.
#[derive(Clone, Debug)]
pub struct SentPacket {
    /// Name of the device.
    pub device: String,
    /// `Up` for packets from the device.
    pub direction: Direction,
    /// Length of the IP packet.
    pub bytes: u32,
    /// Nanoseconds of Unix time.
    pub sent_ns: u64,
    /// Nanoseconds of Unix time; `None` if the packet never arrived.
    pub received_ns: Option<u64>,
}

/// What a daemon's process used.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ProcessUsage {
    /// Resident memory in KiB.
    pub rss_kb: f64,
    /// Anonymous part of the resident memory in KiB.
    pub anon_kb: f64,
    /// Processor time in percent of one processor.
    pub cpu_percent: f64,
    /// Departures in the window whose time had passed before the daemon was scheduled.
    #[serde(default)]
    pub missed_slots: u64,
}

/// `instructions.json`: what an emulated router executed in the window.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct InstructionCounts {
    /// Cells that the router sent and received.
    pub cells: u64,
    /// Instructions of the daemon.
    pub program: u64,
    /// All instructions, including the kernel's.
    pub machine: u64,
}

/// The part of `millpond status --json` that this module uses.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DaemonStatus {
    #[serde(default)]
    peers: Vec<PeerCounters>,
}

/// The counters of a peer in `millpond status --json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PeerCounters {
    /// Data cells sent.
    pub cells_data: u64,
    /// Cover cells sent.
    pub cells_cover: u64,
    /// Cells received from the peer.
    pub cells_received: u64,
    /// Cells of the peer that are missing between the received ones.
    pub cells_lost: u64,
    /// Dropped packets and cells by cause.
    pub drops: BTreeMap<String, u64>,
    /// Time from the scheduled to the actual departure.
    pub lateness_us: LatenessSummary,
}

/// A summary of the lateness of departures in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LatenessSummary {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Clone, Debug)]
struct DaemonRecord {
    status: DaemonStatus,
    process: ProcessUsage,
}

#[derive(Deserialize)]
struct RunFile {
    law: String,
    load: String,
    #[serde(flatten)]
    settings: RunSettings,
}

#[derive(Deserialize)]
struct ProcFile {
    router: ProcessUsage,
    endpoint: ProcessUsage,
}

impl Recording {
    /// Reads `run.json` and `packets.csv` in the run's directory.
    pub fn read(folder: &Path) -> Result<Recording, Error> {
        let run_path = folder.join("run.json");
        let file: RunFile = json(&run_path)?;
        let wrong = |what: String| Error::content(&run_path, 0, what);
        let load = Workload::ALL.into_iter().find(|load| load.name() == file.load);
        let load = load.ok_or_else(|| wrong(format!("load `{}` is neither `busy` nor `idle`", file.load)))?;
        if file.settings.stop_ns <= file.settings.start_ns {
            return Err(wrong("stop_ns must come after start_ns".to_owned()));
        }
        let packets = packets(&folder.join("packets.csv"))?;
        Ok(Recording { law_name: file.law, load, settings: file.settings, packets })
    }

    /// Length of the window in seconds.
    pub fn seconds(&self) -> f64 {
        (self.settings.stop_ns - self.settings.start_ns) as f64 / 1e9
    }

    /// The configured rate of a direction, bits per second.
    pub fn bits_per_second(&self, direction: Direction) -> f64 {
        match direction {
            Direction::Up => self.settings.upload_bps,
            Direction::Down => self.settings.download_bps,
        }
    }

    /// Packets and delays of each device in one direction, sorted by name.
    pub fn devices(&self, direction: Direction) -> Vec<DeviceReport> {
        let mut delays: BTreeMap<&str, (usize, Vec<f64>)> = BTreeMap::new();
        for packet in self.packets.iter().filter(|packet| packet.direction == direction) {
            let (sent, delays) = delays.entry(&packet.device).or_default();
            *sent += 1;
            delays.extend(packet.delay_ms());
        }
        let device = |(name, (sent, mut delays)): (&str, (usize, Vec<f64>))| {
            let received = delays.len();
            let delay_ms = Summary::of(&mut delays).into();
            DeviceReport { name: name.to_owned(), sent, received, lost: sent - received, delay_ms }
        };
        delays.into_iter().map(device).collect()
    }
}

impl SentPacket {
    /// Delay from sending to arrival in milliseconds; `None` if the packet never arrived.
    pub fn delay_ms(&self) -> Option<f64> {
        self.received_ns.map(|received_ns| (received_ns as f64 - self.sent_ns as f64) / 1e6)
    }
}

impl ShapedRun {
    /// Reads the run's directory.
    pub fn read(folder: &Path) -> Result<ShapedRun, Error> {
        let recording = Recording::read(folder)?;
        let unknown = || Error::content(&folder.join("run.json"), 0, format!("unknown law `{}`", recording.law_name));
        let law = Law::from_name(&recording.law_name).ok_or_else(unknown)?;
        let processes: ProcFile = json(&folder.join("proc.json"))?;
        let counts_path = folder.join("instructions.json");
        let instructions = if counts_path.is_file() { Some(json(&counts_path)?) } else { None };
        let faults_path = folder.join("faults.txt");
        let faults = fs::read_to_string(&faults_path).map_err(Error::io("reading", &faults_path))?;
        Ok(ShapedRun {
            law,
            recording,
            faults: faults.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect(),
            instructions,
            router: DaemonRecord { status: json(&folder.join("router.json"))?, process: processes.router },
            endpoint: DaemonRecord { status: json(&folder.join("endpoint.json"))?, process: processes.endpoint },
        })
    }

    /// Standard deviation of the law's intervals divided by their mean.
    pub fn spread(&self) -> f64 {
        let default_percent = match self.law {
            Law::Gamma => 33.0,
            Law::Normal => 15.0,
            Law::Constant | Law::Kernel => return 0.0,
        };
        self.recording.settings.spread_percent.unwrap_or(default_percent) / 100.0
    }

    /// The status of the daemon that sends in a direction.
    pub fn status(&self, direction: Direction) -> &DaemonStatus {
        &self.sender(direction).status
    }

    /// The status of the daemon that receives in a direction.
    pub fn receiver_status(&self, direction: Direction) -> &DaemonStatus {
        match direction {
            Direction::Up => &self.endpoint.status,
            Direction::Down => &self.router.status,
        }
    }

    /// The process of the daemon that sends in a direction.
    pub fn process(&self, direction: Direction) -> ProcessUsage {
        self.sender(direction).process
    }

    /// The process of the router's daemon.
    pub fn router(&self) -> ProcessUsage {
        self.router.process
    }

    fn sender(&self, direction: Direction) -> &DaemonRecord {
        match direction {
            Direction::Up => &self.router,
            Direction::Down => &self.endpoint,
        }
    }
}

impl DaemonStatus {
    /// The only peer of a laboratory run; all zero if the daemon has none.
    pub fn peer(&self) -> PeerCounters {
        self.peers.first().cloned().unwrap_or_default()
    }
}

fn packets(path: &Path) -> Result<Vec<SentPacket>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    if lines.next().map(|(_, line)| line) != Some(PACKETS_HEADER) {
        return Err(Error::content(path, 1, format!("expected the header `{PACKETS_HEADER}`")));
    }
    let parsed = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        packet(line).ok_or_else(|| Error::content(path, number, format!("`{line}` is not `{PACKETS_HEADER}`")))
    });
    parsed.collect()
}

fn packet(line: &str) -> Option<SentPacket> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [device, direction, _seq, bytes, sent_ns, received_ns] = fields[..] else { return None };
    Some(SentPacket {
        device: device.to_owned(),
        direction: Direction::from_name(direction)?,
        bytes: bytes.parse().ok()?,
        sent_ns: sent_ns.parse().ok()?,
        received_ns: if received_ns.is_empty() { None } else { Some(received_ns.parse().ok()?) },
    })
}

pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    serde_json::from_str(&text).map_err(|error| Error::content(path, error.line(), error.to_string()))
}
