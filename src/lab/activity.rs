//! Infers when devices were used (the paper's section 5.2): detects changes in a device's traffic rate and scores them
//! against labelled events.

mod detect;
mod labels;
mod report;
mod score;

#[cfg(test)]
mod tests;

pub use detect::{Detector, Onset, SampledTraffic, TrafficSample};
pub use labels::{Label, LabelledCapture, labelled_captures, synthetic_captures};
pub use report::{draw, draw_trace, print_onsets, print_results};
pub use score::{DetectionScore, PooledScore, pool_by_kind, score, score_traffic};
