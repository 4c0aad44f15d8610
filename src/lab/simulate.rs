//! The real engines in virtual time: a home's traces in, delays, drops and the provider's view out.
//!
//! Two engines stand at the two ends of the tunnel. Every cell that one sends is handed to the other, which puts the
//! packets together again; a packet counts as delivered only if it arrives with every byte as it was sent.

mod driver;
mod packet;
pub mod paper;
mod result;
pub mod whole_home;
pub mod wire;

#[cfg(test)]
mod tests;

pub use driver::{SentCell, simulate};
pub use result::{DeviceResult, DirectionResult, SimulationResult};

use super::error::Error;
use super::trace::Direction;
use crate::core::{DEVICES, Limits, Pace, Params};
use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::size::{CellSize, Encapsulation, IpVersion};

/// Devices that a simulated home can have; number 0 means "unknown" to the engine.
pub const MAX_DEVICES: usize = DEVICES - 1;

/// A queue in which nothing is ever dropped: a dropped packet would have no delay.
pub const NO_LIMITS: Limits = Limits { bytes: Limits::MAX_BYTES, age: Nanos::from_secs(3600) };

/// What the tunnel is set to, and what the path between its ends does.
#[derive(Clone, Copy, Debug)]
pub struct SimulationConfig {
    /// How intervals are drawn, at both ends.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// Router to endpoint, on the wire.
    pub upload: BitsPerSec,
    /// Endpoint to router, on the wire.
    pub download: BitsPerSec,
    /// The most bytes of one cell on the wire, WireGuard over IPv4.
    pub cell_bytes: usize,
    /// Bounds of each end's queue.
    pub limits: Limits,
    /// How long before its departure a cell is built.
    pub lead: Nanos,
    /// From one end to the other.
    pub path_delay: Nanos,
    /// Part of the cells that the path loses, 0..=1.
    pub loss: f64,
    /// All randomness follows from it.
    pub seed: u64,
}

impl Default for SimulationConfig {
    /// The settings' defaults on a path without delay or loss.
    fn default() -> SimulationConfig {
        SimulationConfig {
            law: Law::Gamma,
            spread_percent: 33,
            upload: BitsPerSec::from_kbit(160),
            download: BitsPerSec::from_kbit(320),
            cell_bytes: 512,
            limits: Limits::default(),
            lead: Nanos::ZERO,
            path_delay: Nanos::ZERO,
            loss: 0.0,
            seed: 1,
        }
    }
}

impl SimulationConfig {
    /// The cell in force.
    pub fn cell(&self) -> Result<CellSize, Error> {
        Encapsulation::wireguard(IpVersion::V4).largest_cell(self.cell_bytes).ok_or_else(|| {
            Error::Request(format!("simulating: no cell fits {} bytes on the wire; try 512", self.cell_bytes))
        })
    }

    /// The rate of one direction.
    pub fn rate(&self, direction: Direction) -> BitsPerSec {
        match direction {
            Direction::Up => self.upload,
            Direction::Down => self.download,
        }
    }

    /// The parameters of the engine that sends in that direction.
    pub fn params(&self, direction: Direction) -> Result<Params, Error> {
        let cell = self.cell()?;
        let rate = self.rate(direction);
        if rate.0 == 0 {
            return Err(Error::Request(format!("simulating: a rate of zero {}", direction.name())));
        }
        Ok(Params {
            payload_bytes: cell.payload_bytes,
            pace: Pace::new(self.law, self.spread_percent, rate, cell),
            lead: self.lead,
            limits: self.limits,
        })
    }
}
