//! The shaping engine, sans-IO: no socket, no clock, no system randomness.
//!
//! [`Engine`] is one direction out and one direction in of one tunnel. Two drivers run it, the daemon and the
//! laboratory's simulator, so that what is simulated is what runs.
//!
//! ```text
//! handle_packet -> queue -> packer -> poll_transmit        (out; moments come from schedule alone)
//! handle_cell -> reorder -> reassembler -> poll_packet     (in)
//! ```

pub mod audit;
mod backlog;
mod engine;
mod histogram;
mod load;
mod packer;
mod packet_pool;
mod params;
mod queue;
mod reassembler;
mod reorder;
mod schedule;
mod stats;
pub mod what_if;

pub use engine::{CellKind, Engine, Transmit, Wake};
pub use histogram::Histogram;
pub use params::{Limits, Pace, Params};
pub use stats::{DeviceStats, Drops, Stats};

/// Devices that are told apart, number 0 ("unknown") included: the range of DSCP.
pub const DEVICES: usize = 64;
