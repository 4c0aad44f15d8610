//! The forward filter, and the divergence that it finds.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::density::IntervalDensity;
use super::grid::LatenessGrid;
use crate::law::Law;
use crate::law::sampler::IntervalSampler;
use crate::units::Nanos;

/// Added to every density, so that a departure that a model excludes does not make the divergence infinite.
const BACKGROUND: f64 = 1e-12;
/// Number of parts whose means give the standard error.
const BATCHES: usize = 50;
/// Resolution of simulated intervals.
const FINE_INTERVAL: Nanos = Nanos(1_000_000_000_000_000);

/// The distribution of the lateness under one condition: a Markov chain on the grid with the measured distribution and
/// the measured correlation of successive values.
pub(super) struct LatenessChain {
    weights: Vec<f64>,
    /// Probability that the next value comes from `links` instead of independently from `weights`.
    linked: f64,
    /// For each point the points that may follow it, with their probability: itself if successive values are alike,
    /// else those at the other end of the distribution.
    links: Vec<Vec<(usize, f64)>>,
}

/// Two conditions on one grid; the packets come from `truth`.
pub(super) struct ChainPair<'a> {
    pub grid: &'a LatenessGrid,
    pub density: &'a IntervalDensity,
    pub truth: &'a LatenessChain,
    pub other: &'a LatenessChain,
}

/// How fast the likelihood ratio of the best test grows under one condition.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Divergence {
    /// Mean logarithm of the likelihood ratio (Kullback and Leibler's divergence), in nats a packet.
    pub nats_per_packet: f64,
    /// Its standard error, from the finite simulation.
    pub standard_error: f64,
    /// Variance of the logarithm of the likelihood ratio, a packet.
    pub variance: f64,
}

impl LatenessChain {
    /// A distribution on `points` whose successive values have this correlation.
    pub fn new(points: &[f64], weights: Vec<f64>, correlation: f64) -> LatenessChain {
        let same = || (0..points.len()).map(|index| vec![(index, 1.0)]).collect();
        if correlation >= 0.0 {
            return LatenessChain { weights, linked: correlation.min(1.0), links: same() };
        }
        let links = opposite(&weights);
        let mean: f64 = points.iter().zip(&weights).map(|(point, weight)| point * weight).sum();
        let mut sums = [0.0; 2];
        for (index, links) in links.iter().enumerate() {
            let distance = weights[index] * (points[index] - mean);
            sums[0] += distance * (points[index] - mean);
            sums[1] += links.iter().map(|(next, share)| distance * share * (points[*next] - mean)).sum::<f64>();
        }
        let least = if sums[0] > 0.0 { sums[1] / sums[0] } else { -1.0 };
        let linked = if least < 0.0 { (correlation / least).min(1.0) } else { 0.0 };
        LatenessChain { weights, linked, links }
    }

    fn draw(&self, last: Option<usize>, rng: &mut ChaCha8Rng) -> usize {
        let pick = |shares: &mut dyn Iterator<Item = (usize, f64)>, mut left: f64| {
            let mut chosen = 0;
            for (index, share) in shares.filter(|(_, share)| *share > 0.0) {
                chosen = index;
                left -= share;
                if left < 0.0 {
                    break;
                }
            }
            chosen
        };
        let (is_linked, left) = (rng.random::<f64>() < self.linked, rng.random::<f64>());
        match last.filter(|_| is_linked) {
            Some(last) => pick(&mut self.links[last].iter().copied(), left),
            None => pick(&mut self.weights.iter().copied().enumerate(), left),
        }
    }
}

/// The coupling that puts the largest values after the smallest.
fn opposite(weights: &[f64]) -> Vec<Vec<(usize, f64)>> {
    let mut left = weights.to_vec();
    let mut next = weights.len() - 1;
    let mut links = vec![Vec::new(); weights.len()];
    for (index, weight) in weights.iter().enumerate() {
        let mut open = *weight;
        while open > 1e-15 {
            let share = open.min(left[next]);
            if share > 0.0 {
                links[index].push((next, share / weight));
            }
            open -= share;
            left[next] -= share;
            if left[next] <= 1e-15 {
                if next == 0 {
                    break;
                }
                next -= 1;
            }
        }
    }
    links
}

/// What a filter knows: the distribution of the present lateness, given all departures so far.
struct Belief<'a> {
    condition: &'a LatenessChain,
    weights: Vec<f64>,
    next: Vec<f64>,
}

