//! Derives from the settings the parameters of the session, of the request to the peer and of the queueing tree.

use crate::config::model::{Burst, Level, OffPolicy, Role, Settings, Shape};
use crate::core::burst::{BurstParams, BurstRules, SlotPace};
use crate::core::{Limits, Pace};
use crate::daemon::error::Error;
use crate::law::MIN_INTERVAL;
use crate::plan::qdisc_tree::ShaperLimits;
use crate::units::{BitsPerSec, Chance, Nanos};
use crate::wire::control::{self, ShapingRequest};
use crate::wire::size::{CellSize, Encapsulation};

/// Each cell is built this long before its departure. Building takes less than half of this on a 24Kc. At 40 cells a
/// second, a packet has a chance of one in sixty to arrive in this window and miss its cell.
pub const LEAD: Nanos = Nanos::from_micros(400);
const _: () = assert!(LEAD.0 < 1_000_000, "a cell is built within a millisecond of its departure");

/// If an engine paces the cells, HTB is only a ceiling at this many times the mean rate. That leaves room for the few
/// short intervals that a wide law draws in a row.
const CEILING_FACTOR: u64 = 4;
const CEILING_BURST_CELLS: u32 = 32;
const CEILING_BAND_CELLS: u32 = 64;

/// If HTB paces the cells, its cover queue holds two. Its data queue holds as many as an engine that feeds it at the
/// rate can ever queue.
const PACER_COVER_CELLS: u32 = 2;
const PACER_DATA_CELLS: u32 = 8;

/// The shaping of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shaping {
    /// Law, mean interval and spread, of trains.
    pub pace: Pace,
    /// Cells in each train, at least 1.
    pub train: u8,
    /// Length of a cell in bytes of UDP payload.
    pub payload_bytes: usize,
    /// Whether cover cells are sent.
    pub cover: bool,
    /// Whether the devices' packets are forwarded at all.
    pub forwards: bool,
}

/// The largest cell under the settings' limit. It has room for every control message: without a grant and a key update
/// the download never gets its rate, and a join text is never used up.
pub fn cell_size(settings: &Settings, encapsulation: Encapsulation) -> Result<CellSize, Error> {
    let limit = settings.shape.cell_bytes;
    let largest =
        |limit: u16| encapsulation.largest_cell(limit.into()).filter(|size| size.block_bytes >= control::MAX_BYTES);
    largest(limit).ok_or_else(|| {
        let want = (0..=u16::MAX).find(|limit| largest(*limit).is_some()).unwrap_or(u16::MAX);
        Error::Unfit(format!(
            "main.cell: too small for the tunnel's headers and control messages (got {limit}, want at least {want})"
        ))
    })
}

/// How a router sends.
pub fn shaping(settings: &Settings, size: CellSize) -> Shaping {
    let shape = &settings.shape;
    let off = settings.level == Level::Off;
    let [train, _] = trains(shape, size);
    Shaping {
        pace: Pace::of_trains(shape.law, shape.spread_percent, shape.upload, size.wire_bytes, train),
        train,
        payload_bytes: size.payload_bytes,
        cover: !off,
        forwards: !(off && settings.off == OffPolicy::Block),
    }
}

/// How long before its departure a train is built: longer for more cells, but at most an eighth of the interval,
/// because a loop with few sessions does nothing else from the build to the departure.
pub fn lead(pace: Pace, train: u8) -> Nanos {
    if train > 1 { Nanos((LEAD.0 * u64::from(train)).min(pace.mean.0 / 8)) } else { LEAD }
}

/// A router's request for how its endpoint should send.
pub fn request(settings: &Settings, size: CellSize) -> ShapingRequest {
    let shape = &settings.shape;
    ShapingRequest {
        id: 0,
        law: shape.law,
        spread_percent: shape.spread_percent,
        cell_bytes: size.wire_bytes as u16,
        rate: shape.download,
        cover: settings.level != Level::Off,
        trains: trains(shape, size),
    }
}

/// A router's bursts. None at level `off`, which promises nothing, and none at a level that is faster. `watched` is the
/// probability `linger` that follows from what was watched, if there is one.
pub fn bursts(settings: &Settings, size: CellSize, watched: Option<Chance>) -> Option<BurstParams> {
    let (burst, shape) = (settings.line.burst?, &settings.shape);
    if settings.level == Level::Off || burst.upload < shape.upload || burst.download < shape.download {
        return None;
    }
    let [train, peer_train] = trains(&Shape { upload: burst.upload, download: burst.download, ..*shape }, size);
    let pace = Pace::of_trains(shape.law, shape.spread_percent, burst.upload, size.wire_bytes, train);
    let Burst { begin, decoy, keep, linger, slot, .. } = burst;
    let linger = linger.or(watched).unwrap_or(Burst::LINGER).min(keep).max(decoy.min(keep));
    // The decision on a slot is one slot old when it begins, and a queue may take another to drain.
    let wait = Nanos(3 * slot.0).max(Limits::default().age);
    let carried = |rate: BitsPerSec, wait: Nanos| {
        rate.0 / 8 * size.block_bytes as u64 / size.wire_bytes as u64 * (wait.0 / 1_000_000_000)
    };
    Some(BurstParams {
        rules: BurstRules { begin, decoy, keep, linger, slot },
        burst: SlotPace { pace, train, lead: lead(pace, train) },
        peer_rate: burst.download,
        peer_train,
        devices: burst.devices,
        need_bytes: carried(shape.upload, Nanos::from_secs(1)),
        limits: Limits {
            bytes: Limits::default().bytes + carried(burst.upload, Nanos(2 * slot.0)) as usize,
            age: wait,
        },
    })
}

