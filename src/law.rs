//! Everything about a law: how the intervals between departures are drawn (design: "Law").
//!
//! To add a law, add a variant of [`Law`] and an entry in [`Law::ALL`]; the compiler then names the rest that is
//! missing in this file. `tests/law.rs` names the lists outside Rust that lack the new law.

mod quantiles;
pub mod sampler;

use std::fmt;
use std::ops::RangeInclusive;

use crate::units::Nanos;

/// Rate at which cells of both kinds are fed to the queue discipline under the law `kernel`, in percent of the rate at
/// which the queue discipline releases them. It is above 100 so that a cell is always ready.
const KERNEL_FEED_PERCENT: u64 = 125;

/// Most cells in a train: what one segment list of the kernel holds (`UDP_MAX_SEGMENTS` up to Linux 6.8).
pub const MAX_TRAIN: u8 = 64;

/// Departures are at least this far apart in the mean. At shorter intervals the timer's own lateness shows.
pub const MIN_INTERVAL: Nanos = Nanos::from_micros(100);

/// Departures are at most this far apart in the mean.
pub const MAX_INTERVAL: Nanos = Nanos::from_secs(60);

/// If the settings give no train, it has so many cells that trains are at least this far apart.
const TRAIN_INTERVAL: Nanos = Nanos::from_micros(500);

/// Steps in which a density is integrated, from zero to [`INTEGRATION_END`].
const INTEGRATION_STEPS: usize = 4_096;

/// Upper end of the integral, in mean intervals: less than 3e-6 of a law's probability is beyond it.
const INTEGRATION_END: f64 = 4.0;

/// How the intervals between departures are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Law {
    /// Gamma distribution: mean T, shape 1/spread².
    #[default]
    Gamma,
    /// Normal distribution without what is not positive; the paper's figure 7.
    Normal,
    /// Every interval equals the mean T.
    Constant,
    /// The paper's method: cells of both kinds wait in the PRIO bands, and HTB paces them.
    Kernel,
}

/// The properties of a law other than its distribution.
struct Traits {
    name: &'static str,
    number: u8,
    spread_range: RangeInclusive<u8>,
    default_spread: u8,
    smooth: bool,
    paced_by_kernel: bool,
}

impl Law {
    /// All laws, in the order in which the documentation lists them.
    pub const ALL: [Law; 4] = [Law::Gamma, Law::Normal, Law::Constant, Law::Kernel];

    const fn traits(self) -> Traits {
        match self {
            Law::Gamma => Traits {
                name: "gamma",
                number: 0,
                spread_range: 5..=40,
                default_spread: 33,
                smooth: true,
                paced_by_kernel: false,
            },
            Law::Normal => Traits {
                name: "normal",
                number: 1,
                spread_range: 5..=20,
                default_spread: 15,
                smooth: true,
                paced_by_kernel: false,
            },
            Law::Constant => Traits {
                name: "constant",
                number: 2,
                spread_range: 0..=40,
                default_spread: 0,
                smooth: false,
                paced_by_kernel: false,
            },
            Law::Kernel => Traits {
                name: "kernel",
                number: 3,
                spread_range: 0..=40,
                default_spread: 0,
                smooth: false,
                paced_by_kernel: true,
            },
        }
    }

