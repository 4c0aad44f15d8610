//! What the best possible test could learn from the departures, whatever its method.
//!
//! A cell leaves at S + L: the law draws S, the lateness L is the host's. Who knows the law, its rate and the
//! distribution of L under two conditions, and sees only S + L, can do no better than the likelihood ratio of the whole
//! sequence (J. Neyman, E. S. Pearson 1933). A forward filter computes it: it keeps the distribution of the present L,
//! given all departures so far, on a grid.
//!
//! From records of the lateness under both conditions the divergence per packet follows, and from it the number of
//! packets that the best test needs.

mod density;
mod filter;
mod grid;
mod record;
mod report;

#[cfg(test)]
mod tests;

pub use filter::Divergence;
pub use record::LatenessRecord;
pub use report::print;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use self::density::IntervalDensity;
use self::filter::ChainPair;
use self::grid::LatenessGrid;
use super::error::Error;

/// Number of points of the grid. The doubled step shows its error.
const GRID_POINTS: usize = 48;
/// Probabilities of a wrong guess for which packets are counted.
const ERRORS: [f64; 2] = [0.10, 0.01];

/// Options of a bound.
#[derive(Clone, Copy, Debug)]
pub struct BoundOptions {
    /// Number of simulated packets for each direction of the divergence.
    pub packets: usize,
    /// Seed of the simulation.
    pub seed: u64,
}

impl Default for BoundOptions {
    fn default() -> BoundOptions {
        BoundOptions { packets: 50_000, seed: 1 }
    }
}

/// The bound on telling two conditions apart.
#[derive(Clone, Debug, Serialize)]
pub struct BoundReport {
    /// Names of the two conditions.
    pub names: [String; 2],
    /// The law of the intervals.
    pub law: String,
    /// Its standard deviation in percent of the mean interval.
    pub spread_percent: u8,
    /// The mean interval in nanoseconds.
    pub interval_ns: u64,
    /// The lateness under both conditions.
    pub lateness: [RecordSummary; 2],
    /// The divergence of the first condition from the second, and of the second from the first.
    pub divergence: [Divergence; 2],
    /// Change of each divergence if the grid has half as many points, as a part of the divergence.
    pub grid_error: [f64; 2],
    /// The larger divergence, of both ways, between the two halves of one record: what chance and the drift of the
    /// host make of equal conditions.
    pub floor: f64,
    /// What the best test needs for each probability of a wrong guess.
    pub needed: Vec<Needed>,
    /// Number of simulated packets behind each divergence.
    pub packets: usize,
    /// Seed of the simulation.
    pub seed: u64,
}

/// The lateness of one condition.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RecordSummary {
    /// Number of departures.
    pub count: usize,
    /// Mean in microseconds.
    pub mean_us: f64,
    /// Standard deviation in microseconds.
    pub sd_us: f64,
    /// Median in microseconds.
    pub p50_us: f64,
    /// 99th percentile in microseconds.
    pub p99_us: f64,
    /// Maximum in microseconds.
    pub max_us: f64,
    /// Correlation of successive departures.
    pub correlation: f64,
    /// Departures that were missed.
    pub missed_slots: u64,
}

/// What the best possible test needs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Needed {
    /// Probability of a wrong guess, the same for both conditions.
    pub error: f64,
    /// Number of packets.
    pub packets: f64,
    /// Days in which so many packets leave.
    pub days: f64,
}

/// Computes the bound for two records.
///
/// # Errors
/// The records are of different laws or rates, or the law hides nothing.
pub fn bound(names: [&str; 2], records: [&LatenessRecord; 2], options: BoundOptions) -> Result<BoundReport, Error> {
    let [a, b] = records;
    let failed = |problem: String| Error::Request(format!("bounding {} and {}: {problem}", names[0], names[1]));
    if (a.law, a.spread_percent, a.interval_ns) != (b.law, b.spread_percent, b.interval_ns) {
        let show =
            |record: &LatenessRecord| format!("{} {} %, {} ns", record.law, record.spread_percent, record.interval_ns);
        return Err(failed(format!("the records are of different lines: {} and {}", show(a), show(b))));
    }
    let Some(density) = IntervalDensity::new(a.law, a.spread_percent) else {
        return Err(failed(format!("the law {} hides no lateness: every difference is seen at once", a.law)));
    };
    let both = |pair: [&[f64]; 2], points: usize, packets: usize| {
        let grid = LatenessGrid::new(pair, points);
        let [p, q] = pair.map(|values| grid.condition(values));
        [(&p, &q), (&q, &p)].map(|(p, q)| {
            let model = ChainPair { grid: &grid, density: &density, truth: p, other: q };
            filter::divergence(&model, (a.law, a.spread_percent), packets, options.seed)
        })
    };
    let values = records.map(LatenessRecord::in_intervals);
    let [of_a, of_b] = &values;
    let divergence = both([of_a, of_b], GRID_POINTS, options.packets);
    let coarse = both([of_a, of_b], GRID_POINTS / 2, options.packets);
    let grid_error = [0, 1].map(|way| {
        let (fine, coarse) = (divergence[way].nats_per_packet, coarse[way].nats_per_packet);
        if fine > 0.0 { (coarse / fine - 1.0).abs() } else { 0.0 }
    });
    let floor = values.iter().flat_map(|values| {
        let (early, late) = values.split_at(values.len() / 2);
        both([early, late], GRID_POINTS, options.packets / 4).map(|divergence| divergence.nats_per_packet)
    });
    let floor = floor.fold(0.0, f64::max);
    let needed = ERRORS.map(|error| {
        let packets = needed_packets(&divergence, error);
        Needed { error, packets, days: packets * a.interval_ns as f64 / 86.4e12 }
    });
    Ok(BoundReport {
        names: names.map(str::to_owned),
        law: a.law.name().to_owned(),
        spread_percent: a.spread_percent,
        interval_ns: a.interval_ns,
        lateness: records.map(LatenessRecord::summary),
        divergence,
        grid_error,
        floor,
        needed: needed.to_vec(),
        packets: options.packets,
        seed: options.seed,
    })
}

impl BoundReport {
    /// The area under the curve that the best possible test reaches with that many packets: no attack is better.
    pub fn best_area(&self, packets: usize) -> f64 {
        let [a, b] = &self.divergence;
        let distance = a.nats_per_packet + b.nats_per_packet;
        let deviation = (a.variance + b.variance).sqrt();
        if deviation > 0.0 { normal().cdf((packets as f64).sqrt() * distance / deviation) } else { 0.5 }
    }
}

/// The number of packets after which the best test errs with that probability under both conditions.
///
/// The logarithm of the likelihood ratio is a sum over packets, so it is normal for many of them. Few packets never
/// suffice: a test with that error has a divergence of its own, and processing data adds none.
fn needed_packets(divergence: &[Divergence; 2], error: f64) -> f64 {
    let [a, b] = divergence;
    let distance = a.nats_per_packet + b.nats_per_packet;
    let deviations = a.variance.sqrt() + b.variance.sqrt();
    let central = (normal().inverse_cdf(1.0 - error) * deviations / distance).powi(2);
    let least = (1.0 - 2.0 * error) * ((1.0 - error) / error).ln() / a.nats_per_packet.max(b.nats_per_packet);
    central.max(least).max(1.0).ceil()
}

fn normal() -> Normal {
    Normal::standard()
}
