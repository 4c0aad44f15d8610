//! The shaping engine, sans-IO: it uses no socket, no clock and no system randomness.
//!
//! An [`Engine`] is one end of a tunnel: it builds the cells to the peer and unpacks the cells from the peer. The
//! daemon and the laboratory's simulator drive the same engine, so a simulation runs the code that a router runs.
//!
//! ```text
//! handle_packet -> queue -> packer -> poll_transmit        (out; departure times come from the schedule alone)
//! handle_cell -> reorder -> reassembler -> poll_packet     (in)
//! ```

pub mod audit;
pub mod burst;
pub mod device_map;
mod engine;
mod histogram;
pub mod lateness;
mod packer;
mod params;
mod queue;
pub mod quotes;
mod reassembler;
mod reorder;
mod schedule;
mod stats;
pub mod what_if;

pub use engine::{CellKind, Engine, Transmit, Wake};
pub use histogram::Histogram;
pub use params::{Limits, Pace, Params};
pub use stats::{DeviceStats, Drops, Stats};
