//! The numbers that are followed from commit to commit.

mod delay;
mod endpoint_load;
mod measured;
mod sparse;

#[cfg(test)]
mod tests;

pub use delay::{Arrangement, DelayRow, HOME, RATES_KBIT, SMALL_DEVICES, delays};
pub use endpoint_load::{EndpointLoadRow, endpoint_load};
pub use measured::{Footprint, fixed_hour_cells, instructions};
pub use sparse::{SparseRow, sparse};

use serde::Serialize;

/// Everything that `make bench` measures. What could not be measured is `null` or empty.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Simulated delay of a home, millpond's against the paper's.
    pub delay: Vec<DelayRow>,
    /// The same under other conventions: millpond's queue bounded, and the VPN's headers forgiven to the paper.
    pub delay_variants: Vec<DelayRow>,
    /// Of one cell, building and taking apart, in the fixed simulated hour.
    pub instructions_per_cell: Option<f64>,
    /// Size of the router's program.
    pub binary_bytes: Option<u64>,
    /// Resident memory of the router's daemon in the laboratory.
    pub rss_kb: Option<f64>,
    /// Of it, anonymous.
    pub anon_kb: Option<f64>,
    /// Delay of a sparse stream in the laboratory.
    pub sparse: Vec<SparseRow>,
    /// What homes cost an endpoint, without cryptography.
    pub endpoint: Vec<EndpointLoadRow>,
    /// Whether the home was captured or made up.
    pub home: &'static str,
}
