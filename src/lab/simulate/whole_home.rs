//! The rate that a home needs as devices are added to it (the paper's section 7.6).
//!
//! The paper finds that shaping a whole home needs hardly a higher rate than its most demanding device alone: devices
//! rarely send at the same time, so the others use slots that would otherwise carry cover. This module searches for the
//! lowest rate at which the mean delay of every device stays within a tolerance, for the first one, two, three ...
//! devices behind one shaper, and for each device behind a separate shaper.

use serde::Serialize;

use super::{NO_LIMITS, SimulationConfig, simulate};
use crate::lab::error::Error;
use crate::lab::trace::{Direction, HomeTrace, Trace};
use crate::units::{BitsPerSec, Nanos};

/// The lowest rate of the search, in kbit/s.
const MIN_RATE_KBIT: f64 = 4.0;
/// Ratio of consecutive rates of the search.
const RATE_STEP: f64 = 1.05;
/// Number of rates of the search; the highest is about 10 Mbit/s.
const RATE_STEPS: usize = 160;

/// The rates for a home of a given size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HomeSizeRow {
    /// Number of devices that share the shaper.
    pub devices: usize,
    /// Name of the last device added.
    pub added: String,
    /// Lowest rates, up and down, for these devices behind one shaper, on the wire.
    pub together_kbit: [u64; 2],
    /// Lowest rates, up and down, for the last device alone.
    pub alone_kbit: [u64; 2],
    /// Sum of the rates that each device needs alone, up and down.
    pub sum_of_alone_kbit: [u64; 2],
    /// Traffic of `together_kbit` in 30 days, both directions, in GB (10^9 bytes).
    pub together_gb_month: f64,
    /// Traffic of `sum_of_alone_kbit` in 30 days, both directions, in GB.
    pub sum_of_alone_gb_month: f64,
}