/// The cells in each train, upload first.
fn trains(shape: &Shape, size: CellSize) -> [u8; 2] {
    [shape.upload, shape.download].map(|rate| shape.law.train(shape.train, rate.interval(size.wire_bytes)))
}

impl Shaping {
    /// The same with single cells, for a peer that knows no trains: at the same rate, or at the highest that single
    /// cells can have.
    pub fn without_trains(&self) -> (Pace, u8) {
        let mean = Nanos(self.pace.mean.0 / u64::from(self.train.max(1)));
        (Pace { mean: if self.train > 1 { mean.max(MIN_INTERVAL) } else { self.pace.mean }, ..self.pace }, 1)
    }
}

/// The limits of the queueing tree, for either role. `granted` is the grant of an endpoint's first
/// home with the longest train.
pub fn limits(settings: &Settings, size: CellSize, granted: Option<&ShapingRequest>) -> ShaperLimits {
    let train = match settings.role {
        Role::Router => trains(&fastest(settings), size)[0].into(),
        Role::Endpoint => granted.map_or(1, |granted| u32::from(granted.trains[1])),
    };
    let wire_bytes = size.wire_bytes as u16;
    let (paced, rate, wire_bytes) = match (settings.role, granted) {
        (Role::Router, _) => (settings.shape.law.paced_by_kernel(), fastest(settings).upload, wire_bytes),
        // The law `kernel` is granted to a single home only; see `negotiation::HomeLimits`.
        (Role::Endpoint, Some(request)) if request.law.paced_by_kernel() => (true, request.rate, request.cell_bytes),
        // The rate does not depend on the homes' requests, so no home can disturb the queue of another.
        (Role::Endpoint, _) => (false, total_max_download(settings), wire_bytes),
    };
    let inner_bytes = wire_bytes - (size.wire_bytes - size.inner_bytes) as u16;
    if paced {
        ShaperLimits {
            rate,
            inner_bytes,
            wire_bytes,
            burst_cells: 1,
            data_limit: PACER_DATA_CELLS,
            cover_limit: PACER_COVER_CELLS,
        }
    } else {
        ShaperLimits {
            rate: BitsPerSec(rate.0.saturating_mul(CEILING_FACTOR)),
            inner_bytes,
            wire_bytes,
            burst_cells: CEILING_BURST_CELLS * train * settings.homes.len().max(1) as u32,
            data_limit: CEILING_BAND_CELLS * train,
            cover_limit: CEILING_BAND_CELLS * train,
        }
    }
}

/// The shape with the upload of bursts, which the queueing tree must let pass.
fn fastest(settings: &Settings) -> Shape {
    let burst = settings.line.burst.map_or(settings.shape.upload, |burst| burst.upload);
    Shape { upload: settings.shape.upload.max(burst), ..settings.shape }
}

/// The maximum download of all homes together, at least 1 Mbit/s.
fn total_max_download(settings: &Settings) -> BitsPerSec {
    BitsPerSec(settings.homes.iter().map(|home| home.max_download.0).sum::<u64>().max(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::wire::size::IpVersion;

    #[test]
    fn every_cell_has_room_for_the_control_messages() {
        let mut settings = example::router();
        let mut least = |encapsulation| {
            let fits = |bytes: &u16| {
                settings.shape.cell_bytes = *bytes;
                cell_size(&settings, encapsulation).is_ok_and(|size| size.block_bytes >= control::MAX_BYTES)
            };
            (0..1400).find(fits)
        };
        let wireguard = [IpVersion::V4, IpVersion::V6].map(Encapsulation::wireguard);
        assert_eq!(wireguard.map(&mut least), [Some(140), Some(160)]);
        assert_eq!([52, 72, 200].map(Encapsulation::plain).map(&mut least), [Some(124), Some(144), Some(272)]);
        settings.shape.cell_bytes = 271;
        let error = cell_size(&settings, Encapsulation::plain(200)).unwrap_err().to_string();
        assert!(error.contains("main.cell: too small") && error.contains("(got 271, want at least 272)"), "{error}");
    }
}
