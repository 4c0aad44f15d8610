//! Measures whether an adversary on the wire can detect activity of the home, load on the router, or the effect of its
//! own packets.
//!
//! Two sources of packets: [`virtual_cases`] runs the engine for hours of virtual time, where only the law decides when
//! a cell leaves. [`InterleavedCapture`] holds the daemon's packets on an emulated machine in real time, where
//! conditions alternate within one capture. The attacks of [`super::distinguish`] compare each condition with an idle
//! home.

mod interleaved;
mod virtual_time;

#[cfg(test)]
mod tests;

pub use interleaved::InterleavedCapture;
pub use virtual_time::virtual_cases;

use serde::Serialize;

use super::distinguish::{Condition, DistinguishOptions, DistinguishReport, compare};
use super::error::Error;
use crate::law::Law;

/// An attack whose area under the curve (AUC) is above this has a real advantage over a blind guess (0.5).
pub const MAX_BLIND_AUC: f64 = 0.55;

/// With this many blocks the confidence intervals are narrow enough to separate 0.5 from [`MAX_BLIND_AUC`].
const MIN_BLOCKS: usize = 1_200;

/// The result of one attack on one condition.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The law's name.
    pub law: &'static str,
    /// Name of the condition that was compared with an idle home.
    pub condition: String,
    /// `virtual` or `emulated`.
    pub time: &'static str,
    /// Number of packets behind the guesses, both conditions together.
    pub packets: usize,
    /// Name of the attack.
    pub attack: String,
    /// Area under the curve: the probability that the attack ranks two samples correctly; 0.5 is a blind guess.
    pub auc: f64,
    /// Confidence interval (95 %) of `auc`.
    pub ci95: [f64; 2],
    /// Probability of an `auc` at least this far from 0.5 if the conditions are equal, corrected for all attacks and
    /// tests of this condition (Holm).
    pub p_corrected: f64,
}

/// The results of all attacks.
#[derive(Debug, Default, Serialize)]
pub struct AdversaryReport {
    /// Results in the order of the attacks.
    pub cases: Vec<Case>,
}

impl Case {
    /// Returns whether the confidence interval contains 0.5.
    pub fn is_blind(&self) -> bool {
        (self.ci95[0]..=self.ci95[1]).contains(&0.5)
    }
}

/// Compares a condition with an idle home. Fails if either has too few packets.
pub fn cases(
    law: Law,
    time: &'static str,
    (name, condition): (&str, &Condition),
    idle: &Condition,
    seed: u64,
) -> Result<Vec<Case>, Error> {
    let options = DistinguishOptions { seed, min_blocks: MIN_BLOCKS, ..DistinguishOptions::default() };
    let report = compare(["idle", name], idle, condition, options)?;
    let attacks = report.attacks.iter().filter_map(|attack| Some((&attack.name, attack.points.first()?)));
    let cases = attacks.map(|(attack, point)| Case {
        law: law.name(),
        condition: name.to_owned(),
        time,
        packets: point.packets,
        attack: attack.clone(),
        auc: point.area.auc,
        ci95: point.area.ci95,
        p_corrected: corrected_p(&report, attack),
    });
    Ok(cases.collect())
}

fn corrected_p(report: &DistinguishReport, attack: &str) -> f64 {
    let test = report.tests.iter().find(|test| test.name == format!("guesses, {attack}"));
    test.map_or(1.0, |test| test.p_corrected)
}
