//! What bursts cost and show: real engines on a home's traffic for the delay, simulated weeks for the best attacker,
//! and a flat line and stochastic traffic padding (STP) for comparison.

mod attack;
mod need;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::attack::{AttackResult, attack};
pub use self::need::measured_need;
use super::error::Error;
use super::simulate::{NO_LIMITS, SimulationConfig, simulate};
use super::trace::{Direction, HomeTrace, Trace};
use crate::core::Pace;
use crate::core::burst::odds::{BurstOdds, NeedPattern, matching_linger};
use crate::core::burst::{BurstParams, BurstRules, SlotPace};
use crate::units::{BitsPerSec, Chance, Nanos};

/// The shares of decoys that get a row.
pub const DECOYS: [Chance; 6] =
    [Chance(3_000), Chance(10_000), Chance(30_000), Chance(60_000), Chance(100_000), Chance(200_000)];

/// A line with bursts.
#[derive(Clone, Copy, Debug)]
pub struct BurstLine {
    /// Rates outside bursts, up and down.
    pub base: [BitsPerSec; 2],
    /// Rates in bursts, up and down.
    pub burst: [BitsPerSec; 2],
    /// Length of a slot.
    pub slot: Nanos,
    /// The coins; `decoy` is that of the row.
    pub begin: Chance,
    /// See [`BurstRules`].
    pub keep: Chance,
    /// See [`BurstRules`]; `None` if it follows from the length of the events.
    pub linger: Option<Chance>,
    /// Events a day and their mean length; `None` for what the home's traffic has.
    pub events_a_day: Option<f64>,
    /// Mean length of an event.
    pub event: Option<Nanos>,
    /// Simulated weeks of the attack.
    pub weeks: u32,
    /// Seed of all randomness.
    pub seed: u64,
}

/// One share of decoys.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BurstRow {
    /// The probability `decoy`.
    pub decoy: f64,
    /// The probability `begin`.
    pub begin: f64,
    /// The probability `keep`.
    pub keep: f64,
    /// The probability `linger`.
    pub linger: f64,
    /// Local differential privacy of a slot's bit: the larger of the idle and the bursting one.
    pub epsilon: f64,
    /// Events a day.
    pub events_day: f64,
    /// Belief in need without any observation: the share of slots with need.
    pub belief_before: f64,
    /// The bound: belief after a burst that has lasted as long as an event.
    pub belief_after: f64,
    /// What the best attacker believes then, in the mean over the simulated weeks.
    pub attack_belief: f64,
    /// GB in a month.
    pub gb_month: f64,
    /// GB in a month of the flat line with the same delay; absent if none of up to 10 Mbit/s has it.
    pub flat_gb_month: Option<f64>,
    /// GB in a month of STP at the same belief.
    pub stp_gb_month: f64,
    /// 99th percentile of the delay of the listed devices' packets, in seconds.
    pub p99_s: f64,
}

/// The row of each share of decoys. `listed` are the indices of the devices that get bursts.
pub fn rows(home: &HomeTrace, listed: &[usize], line: &BurstLine) -> Result<Vec<BurstRow>, Error> {
    let need = line.need(home, listed)?;
    let mut rows = Vec::new();
    for decoy in DECOYS {
        let rules = line.rules(decoy.min(line.begin), &need);
        let odds = BurstOdds::new(&rules, &need);
        let p99_s = line.p99_s(home, listed, &rules)?;
        let events_day = line.events_a_day(&need);
        rows.push(BurstRow {
            decoy: rules.decoy.fraction(),
            begin: rules.begin.fraction(),
            keep: rules.keep.fraction(),
            linger: rules.linger.fraction(),
            epsilon: epsilon(&rules),
            events_day,
            belief_before: odds.before,
            belief_after: odds.after_event,
            attack_belief: attack(&rules, &need, line.weeks, line.seed).belief,
            gb_month: gb(line.base) + odds.bursting * (gb(line.burst) - gb(line.base)),
            flat_gb_month: flat_gb(home, listed, line, p99_s)?,
            stp_gb_month: stp_gb(line, &need, odds.after_event),
            p99_s,
        });
    }
    Ok(rows)
}

/// Local differential privacy of one slot's bit, in the worse of the two states.
pub fn epsilon(rules: &BurstRules) -> f64 {
    let worse = |need: Chance, none: Chance| {
        let [need, none] = [need, none].map(Chance::fraction);
        (need / none).ln().max(((1.0 - none) / (1.0 - need)).ln())
    };
    worse(rules.begin, rules.decoy).max(worse(rules.keep, rules.linger))
}

