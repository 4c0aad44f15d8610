//! What a home costs as devices are added to it (the paper's section 7.6).
//!
//! The paper finds that shaping a whole home takes hardly more than its neediest device does: devices seldom talk at the
//! same time, and all others fit into what would be that one's cover. Here the slowest rate is looked for at which no
//! device waits longer on average than it may, for the first one, two, three ... devices behind one shaper, and for each
//! device behind a shaper of its own.

use serde::Serialize;

use super::{NO_LIMITS, SimulationConfig, simulate};
use crate::lab::error::Error;
use crate::lab::trace::{Direction, HomeTrace, Trace};
use crate::units::{BitsPerSec, Nanos};

/// Slowest rate that is tried, in kbit/s.
const MIN_RATE_KBIT: f64 = 4.0;
/// One rate is so many times the one before.
const RATE_STEP: f64 = 1.05;
/// Rates that are tried; the fastest is some 10 Mbit/s.
const RATE_STEPS: usize = 160;

/// The home with one more device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HomeSizeRow {
    /// How many devices share the shaper.
    pub devices: usize,
    /// The one that came last.
    pub added: String,
    /// The slowest rates for them together, up and down, on the wire.
    pub together_kbit: [u64; 2],
    /// The same for the last one alone.
    pub alone_kbit: [u64; 2],
    /// Sum of what each of them needs alone.
    pub sum_of_alone_kbit: [u64; 2],
    /// What `together_kbit` sends and receives in 30 days, in GB (10^9 bytes).
    pub together_gb_month: f64,
    /// The same of `sum_of_alone_kbit`.
    pub sum_of_alone_gb_month: f64,
}

/// The rows for one device, two, and so on, the neediest first. Rates of `setup` are not used, its law and cell are.
///
/// `tolerance` is the longest mean delay of any device in either direction. Each search and each simulation calls
/// `progress` with how many of how many are done.
pub fn home_size_rows(
    home: &HomeTrace,
    setup: &SimulationConfig,
    tolerance: Nanos,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<HomeSizeRow>, Error> {
    let count = home.devices.len();
    let mut alone = Vec::with_capacity(count);
    for (index, trace) in home.devices.iter().enumerate() {
        alone.push((trace, slowest(std::slice::from_ref(trace), home.length, setup, tolerance)?));
        progress(index + 1, 2 * count);
    }
    alone.sort_by_key(|(_, kbit)| std::cmp::Reverse(kbit[0] + kbit[1]));
    let mut rows: Vec<HomeSizeRow> = Vec::with_capacity(count);
    let mut sum = [0, 0];
    for (index, (trace, alone_kbit)) in alone.iter().enumerate() {
        let devices: Vec<Trace> = alone[..=index].iter().map(|(trace, _)| (*trace).clone()).collect();
        let together_kbit = slowest(&devices, home.length, setup, tolerance)?;
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

/// Bytes of both directions in 30 days, in GB. The paper's examples: 7.5 kB/s are 19 GB, 40 kB/s are 104 GB.
pub fn gb_month(kbit: [u64; 2]) -> f64 {
    BitsPerSec::from_kbit(kbit[0] + kbit[1]).bytes_in_month() as f64 / 1e9
}

fn slowest(devices: &[Trace], length: Nanos, setup: &SimulationConfig, tolerance: Nanos) -> Result<[u64; 2], Error> {
    Ok([
        slowest_in_direction(devices, length, setup, tolerance, Direction::Up)?,
        slowest_in_direction(devices, length, setup, tolerance, Direction::Down)?,
    ])
}

/// Zero if nothing goes that way.
fn slowest_in_direction(
    devices: &[Trace],
    length: Nanos,
    setup: &SimulationConfig,
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
        let setup = SimulationConfig { upload: rate, download: rate, limits: NO_LIMITS, ..*setup };
        let outcome = simulate(&home, &setup, |_| {})?;
        let whole = outcome.devices.iter().all(|device| device.delivered == device.sent);
        let worst = outcome.devices.iter().map(|device| device.delay_ms.mean).fold(0.0, f64::max);
        Ok(whole && worst <= tolerance.as_millis_f64())
    };
    // A faster line is never the slower one: the searched-for step parts those that do not fit from those that do.
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
            "simulating: even {} kbit/s {} do not keep the mean delay within {:.1} s; allow more with --tolerance",
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
    fn devices_that_seldom_talk_at_once_cost_little_more_than_the_neediest() {
        let seed = 21;
        println!("seed {seed}");
        let home = HomeTrace::synthetic(Nanos::from_secs(900), seed).0;
        let setup = SimulationConfig { seed, ..SimulationConfig::default() };
        let rows = home_size_rows(&home, &setup, Nanos::from_secs(2), |_, _| {}).unwrap();
        assert_eq!(rows.len(), home.devices.len());
        assert_eq!(rows[0].together_kbit, rows[0].alone_kbit);
        let last = rows.last().unwrap();
        let total = |kbit: [u64; 2]| kbit[0] + kbit[1];
        assert!(total(last.together_kbit) < total(last.sum_of_alone_kbit), "{rows:#?}");
        assert!(total(last.together_kbit) <= 2 * total(rows[0].together_kbit), "{rows:#?}");
        assert!(rows.windows(2).all(|pair| pair[0].alone_kbit.iter().sum::<u64>() >= pair[1].alone_kbit.iter().sum()));
    }

    #[test]
    fn a_tolerance_that_no_rate_meets_is_refused() {
        let home = HomeTrace::synthetic(Nanos::from_secs(60), 22).0;
        let error = home_size_rows(&home, &SimulationConfig::default(), Nanos(1), |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("--tolerance"), "{error}");
    }
}