    /// The law's name in settings and reports.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// The law with that name.
    pub fn from_name(name: &str) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }

    /// The law's number in control messages; it never changes.
    pub const fn number(self) -> u8 {
        self.traits().number
    }

    /// The law with that number.
    pub fn from_number(number: u8) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.number() == number)
    }

    /// The standard deviations that the settings may contain, in percent of the mean interval. A law without a spread
    /// accepts a value that the settings still hold from another law.
    pub const fn spread_range(self) -> RangeInclusive<u8> {
        self.traits().spread_range
    }

    /// The standard deviation used if the settings give none, in percent of the mean interval; 0 for a law without a
    /// spread.
    pub const fn default_spread(self) -> u8 {
        self.traits().default_spread
    }

    /// Whether the spread changes the intervals.
    pub const fn has_spread(self) -> bool {
        self.default_spread() > 0
    }

    /// Whether the density is smooth everywhere, also at zero. Only a smooth law hides the system's jitter and makes
    /// busy and idle homes look alike (design: "Law").
    pub const fn is_smooth(self) -> bool {
        self.traits().smooth
    }

    /// Whether HTB decides when a cell leaves. The engine then feeds cells to HTB faster than HTB releases them.
    pub const fn paced_by_kernel(self) -> bool {
        self.traits().paced_by_kernel
    }

    /// The number of cells that leave together, if single cells would be `cell_interval` apart in the mean: `wanted`,
    /// and if there is none, as few as keep trains half a millisecond apart. At most [`MAX_TRAIN`], and no more than
    /// keep trains within [`MAX_INTERVAL`]. HTB paces single cells.
    pub fn train(self, wanted: Option<u8>, cell_interval: Nanos) -> u8 {
        let interval = cell_interval.0.max(1);
        if self.paced_by_kernel() {
            return 1;
        }
        let train = wanted.map_or(TRAIN_INTERVAL.0.div_ceil(interval), u64::from);
        train.min(MAX_INTERVAL.0 / interval).clamp(1, MAX_TRAIN.into()) as u8
    }

    /// The law that gives the same intervals on the wire without HTB's pacing. HTB's intervals are all equal.
    pub const fn without_kernel_pacing(self) -> Law {
        if self.paced_by_kernel() { Law::Constant } else { self }
    }

    /// The density at `x` mean intervals, up to a factor; `None` for a law without a density.
    pub fn density(self, spread_percent: u8, x: f64) -> Option<f64> {
        let spread = fraction(spread_percent);
        match self {
            Law::Gamma => {
                let shape = 1.0 / (spread * spread);
                // Computed from the logarithm: powers of a narrow gamma's shape overflow.
                Some(((shape - 1.0) * x.ln() - shape * (x - 1.0)).exp())
            }
            Law::Normal => Some((-0.5 * ((x - 1.0) / spread).powi(2)).exp()),
            Law::Constant | Law::Kernel => None,
        }
    }

    /// What an interval reveals of its neighbours' lateness and of a missed slot, compared with `normal`; see
    /// [`crate::core::lateness`]. The first number scales variances of the lateness, the second squares of the share of
    /// missed slots. `None` for a law without a smooth density.
    pub fn exposure(self, spread_percent: u8) -> Option<[f64; 2]> {
        let variance = fraction(spread_percent) * fraction(spread_percent);
        match self {
            // With shape k = 1 / variance: the mean of (g/f) under g, the density of the sum of two intervals, is
            // Γ(k) Γ(3k) / Γ(2k)² = 1.155 (27/16)^k.
            Law::Gamma => Some([1.0 / (1.0 - 4.0 * variance), 1.2 * (0.523_25 / variance).exp()]),
            // More than exp(1 / 20 %²): a missed slot is always seen.
            Law::Normal => Some([1.0, 1e10]),
            Law::Constant | Law::Kernel => None,
        }
    }

    /// The `N` bounds between `N + 1` ranges of equal probability, in mean intervals, found by integrating the density;
    /// `None` for a law without a density.
    pub fn quantiles<const N: usize>(self, spread_percent: u8) -> Option<[f64; N]> {
        let density = |step: usize| {
            self.density(spread_percent, (step as f64 + 0.5) * INTEGRATION_END / INTEGRATION_STEPS as f64)
        };
        let total = (0..INTEGRATION_STEPS).map(density).sum::<Option<f64>>()?;
        let mut bounds = [0.0; N];
        let (mut sum, mut step) = (0.0, 0);
        for (index, bound) in bounds.iter_mut().enumerate() {
            let target = total * (index + 1) as f64 / (N + 1) as f64;
            let mut current = density(step)?;
            while sum + current < target && step + 1 < INTEGRATION_STEPS {
                sum += current;
                step += 1;
                current = density(step)?;
            }
            *bound = (step as f64 + (target - sum) / current.max(f64::MIN_POSITIVE)) * INTEGRATION_END
                / INTEGRATION_STEPS as f64;
        }
        Some(bounds)
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A spread as a part of the mean interval; 0 counts as 1 %, because draws and densities divide by it.
fn fraction(spread_percent: u8) -> f64 {
    f64::from(spread_percent.max(1)) / 100.0
}
