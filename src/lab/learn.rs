//! The machine learning methods of the adversary, deterministic for a seed.
//!
//! The random forest is the project's own, because the well-known crates predict a class but no share of votes, which
//! an area under the curve needs. They also try every value of every feature as a split, which is too slow for a
//! million packets.

mod dataset;
mod forest;
mod neighbours;
mod scores;
mod split;

#[cfg(test)]
mod tests;

pub use dataset::Dataset;
pub use forest::{ForestParams, RandomForest};
pub use neighbours::nearest_class;
pub use scores::Scores;
pub use split::{by_group, stratified};
