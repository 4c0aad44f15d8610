//! The adversary's record: can he tell from the line what the home, the router or he himself is doing?
//!
//! Two halves. [`virtual_cases`] has hours of the engine in virtual time, where nothing but the law can decide when a cell
//! leaves; [`Turns`] has the daemon on an emulated machine in real time, its conditions taking turns within one capture.
//! Each condition is compared with an idle home by the attacks of [`super::distinguish`].

mod turns;
mod virtual_time;

#[cfg(test)]
mod tests;

pub use turns::Turns;
pub use virtual_time::virtual_cases;

use serde::Serialize;

use super::distinguish::{Condition, Options, Report, compare};
use super::error::Error;
use crate::units::Law;

/// An adversary who is right more often than this knows something.
pub const WORRYING: f64 = 0.55;

/// Blocks enough for intervals that tell 0.5 from [`WORRYING`].
const ENOUGH_BLOCKS: usize = 1_200;

/// One attack on one condition.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The law's name.
    pub law: &'static str,
    /// What was told from an idle home.
    pub condition: String,
    /// `virtual` or `emulated`.
    pub time: &'static str,
    /// Packets that guesses were made about, of both conditions together.
    pub packets: usize,
    /// What was looked at.
    pub attack: String,
    /// How often the guesses were right: 0.5 is blind.
    pub auc: f64,
    /// Holds the true value with a probability of 95 %.
    pub ci95: [f64; 2],
    /// Probability of a value so far from 0.5 if there were nothing to see, corrected for all attacks and tests of this
    /// condition (Holm).
    pub p_corrected: f64,
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// In the order in which they were made.
    pub cases: Vec<Case>,
}

impl Case {
    /// Whether the interval holds 0.5.
    pub fn is_blind(&self) -> bool {
        (self.ci95[0]..=self.ci95[1]).contains(&0.5)
    }
}

/// Compares a condition with an idle home.
pub fn cases(
    law: Law,
    time: &'static str,
    (name, condition): (&str, &Condition),
    idle: &Condition,
    seed: u64,
) -> Result<Vec<Case>, Error> {
    let options = Options { seed, enough_blocks: ENOUGH_BLOCKS, ..Options::default() };
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
        p_corrected: p_of(&report, attack),
    });
    Ok(cases.collect())
}

fn p_of(report: &Report, attack: &str) -> f64 {
    let test = report.tests.iter().find(|test| test.name == format!("guesses, {attack}"));
    test.map_or(1.0, |test| test.p_corrected)
}