/// The rows for one device, two, and so on, the most demanding first. The rates of `config` are ignored.
///
/// `tolerance` is the maximum mean delay of any device in either direction. After each search the function calls
/// `progress` with the number of finished searches and their total number.
pub fn home_size_rows(
    home: &HomeTrace,
    config: &SimulationConfig,
    tolerance: Nanos,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<HomeSizeRow>, Error> {
    let count = home.devices.len();
    let mut alone = Vec::with_capacity(count);
    for (index, trace) in home.devices.iter().enumerate() {
        alone.push((trace, slowest(std::slice::from_ref(trace), home.length, config, tolerance)?));
        progress(index + 1, 2 * count);
    }
    alone.sort_by_key(|(_, kbit)| std::cmp::Reverse(kbit[0] + kbit[1]));
    let mut rows: Vec<HomeSizeRow> = Vec::with_capacity(count);
    let mut sum = [0, 0];
    for (index, (trace, alone_kbit)) in alone.iter().enumerate() {
        let devices: Vec<Trace> = alone[..=index].iter().map(|(trace, _)| (*trace).clone()).collect();
        let together_kbit = slowest(&devices, home.length, config, tolerance)?;
        sum = [sum[0] + alone_kbit[0], sum[1] + alone_kbit[1]];
        rows.push(HomeSizeRow {
            devices: index + 1,
            added: trace.device.clone(),
            together_kbit,
            alone_kbit: *alone_kbit,
            sum_of_alone_kbit: sum,
            together_gb_month: gb_month(together_kbit),
            sum_of_alone_gb_month: gb_month(sum),
        });
        progress(count + index + 1, 2 * count);
    }
    Ok(rows)
}

/// Traffic of both directions in 30 days, in GB. The paper's examples: 7.5 kB/s are 19 GB, 40 kB/s are 104 GB.
pub fn gb_month(kbit: [u64; 2]) -> f64 {
    BitsPerSec::from_kbit(kbit[0] + kbit[1]).bytes_in_month() as f64 / 1e9
}

fn slowest(devices: &[Trace], length: Nanos, config: &SimulationConfig, tolerance: Nanos) -> Result<[u64; 2], Error> {
    Ok([
        slowest_in_direction(devices, length, config, tolerance, Direction::Up)?,
        slowest_in_direction(devices, length, config, tolerance, Direction::Down)?,
    ])
}

/// The lowest rate of one direction; zero if no packets go in this direction.
fn slowest_in_direction(
    devices: &[Trace],
    length: Nanos,
    config: &SimulationConfig,
    tolerance: Nanos,
    direction: Direction,
) -> Result<u64, Error> {
    let one_way = |trace: &Trace| Trace {
        device: trace.device.clone(),
        packets: trace.packets.iter().filter(|packet| packet.direction == direction).copied().collect(),
    };
    let home = HomeTrace { devices: devices.iter().map(one_way).collect(), length };
    if home.devices.iter().all(|trace| trace.packets.is_empty()) {
        return Ok(0);
    }
    let fits = |step: usize| -> Result<bool, Error> {
        let rate = BitsPerSec::from_kbit(rate_kbit(step));
        let config = SimulationConfig { upload: rate, download: rate, limits: NO_LIMITS, ..*config };
        let result = simulate(&home, &config, |_| {})?;
        let whole = result.devices.iter().all(|device| device.delivered == device.sent);
        let worst = result.devices.iter().map(|device| device.delay_ms.mean).fold(0.0, f64::max);
        Ok(whole && worst <= tolerance.as_millis_f64())
    };
    // A higher rate never causes longer delays, so a binary search finds the lowest rate that fits.
    let (mut below, mut fitting) = (0, RATE_STEPS);
    while below < fitting {
        let middle = usize::midpoint(below, fitting);
        if fits(middle)? {
            fitting = middle;
        } else {
            below = middle + 1;
        }
    }
    if fitting == RATE_STEPS {
        return Err(Error::Request(format!(
            "simulating: even {} kbit/s {} cannot keep the mean delay within {:.1} s; allow more with --tolerance",
            rate_kbit(RATE_STEPS - 1),
            direction.name(),
            tolerance.as_secs_f64()
        )));
    }
    Ok(rate_kbit(fitting))
}

fn rate_kbit(step: usize) -> u64 {
    (MIN_RATE_KBIT * RATE_STEP.powi(step as i32)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_examples_of_monthly_cost() {
        assert_eq!(gb_month([60, 0]).round(), 19.0);
        assert_eq!(gb_month([160, 160]).round(), 104.0);
    }

    #[test]
    fn devices_that_rarely_send_together_need_hardly_more_than_the_most_demanding() {
        let seed = 21;
        println!("seed {seed}");
        let home = HomeTrace::synthetic(Nanos::from_secs(900), seed).0;
        let config = SimulationConfig { seed, ..SimulationConfig::default() };
        let rows = home_size_rows(&home, &config, Nanos::from_secs(2), |_, _| {}).unwrap();
        assert_eq!(rows.len(), home.devices.len());
        assert_eq!(rows[0].together_kbit, rows[0].alone_kbit);
        let last = rows.last().unwrap();
        let total = |kbit: [u64; 2]| kbit[0] + kbit[1];
        assert!(total(last.together_kbit) < total(last.sum_of_alone_kbit), "{rows:#?}");
        assert!(total(last.together_kbit) <= 2 * total(rows[0].together_kbit), "{rows:#?}");
        assert!(rows.windows(2).all(|pair| pair[0].alone_kbit.iter().sum::<u64>() >= pair[1].alone_kbit.iter().sum()));
    }

    #[test]
    fn a_tolerance_that_no_rate_meets_is_an_error() {
        let home = HomeTrace::synthetic(Nanos::from_secs(60), 22).0;
        let error = home_size_rows(&home, &SimulationConfig::default(), Nanos(1), |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("--tolerance"), "{error}");
    }
}
