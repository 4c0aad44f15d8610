//! Simulates a tunnel with the real engines in virtual time. The input is the traces of a home, the output delays,
//! drops and the provider's view.
//!
//! An engine at each end of the tunnel hands its cells to the other one, which reassembles the packets. A packet
//! counts as delivered only if every byte arrives unaltered.

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
use crate::core::burst::BurstParams;
use crate::core::{Limits, Pace, Params};
use crate::law::Law;
use crate::units::{BitsPerSec, DSCP_NUMBERS, Nanos};
use crate::wire::size::{CellSize, Encapsulation, IpVersion};

/// Maximum number of devices in a simulated home; the engine uses device number 0 for "unknown".
pub const MAX_DEVICES: usize = DSCP_NUMBERS as usize;

/// Queue limits that never drop a packet, because a dropped packet would have no delay.
pub const NO_LIMITS: Limits = Limits { bytes: Limits::MAX_BYTES, age: Nanos::from_secs(3600) };

/// The settings of the tunnel, and the properties of the path between its ends.
#[derive(Clone, Copy, Debug)]
pub struct SimulationConfig {
    /// The law of the intervals at both ends.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// Rate from router to endpoint, on the wire.
    pub upload: BitsPerSec,
    /// Rate from endpoint to router, on the wire.
    pub download: BitsPerSec,
    /// Maximum size of a cell on the wire, with WireGuard over IPv4.
    pub cell_bytes: usize,
    /// Cells in each train; `None` if the rate decides.
    pub train: Option<u8>,
    /// Slots of a higher rate for some devices.
    pub bursts: Option<BurstParams>,
    /// Limits of the queue at each end.
    pub limits: Limits,
    /// Time between building a cell and its departure.
    pub lead: Nanos,
    /// One-way delay of the path.
    pub path_delay: Nanos,
    /// Share of the cells that the path loses, 0..=1.
    pub loss: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for SimulationConfig {
    /// The default settings on a path without delay or loss.
    fn default() -> SimulationConfig {
        SimulationConfig {
            law: Law::Gamma,
            spread_percent: 33,
            upload: BitsPerSec::from_kbit(160),
            download: BitsPerSec::from_kbit(320),
            cell_bytes: 512,
            train: None,
            bursts: None,
            limits: Limits::default(),
            lead: Nanos::ZERO,
            path_delay: Nanos::ZERO,
            loss: 0.0,
            seed: 1,
        }
    }
}

impl SimulationConfig {
    /// The largest cell that fits `cell_bytes`. An error if none does.
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

    /// Cells in each train of one direction. An error if no cell fits.
    pub fn train(&self, direction: Direction) -> Result<u8, Error> {
        let rate = BitsPerSec(self.rate(direction).0.max(1));
        Ok(self.law.train(self.train, rate.interval(self.cell()?.wire_bytes)))
    }

    /// The parameters of the engine that sends in a direction. An error for a rate of zero.
    pub fn params(&self, direction: Direction) -> Result<Params, Error> {
        let cell = self.cell()?;
        let rate = self.rate(direction);
        if rate.0 == 0 {
            return Err(Error::Request(format!(
                "simulating: the rate {} is zero; it must be at least 1 bit/s",
                direction.name()
            )));
        }
        Ok(Params {
            payload_bytes: cell.payload_bytes,
            pace: Pace::of_trains(self.law, self.spread_percent, rate, cell.wire_bytes, self.train(direction)?),
            lead: self.lead,
            limits: self.limits,
        })
    }
}
