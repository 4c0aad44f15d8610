//! Everything about a law: how the intervals between departures are made (design: "Law").
//!
//! A further law is a variant of [`Law`], an entry in [`Law::ALL`], and what the compiler then misses in this file.
//! `tests/law.rs` says which lists outside Rust lack it.

use std::fmt;
use std::ops::RangeInclusive;

/// How the intervals between departures are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Law {
    /// Gamma distribution: mean T, shape 1/spread².
    #[default]
    Gamma,
    /// Normal distribution, redrawn until positive; the paper's figure 7.
    Normal,
    /// Always T.
    Constant,
    /// The paper's own way: cells of both kinds stand ready in the PRIO bands and HTB paces them.
    Kernel,
}

/// What distinguishes a law, apart from its distribution.
struct Traits {
    name: &'static str,
    number: u8,
    spread_range: RangeInclusive<u8>,
    default_spread: u8,
}

impl Law {
    /// All laws, in the order of the documentation.
    pub const ALL: [Law; 4] = [Law::Gamma, Law::Normal, Law::Constant, Law::Kernel];

    const fn traits(self) -> Traits {
        match self {
            Law::Gamma => Traits { name: "gamma", number: 0, spread_range: 5..=40, default_spread: 33 },
            Law::Normal => Traits { name: "normal", number: 1, spread_range: 5..=20, default_spread: 15 },
            Law::Constant => Traits { name: "constant", number: 2, spread_range: 0..=40, default_spread: 0 },
            Law::Kernel => Traits { name: "kernel", number: 3, spread_range: 0..=40, default_spread: 0 },
        }
    }

    /// The name in settings and reports.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// The law of that name.
    pub fn from_name(name: &str) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }

    /// The number in control messages; it never changes.
    pub const fn number(self) -> u8 {
        self.traits().number
    }

    /// The law of that number.
    pub fn from_number(number: u8) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.number() == number)
    }

    /// The standard deviations that settings may ask for, in percent of the mean interval. A law without a spread accepts
    /// one that was left in the settings from another law.
    pub const fn spread_range(self) -> RangeInclusive<u8> {
        self.traits().spread_range
    }

    /// The standard deviation in percent of the mean interval where the settings give none; 0 for a law without a spread.
    pub const fn default_spread(self) -> u8 {
        self.traits().default_spread
    }

    /// Whether the spread changes the intervals.
    pub const fn has_spread(self) -> bool {
        self.default_spread() > 0
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
