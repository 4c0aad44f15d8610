//! The cheapest rates and cell size that keep the guarantee of a level.

use super::{Direction, RATES_KBIT, RateAdvisor};
use crate::config::model::{Level, Policy, Settings};
use crate::core::what_if::{Delay, MAX_TRACKED, STEPS};
use crate::units::{BitsPerSec, DeviceId, Nanos};
use crate::wire::size::CellSize;

/// The tolerance of devices without a number of their own: that of the least tolerant device kind in the settings.
const OTHERS_TOLERANCE: Nanos = Nanos::from_millis(1_400);

/// The levels that get advice.
pub const ADVISED: [Level; 3] = [Level::Saver, Level::Balanced, Level::Strict];

/// The cheapest rates and cell size that keep a level's guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvisedShape {
    /// From home to endpoint, in kbit/s on the wire.
    pub upload_kbit: u64,
    /// From endpoint to home, in kbit/s on the wire.
    pub download_kbit: u64,
    /// Maximum size of a cell on the wire, in bytes: `main.cell`.
    pub cell_bytes: u16,
}

impl AdvisedShape {
    /// Both directions together.
    pub fn total_kbit(&self) -> u64 {
        self.upload_kbit + self.download_kbit
    }
}

/// The results of the virtual shapers, evaluated for one home. Building it is slow: never do so between two cells.
pub struct Advice<'a> {
    pub(super) settings: &'a Settings,
    pub(super) advisor: &'a RateAdvisor,
    pub(super) observed_for: Nanos,
    pub(super) home: RateDelays,
    pub(super) devices: Vec<DeviceDelays<'a>>,
}

/// Indexed by direction and step.
pub(super) type RateDelays = [[Delay; STEPS]; 2];

/// The delays of one device, or of all devices without a number of their own.
pub(super) struct DeviceDelays<'a> {
    pub name: &'a str,
    pub number: DeviceId,
    pub tolerance: Nanos,
    pub watched_only: bool,
    pub delays: RateDelays,
    pub offered: [u32; 2],
}

/// How reliable the advice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// No packets were observed.
    None,
    /// Less than a day, or few packets.
    Low,
    /// At least a day.
    Fair,
    /// At least a week.
    Good,
}

