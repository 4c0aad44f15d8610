//! When did somebody use a device? The paper's section 5.2: changes in a device's traffic, scored against what is known
//! to have happened.

mod detect;
mod labels;
mod report;
mod score;

#[cfg(test)]
mod tests;

pub use detect::{Detector, Onset};
pub use labels::{Case, Label, cases, synthetic_cases};
pub use report::{draw, draw_trace, print_onsets, print_results};
pub use score::{Outcome, Pooled, pooled, score};
