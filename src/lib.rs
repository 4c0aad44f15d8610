//! millpond: a smart home's traffic as one flat line on the wire.
//!
//! The map of the house, from the ground up. A module may use only what stands above it in its own column;
//! `tests/layers.rs` keeps that true.
//!
//! ```text
//! units                        units
//! law     intervals of cells   law
//! wire    packets and cells    config   settings file -> validated model
//! core    shaping engine       plan     desired state, snapshot -> operations
//! lab     captures, simulator  apply    runs a plan against a kernel
//! ```
//!
//! `sys` does the system calls that `apply` and the daemon ask for; `daemon` and `cli` join everything.
//! The engine in [`core`] never sees the settings, the clock or the system's randomness.

pub mod apply;
pub mod cli;
pub mod config;
pub mod core;
pub mod daemon;
#[cfg(feature = "lab")]
pub mod lab;
pub mod law;
pub mod plan;
pub mod sys;
pub mod units;
pub mod wire;