impl<'a> Advice<'a> {
    /// Evaluates the current results of `advisor`.
    pub fn new(settings: &'a Settings, advisor: &'a RateAdvisor, now: Nanos) -> Advice<'a> {
        let read = |of: &dyn Fn(&crate::core::what_if::Delays) -> Delay| {
            Direction::ALL.map(|direction| {
                let mut steps = advisor.shapers[direction as usize].steps();
                std::array::from_fn(|_| steps.next().map(|(_, delays)| of(delays)).unwrap_or_default())
            })
        };
        let device_delays = |name, number: DeviceId, tolerance, watched_only| DeviceDelays {
            name,
            number,
            tolerance,
            watched_only,
            delays: read(&|delays| delays.device(number)),
            offered: Direction::ALL.map(|direction| advisor.shapers[direction as usize].offered(number)),
        };
        let numbered = settings.devices.iter().zip((1..=MAX_TRACKED.0).map(DeviceId));
        let mut devices: Vec<_> = numbered
            .filter(|(device, _)| device.policy != Policy::Block)
            .map(|(device, number)| {
                device_delays(device.name.as_str(), number, device.tolerance, device.policy != Policy::Shape)
            })
            .filter(|device| !device.watched_only || device.offered != [0; 2])
            .collect();
        let others = device_delays("all others", DeviceId::UNKNOWN, OTHERS_TOLERANCE, false);
        devices.extend((others.offered != [0; 2]).then_some(others));
        let observed_for = advisor.observed_for(now);
        Advice { settings, advisor, observed_for, home: read(&|delays| delays.home()), devices }
    }

    /// Observed packets, both directions together.
    pub fn packets(&self) -> u32 {
        self.devices.iter().flat_map(|device| device.offered).fold(0, u32::saturating_add)
    }

    /// How reliable the advice is, by packets and time.
    pub fn confidence(&self) -> Confidence {
        const DAY: Nanos = Nanos::from_secs(86_400);
        match (self.packets(), self.observed_for) {
            (0, _) => Confidence::None,
            (0..1_000, _) => Confidence::Low,
            (_, observed_for) if observed_for < DAY => Confidence::Low,
            (_, observed_for) if observed_for.0 < 7 * DAY.0 => Confidence::Fair,
            _ => Confidence::Good,
        }
    }

    /// The cheapest rates and cell size that keep every device within its tolerance, as the level promises. All the
    /// home's packets share one rate per direction. `None` if no packets were observed or no step is fast enough.
    pub fn advised(&self, level: Level) -> Option<AdvisedShape> {
        if self.packets() == 0 || !ADVISED.contains(&level) {
            return None;
        }
        let shapes = self.advisor.cells.iter().filter_map(|(limit, size)| self.advised_with(level, *limit, size));
        shapes.min_by_key(AdvisedShape::total_kbit)
    }

    fn advised_with(&self, level: Level, cell_bytes: u16, size: &CellSize) -> Option<AdvisedShape> {
        let mut rates = [0; 2];
        for (direction, rate) in Direction::ALL.into_iter().zip(&mut rates) {
            let mut highest = 0;
            for device in &self.devices {
                highest = highest.max(device.lowest(direction, level, &|step| self.extra_wait(step, size))?);
            }
            *rate = self.equivalent_kbit(highest, size);
        }
        let [upload_kbit, download_kbit] = rates;
        Some(AdvisedShape { upload_kbit, download_kbit, cell_bytes })
    }

    /// The rate with cells of `size` that carries as many bytes of packets as that step does, in kbit/s, rounded up.
    /// Packets span cells, so but for the wait for a departure they leave as fast.
    fn equivalent_kbit(&self, step: usize, size: &CellSize) -> u64 {
        let shape = &self.advisor.shape;
        (RATES_KBIT[step] * (size.wire_bytes * shape.block_bytes) as u64)
            .div_ceil((size.block_bytes * shape.wire_bytes) as u64)
            .max(RATES_KBIT[0])
    }

    /// How much longer a packet waits for a departure with cells of `size` than with those of the virtual shapers: 0.55
    /// of the difference of the intervals, the mean residual interval of a wide law. That holds for the longest waits
    /// too, which come from bursts (tests/advice.rs).
    fn extra_wait(&self, step: usize, size: &CellSize) -> Nanos {
        let shape = &self.advisor.shape;
        let interval = BitsPerSec::from_kbit(RATES_KBIT[step]).interval(shape.wire_bytes);
        let interval = Nanos(interval.0 * u64::from(shape.law.train(shape.train, interval)));
        let longer = size.block_bytes.saturating_sub(shape.block_bytes) as u64;
        Nanos(interval.0 / 100 * 55 * longer / shape.block_bytes as u64)
    }

    /// The home's delays at the nearest steps that carry no more than these rates with cells of at most `cell_bytes`.
    pub(super) fn home_delays_at(&self, rates: [BitsPerSec; 2], cell_bytes: u16) -> Option<[&Delay; 2]> {
        let size = self.advisor.cells.iter().rfind(|(limit, _)| *limit <= cell_bytes).map(|(_, size)| size);
        let kbit = |step| size.map_or(RATES_KBIT[step], |size| self.equivalent_kbit(step, size));
        let step = |rate: BitsPerSec| (0..STEPS).rfind(|step| kbit(*step) * 1000 <= rate.0);
        let [up, down] = rates.map(step);
        (self.packets() > 0).then_some([&self.home[0][up?], &self.home[1][down?]])
    }
}

impl DeviceDelays<'_> {
    /// The lowest step that keeps the guarantee, as do all steps above it, if packets wait longer by `extra`.
    pub fn lowest(&self, direction: Direction, level: Level, extra: &dyn Fn(usize) -> Nanos) -> Option<usize> {
        let at = direction as usize;
        if self.offered[at] == 0 {
            return Some(0);
        }
        let is_met = |step: &usize| meets_guarantee(level, &self.delays[at][*step], extra(*step), self.tolerance);
        (0..STEPS).rev().take_while(is_met).last()
    }
}

/// Whether these delays meet the guarantee of a level. A dropped packet exceeds every tolerance.
fn meets_guarantee(level: Level, delay: &Delay, extra: Nanos, tolerance: Nanos) -> bool {
    let (waited, packets_per_loss) = match level {
        Level::Strict => (delay.max, 1_000),
        Level::Balanced => (delay.p99, 100),
        _ => (delay.mean, 100),
    };
    // Allow one more: a packet in the cell that is leaving now counts as lost.
    let max_lost = (delay.packets + delay.lost) / packets_per_loss + 1;
    delay.packets > 0 && waited + extra <= tolerance && delay.lost <= max_lost
}
