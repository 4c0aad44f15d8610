//! Benchmarks that are tracked from commit to commit.

mod delay;
mod device_scale;
pub mod endpoint_load;
mod gateway;
mod measured;
mod sparse;

#[cfg(test)]
mod tests;

pub use delay::{Arrangement, DelayRow, HOME, RATES_KBIT, SMALL_DEVICES, delays};
pub use device_scale::device_scale;
pub use endpoint_load::{EndpointLoadRow, endpoint_load};
pub use gateway::{GatewayLoad, GatewayReport, gateway};
pub use measured::{Footprint, fixed_hour_cells, instructions};
pub use sparse::{SparseRow, sparse};

use serde::Serialize;

/// The results of `make bench`. A value that could not be measured is `null` or empty.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    /// Simulated delay of a home under millpond and under the paper's arrangement.
    pub delay: Vec<DelayRow>,
    /// The same under other conventions: with millpond's queue bounded, and without counting the VPN's headers in the
    /// paper's arrangement.
    pub delay_variants: Vec<DelayRow>,
    /// Instructions to build and parse one cell, in the fixed simulated hour.
    pub instructions_per_cell: Option<f64>,
    /// Size of the router's program in bytes.
    pub binary_bytes: Option<u64>,
    /// Resident memory of the router's daemon in the laboratory, in KiB.
    pub rss_kb: Option<f64>,
    /// Anonymous part of the resident memory, in KiB.
    pub anon_kb: Option<f64>,
    /// Delay of a sparse stream in the laboratory.
    pub sparse: Vec<SparseRow>,
    /// Load of an endpoint by its number of homes, without cryptography.
    pub endpoint: Vec<EndpointLoadRow>,
    /// What a packet and a change of the settings cost by the number of devices.
    pub devices: Option<serde_json::Value>,
    /// A fast flat line with the traffic of many devices, without cryptography.
    pub gateway: Option<GatewayReport>,
    /// `captured` or `synthetic`: the source of the home's traces.
    pub home: &'static str,
}
