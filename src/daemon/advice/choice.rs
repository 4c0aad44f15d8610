//! Which rate keeps what a level promises.

use super::{Direction, RATES_KBIT, RateAdvisor};
use crate::config::model::{Level, Policy, Settings};
use crate::core::what_if::{Delay, STEPS, TRACKED};
use crate::units::{BitsPerSec, Nanos};

/// Of devices without a number of their own: as the least patient kind of the settings.
const OTHERS_TOLERANCE: Nanos = Nanos::from_millis(1_400);

/// The levels that advice is given for.
pub const ADVISED: [Level; 3] = [Level::Saver, Level::Balanced, Level::Strict];

/// What has been watched, read for one home. Making one takes long: never between two cells.
pub struct Advice<'a> {
    pub(super) settings: &'a Settings,
    pub(super) watch: &'a RateAdvisor,
    pub(super) watched: Nanos,
    pub(super) home: RateDelays,
    pub(super) subjects: Vec<Subject<'a>>,
}

/// By direction and step.
pub(super) type RateDelays = [[Delay; STEPS]; 2];

/// A device, or all that have no number of their own.
pub(super) struct Subject<'a> {
    pub name: &'a str,
    pub number: u8,
    pub tolerance: Nanos,
    pub watched_only: bool,
    pub delays: RateDelays,
    pub offered: [u32; 2],
}

/// How far the advice can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Nothing has been seen.
    None,
    /// Less than a day, or few packets.
    Low,
    /// At least a day.
    Fair,
    /// At least a week.
    Good,
}

impl<'a> Advice<'a> {
    /// Reads what `watch` knows at the moment.
    pub fn new(settings: &'a Settings, watch: &'a RateAdvisor, now: Nanos) -> Advice<'a> {
        let read = |of: &dyn Fn(&crate::core::what_if::Delays) -> Delay| {
            Direction::ALL.map(|direction| {
                let mut steps = watch.shapers[direction as usize].steps();
                std::array::from_fn(|_| steps.next().map(|(_, delays)| of(delays)).unwrap_or_default())
            })
        };
        let subject = |name, number: u8, tolerance, watched_only| Subject {
            name,
            number,
            tolerance,
            watched_only,
            delays: read(&|delays| delays.device(number)),
            offered: Direction::ALL.map(|direction| watch.shapers[direction as usize].offered(number)),
        };
        let numbered = settings.devices.iter().zip(1..=TRACKED);
        let mut subjects: Vec<_> = numbered
            .filter(|(device, _)| device.policy != Policy::Block)
            .map(|(device, number)| {
                subject(device.name.as_str(), number, device.tolerance, device.policy != Policy::Shape)
            })
            .filter(|subject| !subject.watched_only || subject.offered != [0; 2])
            .collect();
        let others = subject("all others", 0, OTHERS_TOLERANCE, false);
        subjects.extend((others.offered != [0; 2]).then_some(others));
        let watched = now.saturating_since(watch.since);
        Advice { settings, watch, watched, home: read(&|delays| delays.home()), subjects }
    }

    /// Packets in both directions.
    pub fn packets(&self) -> u32 {
        self.subjects.iter().flat_map(|subject| subject.offered).fold(0, u32::saturating_add)
    }

    /// How far it can be trusted.
    pub fn confidence(&self) -> Confidence {
        const DAY: Nanos = Nanos::from_secs(86_400);
        match (self.packets(), self.watched) {
            (0, _) => Confidence::None,
            (0..1_000, _) => Confidence::Low,
            (_, watched) if watched < DAY => Confidence::Low,
            (_, watched) if watched.0 < 7 * DAY.0 => Confidence::Fair,
            _ => Confidence::Good,
        }
    }

    /// The lowest rates up and down, in kbit/s, that keep every device within its tolerance as the level promises it:
    /// the home's packets together, at one rate each way. `None` while nothing has been seen, or where no step does.
    pub fn advised(&self, level: Level) -> Option<[u64; 2]> {
        if self.packets() == 0 || !ADVISED.contains(&level) {
            return None;
        }
        let mut rates = [0; 2];
        for direction in Direction::ALL {
            let steps = self.subjects.iter().map(|subject| subject.lowest(direction, level));
            let highest = steps.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(0);
            rates[direction as usize] = RATES_KBIT[highest];
        }
        Some(rates)
    }

    /// The home's delays at those rates, or rather at the next steps below them.
    pub(super) fn home_at(&self, rates: [BitsPerSec; 2]) -> Option<[&Delay; 2]> {
        let step = |rate: BitsPerSec| RATES_KBIT.iter().rposition(|kbit| kbit * 1000 <= rate.0);
        let [up, down] = rates.map(step);
        (self.packets() > 0).then_some([&self.home[0][up?], &self.home[1][down?]])
    }
}

impl Subject<'_> {
    /// The lowest step that keeps the promise, with all above it.
    pub fn lowest(&self, direction: Direction, level: Level) -> Option<usize> {
        let at = direction as usize;
        if self.offered[at] == 0 {
            return Some(0);
        }
        let keeps = |step: &usize| keeps(level, &self.delays[at][*step], self.tolerance);
        (0..STEPS).rev().take_while(keeps).last()
    }
}

/// Whether these delays are what a level promises. A packet that was dropped waited too long for anybody.
fn keeps(level: Level, delay: &Delay, tolerance: Nanos) -> bool {
    let (waited, lost_of) = match level {
        Level::Strict => (delay.max, 1_000),
        Level::Balanced => (delay.p99, 100),
        _ => (delay.mean, 100),
    };
    // One that is leaving counts as lost.
    let bearable = (delay.packets + delay.lost) / lost_of + 1;
    delay.packets > 0 && waited <= tolerance && delay.lost <= bearable
}
