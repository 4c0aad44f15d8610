//! How long a provider must watch departures before their lateness can reveal anything.
//!
//! A cell leaves at S + L. The law draws S and never sees traffic; the lateness L is the host's. Let f be the law's
//! density, σ² its variance, v the variance of L, and suppose that successive L do not depend on each other. The
//! observer sees intervals X + L' - L, with X of density f. Compared with a host whose L never varies, the first term
//! in which the whole sequence differs is the covariance of L' - L: a constant lateness cannot be seen.
//!
//! So the chi-squared divergence of n intervals from that perfect host is at most exp(n κ v²) - 1. The leading term of
//! κ is the mean of (f''/f)² plus the square of the mean of (f'/f)²: 3/σ⁴ for `normal`, and for `gamma` 3.2/σ⁴ times
//! the square of the first number of [`Law::exposure`](crate::law::Law::exposure). Twice as much covers the higher
//! terms while L stays within σ/2. For `normal` that is proven term by term (the page on measurements has the steps),
//! for `gamma` a test integrates it.
//!
//! Half the square root of the divergence bounds the distance from the perfect host (total variation), and two homes
//! are as far apart as both are from it. Two homes that a test tells apart with an error of 10 % are 0.8 apart, so one
//! of them is 0.4 away: 0.3 of it for what the intervals hide, and 0.1 for cells that count as seen. Those are cells
//! later than σ/2, cells whose interval was so short that it may have ended before the lateness began, and missed slots
//! if intervals hide them worse.

use super::params::Pace;
use super::stats::Stats;

/// With m the mean of (2 L / σ)², κ v² is at most this times m²: twice 3.2/16.
const GROWTH: f64 = 0.4;
/// ln(1 + (2 · 0.3)²): the divergence at which the distance from a perfect host is 0.3.
const HIDDEN_DIVERGENCE: f64 = 0.307;
/// The distance that is left for cells that count as seen.
const SEEN_DISTANCE: f64 = 0.1;
/// This times the sixth power of a length in σ, up to 1, is at least twice the share of intervals that are shorter. The
/// widest law, `gamma` with 40 %, comes near it. Twice, because a lateness moves two intervals. Left out: `normal` ends
/// at zero with an edge, at a spread of 20 % three intervals in ten million from it, at 15 % one in a hundred thousand
/// million.
const SHORT: f64 = 0.25;
/// Fewer departures say nothing about the lateness.
const MIN_DEPARTURES: u64 = 1_000;
/// Fewer departures of one kind say nothing about that kind.
const MIN_OF_KIND: f64 = 100.0;
/// No claim reaches further: the host will not stay the same for longer.
const MAX_DAYS: f64 = 3_650.0;

/// The least number of days for which anyone must watch departures at `pace` to tell a busy home from an idle one in
/// nine of ten cases, if the host stays as late as it was. Covers every random mixture of cells with and without data.
/// At most ten years; `None` for a law that hides no lateness, and before 1000 departures.
pub fn min_watch_days(pace: Pace, stats: &Stats) -> Option<f64> {
    let [of_variance, of_missed] = pace.law.exposure(pace.spread_percent)?;
    let (all, data) = (&stats.lateness, &stats.data_lateness);
    if all.count() < MIN_DEPARTURES {
        return None;
    }
    let (mean, interval) = (all.mean().0 as f64, pace.mean.0 as f64);
    let reach = interval * f64::from(pace.spread_percent) / 200.0;
    // Of data and of cover cells: their number, how many count as seen, and the squares of the others' lateness.
    let mut sums = [[0.0; 3]; 2];
    for (late, [all, data]) in all.counts_beside(data) {
        let late = late.0 as f64;
        // A bucket reaches a sixteenth of its middle to each side.
        let distance = ((late - mean).abs() + late / 16.0) / reach;
        let square = distance * distance;
        // An interval shorter than twice the distance may be too short, because the neighbour may be as late.
        let shares = if square > 1.0 { [1.0, 1.0, 0.0] } else { [1.0, SHORT * square * square * square, square] };
        for (sums, count) in sums.iter_mut().zip([data, all - data]) {
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += f64::from(count) * share;
            }
        }
    }
    let missed = stats.slots_missed as f64 / all.count() as f64;
    let hidden = of_missed * missed * missed / HIDDEN_DIVERGENCE;
    let seen = missed / SEEN_DISTANCE;
    let missed = if hidden < seen { hidden } else { seen };
    // The part of the distance that a cell uses up. A day has 86.4e12 ns.
    let days_per_cell = interval / 86.4e12;
    let mut cost = days_per_cell / MAX_DAYS;
    for [count, seen, squares] in sums {
        let variance = of_variance * squares / count;
        let of_kind = variance * variance * (GROWTH / HIDDEN_DIVERGENCE) + seen / count / SEEN_DISTANCE + missed;
        if count >= MIN_OF_KIND && of_kind > cost {
            cost = of_kind;
        }
    }
    Some(days_per_cell / cost)
}

#[cfg(test)]
mod tests;
