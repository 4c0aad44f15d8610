//! The lowest rates that keep the guarantee of a level.

use super::{Direction, RATES_KBIT, RateAdvisor};
use crate::config::model::{Level, Policy, Settings};
use crate::core::what_if::{Delay, MAX_TRACKED, STEPS};
use crate::units::{BitsPerSec, Nanos};

/// The tolerance of devices without a number of their own: that of the least tolerant device kind in the settings.
const OTHERS_TOLERANCE: Nanos = Nanos::from_millis(1_400);

/// The levels that get advice.
pub const ADVISED: [Level; 3] = [Level::Saver, Level::Balanced, Level::Strict];

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
    pub number: u8,
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
        let device_delays = |name, number: u8, tolerance, watched_only| DeviceDelays {
            name,
            number,
            tolerance,
            watched_only,
            delays: read(&|delays| delays.device(number)),
            offered: Direction::ALL.map(|direction| advisor.shapers[direction as usize].offered(number)),
        };
        let numbered = settings.devices.iter().zip(1..=MAX_TRACKED);
        let mut devices: Vec<_> = numbered
            .filter(|(device, _)| device.policy != Policy::Block)
            .map(|(device, number)| {
                device_delays(device.name.as_str(), number, device.tolerance, device.policy != Policy::Shape)
            })
            .filter(|device| !device.watched_only || device.offered != [0; 2])
            .collect();
        let others = device_delays("all others", 0, OTHERS_TOLERANCE, false);
        devices.extend((others.offered != [0; 2]).then_some(others));
        let observed_for = now.saturating_since(advisor.since);
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

    /// The lowest upload and download rates in kbit/s that keep every device within its tolerance, as the level
    /// promises. All the home's packets share one rate per direction. `None` if no packets were observed or no step
    /// is fast enough.
    pub fn advised(&self, level: Level) -> Option<[u64; 2]> {
        if self.packets() == 0 || !ADVISED.contains(&level) {
            return None;
        }
        let mut rates = [0; 2];
        for direction in Direction::ALL {
            let steps = self.devices.iter().map(|device| device.lowest(direction, level));
            let highest = steps.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(0);
            rates[direction as usize] = RATES_KBIT[highest];
        }
        Some(rates)
    }

    /// The home's delays at the nearest steps that do not exceed these rates.
    pub(super) fn home_delays_at(&self, rates: [BitsPerSec; 2]) -> Option<[&Delay; 2]> {
        let step = |rate: BitsPerSec| RATES_KBIT.iter().rposition(|kbit| kbit * 1000 <= rate.0);
        let [up, down] = rates.map(step);
        (self.packets() > 0).then_some([&self.home[0][up?], &self.home[1][down?]])
    }
}

impl DeviceDelays<'_> {
    /// The lowest step that keeps the guarantee, as do all steps above it.
    pub fn lowest(&self, direction: Direction, level: Level) -> Option<usize> {
        let at = direction as usize;
        if self.offered[at] == 0 {
            return Some(0);
        }
        let is_met = |step: &usize| meets_guarantee(level, &self.delays[at][*step], self.tolerance);
        (0..STEPS).rev().take_while(is_met).last()
    }
}

/// Whether these delays meet the guarantee of a level. A dropped packet exceeds every tolerance.
fn meets_guarantee(level: Level, delay: &Delay, tolerance: Nanos) -> bool {
    let (waited, packets_per_loss) = match level {
        Level::Strict => (delay.max, 1_000),
        Level::Balanced => (delay.p99, 100),
        _ => (delay.mean, 100),
    };
    // Allow one more: a packet in the cell that is leaving now counts as lost.
    let max_lost = (delay.packets + delay.lost) / packets_per_loss + 1;
    delay.packets > 0 && waited <= tolerance && delay.lost <= max_lost
}