impl<'a> Belief<'a> {
    fn new(condition: &'a LatenessChain) -> Belief<'a> {
        Belief { condition, weights: condition.weights.clone(), next: vec![0.0; condition.weights.len()] }
    }

    /// Takes in an interval, whose density is `shifted[i * points + j]` if the lateness goes from point i to j. Returns
    /// the density of that interval before it was seen.
    fn update(&mut self, shifted: &[f64]) -> f64 {
        let Belief { condition, weights, next } = self;
        let count = weights.len();
        next.fill(0.0);
        for (before, row) in weights.iter().zip(shifted.chunks_exact(count)) {
            next.iter_mut().zip(row).for_each(|(next, density)| *next += before * density);
        }
        let free = 1.0 - condition.linked;
        next.iter_mut().zip(&condition.weights).for_each(|(next, weight)| *next *= free * weight);
        if condition.linked > 0.0 {
            for (index, links) in condition.links.iter().enumerate() {
                for (to, share) in links {
                    next[*to] += condition.linked * weights[index] * share * shifted[index * count + to];
                }
            }
        }
        let density: f64 = next.iter().sum();
        if density > 0.0 {
            next.iter_mut().for_each(|next| *next /= density);
            std::mem::swap(weights, next);
        } else {
            weights.copy_from_slice(&condition.weights);
        }
        density
    }
}

/// Simulates packets under the true condition, and lets both filters follow them.
///
/// The mean of ln(p/q) is that of r - 1 - ln r with r = q/p, because r has mean 1 whatever came before. No term of the
/// second is negative, so a tiny divergence needs no more packets than a large one. Whichever varies less is used.
pub(super) fn divergence(model: &ChainPair<'_>, law: (Law, u8), packets: usize, seed: u64) -> Divergence {
    let ChainPair { grid, density, truth, other } = *model;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sampler = IntervalSampler::new(law.0, law.1);
    let [mut true_belief, mut other_belief] = [truth, other].map(Belief::new);
    let points = &grid.points;
    let mut shifted = vec![0.0; points.len() * points.len()];
    let mut last = truth.draw(None, &mut rng);
    let (mut plain, mut paired, mut squares) = (Batches::new(packets), Batches::new(packets), 0.0);
    for _ in 0..packets {
        let lateness = truth.draw(Some(last), &mut rng);
        let drawn = sampler.draw(FINE_INTERVAL, &mut rng).0 as f64 / FINE_INTERVAL.0 as f64;
        let interval = drawn + points[lateness] - points[last];
        last = lateness;
        for (row, before) in shifted.chunks_exact_mut(points.len()).zip(points) {
            row.iter_mut().zip(points).for_each(|(cell, after)| *cell = density.at(interval - after + before));
        }
        let p = true_belief.update(&shifted) + BACKGROUND;
        let q = other_belief.update(&shifted) + BACKGROUND;
        let excess = (q - p) / p;
        let logarithm = -excess.ln_1p();
        plain.add(logarithm);
        paired.add(excess + logarithm);
        squares += logarithm * logarithm;
    }
    let (plain, paired) = (plain.result(), paired.result());
    let (mean, standard_error) = if paired.1 <= plain.1 { paired } else { plain };
    let variance = (squares / packets as f64 - mean * mean).max(0.0);
    Divergence { nats_per_packet: mean.max(0.0), standard_error, variance }
}

/// Means of successive parts.
struct Batches {
    length: usize,
    sums: Vec<f64>,
    count: usize,
}

impl Batches {
    fn new(total: usize) -> Batches {
        Batches { length: total.div_ceil(BATCHES).max(1), sums: Vec::new(), count: 0 }
    }

    fn add(&mut self, value: f64) {
        if self.count % self.length == 0 {
            self.sums.push(0.0);
        }
        if let Some(sum) = self.sums.last_mut() {
            *sum += value;
        }
        self.count += 1;
    }

    /// The mean and its standard error.
    fn result(&self) -> (f64, f64) {
        let mean = self.sums.iter().sum::<f64>() / self.count.max(1) as f64;
        let batches = self.sums.len().max(2) as f64;
        let squares: f64 = self.sums.iter().map(|sum| (sum / self.length as f64 - mean).powi(2)).sum();
        (mean, (squares / (batches - 1.0) / batches).sqrt())
    }
}
