//! Compares the delay of a home under millpond and under the paper's arrangement, at equal rates on the wire.

use serde::Serialize;

use crate::lab::error::Error;
use crate::lab::simulate::paper::{self, Overhead};
use crate::lab::simulate::{DeviceResult, NO_LIMITS, SimulationConfig, simulate};
use crate::lab::stats::Summary;
use crate::lab::trace::{Direction, HomeTrace, PacketRecord, Trace};
use crate::units::{BitsPerSec, Nanos};

/// Rates on the wire in kbit/s, equal in both directions.
pub const RATES_KBIT: [u64; 3] = [80, 160, 320];

/// Name of the row for all devices.
pub const HOME: &str = "home";

/// Name of the special case: all devices except cameras, while one camera sends more than the line carries.
pub const SMALL_DEVICES: &str = "small devices beside a backed-up camera";

/// Rate of the special case's camera, as a multiple of the rate on the wire.
const CAMERA_OVERLOAD: u64 = 3;
/// The camera sends for this time in every [`CAMERA_PERIOD`], so its queue drains before the next burst, even in the
/// paper's arrangement.
const CAMERA_BURST: Nanos = Nanos::from_secs(10);
const CAMERA_PERIOD: Nanos = Nanos::from_secs(60);
const CAMERA_PACKET_BYTES: u16 = 1400;
const CAMERA: &str = "backed-up camera";

/// A shaping arrangement, and the convention for its comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Millpond with a queue that drops nothing, as in the paper: a dropped packet has no delay.
    Millpond,
    /// Millpond with the default bounds of the queue.
    MillpondBounded,
    /// The paper's arrangement, where 512 device bytes take 572 bytes on the wire, as with WireGuard. This is the
    /// literal meaning of "equal rate on the wire".
    Paper,
    /// The paper's arrangement, where 512 device bytes take 512 bytes on the wire: the VPN's headers are not counted.
    PaperBare,
}

impl Arrangement {
    /// Returns the name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Arrangement::Millpond => "millpond",
            Arrangement::MillpondBounded => "millpond-bounded",
            Arrangement::Paper => "paper",
            Arrangement::PaperBare => "paper-bare",
        }
    }
}

/// Delay of a device, a group of devices, or the home.
#[derive(Clone, Debug, Serialize)]
pub struct DelayRow {
    /// Rate in each direction, in kbit/s on the wire.
    pub kbit: u64,
    /// Name of the [`Arrangement`].
    pub arrangement: &'static str,
    /// Name of the device, `home`, or [`SMALL_DEVICES`].
    pub device: String,
    /// Mean delay of the delivered packets.
    pub mean_ms: f64,
    /// Median delay.
    pub p50_ms: f64,
    /// 99th percentile of the delays.
    pub p99_ms: f64,
    /// Maximum delay.
    pub max_ms: f64,
    /// Number of packets sent.
    pub sent: u64,
    /// Number of packets that the queue dropped.
    pub dropped: u64,
}

/// Returns one row for each device, one for the home and one for the special case, at one rate in kbit/s.
pub fn delays(home: &HomeTrace, kbit: u64, arrangement: Arrangement) -> Result<Vec<DelayRow>, Error> {
    let row = |name: &str, devices: &[DeviceResult]| row(kbit, arrangement, name, devices);
    let devices = run(home, kbit, arrangement)?;
    let mut rows: Vec<_> = devices.iter().map(|device| row(&device.name, std::slice::from_ref(device))).collect();
    rows.push(row(HOME, &devices));
    let mut beside = run(&with_backed_up_camera(home, kbit), kbit, arrangement)?;
    beside.retain(|device| device.name != CAMERA);
    rows.push(row(SMALL_DEVICES, &beside));
    Ok(rows)
}

fn run(home: &HomeTrace, kbit: u64, arrangement: Arrangement) -> Result<Vec<DeviceResult>, Error> {
    let rate = BitsPerSec::from_kbit(kbit);
    let setup = SimulationConfig { upload: rate, download: rate, ..SimulationConfig::default() };
    Ok(match arrangement {
        Arrangement::Millpond => simulate(home, &SimulationConfig { limits: NO_LIMITS, ..setup }, |_| {})?.devices,
        Arrangement::MillpondBounded => simulate(home, &setup, |_| {})?.devices,
        Arrangement::Paper => paper::simulate(home, &setup, Overhead::Tunnel).devices,
        Arrangement::PaperBare => paper::simulate(home, &setup, Overhead::None).devices,
    })
}

fn row(kbit: u64, arrangement: Arrangement, name: &str, devices: &[DeviceResult]) -> DelayRow {
    let mut delays: Vec<f64> = devices.iter().flat_map(|device| &device.delays_ms).copied().collect();
    let sent = devices.iter().map(|device| device.sent).sum();
    let delivered: u64 = devices.iter().map(|device| device.delivered).sum();
    let Summary { mean, p50, p99, max, .. } = Summary::of(&mut delays);
    DelayRow {
        kbit,
        arrangement: arrangement.name(),
        device: name.to_owned(),
        mean_ms: mean,
        p50_ms: p50,
        p99_ms: p99,
        max_ms: max,
        sent,
        dropped: sent - delivered,
    }
}

/// Returns the home with its cameras replaced by one that overloads the upload repeatedly.
fn with_backed_up_camera(home: &HomeTrace, kbit: u64) -> HomeTrace {
    let gap = BitsPerSec::from_kbit(kbit * CAMERA_OVERLOAD).interval(usize::from(CAMERA_PACKET_BYTES));
    let mut events = Vec::new();
    let mut start = Nanos::ZERO;
    while start < home.length {
        let mut time = start;
        while time < start + CAMERA_BURST {
            events.push(PacketRecord { time, direction: Direction::Up, bytes: CAMERA_PACKET_BYTES });
            time = time + gap;
        }
        start = start + CAMERA_PERIOD;
    }
    let mut devices: Vec<_> = home.devices.iter().filter(|trace| !trace.device.contains("cam")).cloned().collect();
    devices.push(Trace { device: CAMERA.to_owned(), packets: events });
    HomeTrace { devices, length: home.length }
}
