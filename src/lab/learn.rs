//! The few learning methods that the adversary uses, deterministic from a seed.
//!
//! The forest is the project's own: the well-known crates give a class but no share of votes, which an area under
//! the curve needs, and search every value of every feature for a split, too slow for a million packets.

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