impl BurstLine {
    fn need(&self, home: &HomeTrace, listed: &[usize]) -> Result<NeedPattern, Error> {
        let measured = measured_need(home, listed, self)?;
        let event_slots =
            self.event.map_or(measured.event_slots, |event| event.as_secs_f64() / self.slot.as_secs_f64());
        Ok(NeedPattern::new(self.events_a_day.unwrap_or(measured.events_a_day), event_slots, self.slot))
    }

    fn events_a_day(&self, need: &NeedPattern) -> f64 {
        86_400.0 / self.slot.as_secs_f64() * need.shares()[1] * need.ends
    }

    fn rules(&self, decoy: Chance, need: &NeedPattern) -> BurstRules {
        const LINGER: Chance = Chance(600_000);
        let linger = self.linger.unwrap_or_else(|| matching_linger(1.0 / need.ends, LINGER, self.keep));
        BurstRules { begin: self.begin, decoy, keep: self.keep, linger, slot: self.slot }
    }

    /// The configuration of a simulation at the base rates, whose queues drop nothing.
    fn config(&self) -> SimulationConfig {
        let [upload, download] = self.base;
        SimulationConfig { upload, download, limits: NO_LIMITS, seed: self.seed, ..SimulationConfig::default() }
    }

    fn p99_s(&self, home: &HomeTrace, listed: &[usize], rules: &BurstRules) -> Result<f64, Error> {
        let config = self.config();
        let cell = config.cell()?;
        let pace = |rate| {
            let train = config.law.train(config.train, BitsPerSec::interval(rate, cell.wire_bytes));
            let pace = Pace::of_trains(config.law, config.spread_percent, rate, cell.wire_bytes, train);
            SlotPace { pace, train, lead: config.lead }
        };
        let [burst, peer] = self.burst.map(pace);
        let bursts = BurstParams {
            rules: *rules,
            burst,
            peer_rate: self.burst[1],
            peer_train: peer.train,
            devices: listed.iter().fold(0, |devices, index| devices | 2 << index),
            need_bytes: need::need_bytes(self.base[0], &cell),
            limits: NO_LIMITS,
        };
        p99_s(home, listed, &SimulationConfig { bursts: Some(bursts), ..config })
    }
}

/// 99th percentile of the listed devices' delays.
fn p99_s(home: &HomeTrace, listed: &[usize], config: &SimulationConfig) -> Result<f64, Error> {
    let result = simulate(home, config, |_| {})?;
    let mut delays: Vec<f64> = listed.iter().flat_map(|index| result.devices[*index].delays_ms.clone()).collect();
    Ok(super::stats::Summary::of(&mut delays).p99 / 1e3)
}

/// GB in a month of the lowest flat rates at which the listed devices' packets wait no longer, each direction alone.
fn flat_gb(home: &HomeTrace, listed: &[usize], line: &BurstLine, wanted_s: f64) -> Result<Option<f64>, Error> {
    let mut rates = line.base;
    for (direction, rate) in Direction::ALL.into_iter().zip(&mut rates) {
        let one_way = |trace: &Trace| Trace {
            device: trace.device.clone(),
            packets: trace.packets.iter().filter(|packet| packet.direction == direction).copied().collect(),
        };
        let home = HomeTrace { devices: home.devices.iter().map(one_way).collect(), length: home.length };
        // Steps of 8 %, from the base rate to more than ten Mbit/s.
        let at = |step: i32| BitsPerSec((line.base[direction as usize].0 as f64 * 1.08f64.powi(step)) as u64);
        let (mut below, mut fitting) = (0, (1e7 / at(0).0 as f64).log(1.08).ceil().max(0.0) as i32 + 1);
        let last = fitting;
        while below < fitting {
            let middle = (below + fitting) / 2;
            let (idle, rate) = (BitsPerSec::from_kbit(8), at(middle));
            let [upload, download] = if direction == Direction::Up { [rate, idle] } else { [idle, rate] };
            if p99_s(&home, listed, &SimulationConfig { upload, download, ..line.config() })? <= wanted_s {
                fitting = middle;
            } else {
                below = middle + 1;
            }
        }
        if fitting == last {
            return Ok(None);
        }
        *rate = at(fitting);
    }
    Ok(Some(gb(rates)))
}

/// GB in a month of stochastic traffic padding (Apthorpe and others, 2019) of the listed devices at the same belief,
/// beside the same base for all others: periods as long as an event, padded to the burst rates whenever there is one,
/// and by chance otherwise.
fn stp_gb(line: &BurstLine, need: &NeedPattern, belief: f64) -> f64 {
    let padded = (need.shares()[1] / belief).min(1.0);
    gb(line.base) + padded * (gb(line.burst) - gb(line.base))
}

/// GB of both directions in a month.
fn gb([up, down]: [BitsPerSec; 2]) -> f64 {
    BitsPerSec(up.0 + down.0).bytes_in_month() as f64 / 1e9
}
