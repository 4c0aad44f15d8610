//! millpond: makes a smart home's traffic look like one constant stream on the wire.
//!
//! The layers, from the lowest to the highest. A module may use only the modules listed above it in its own column, and
//! `tunnel` also `wire`; `tests/layers.rs` checks this.
//!
//! ```text
//! units                        units
//! law     intervals of cells   law
//! wire    packets and cells    config   settings file -> validated model
//! core    shaping engine       tunnel   what each kind of tunnel decides
//! lab     captures, simulator  plan     desired state, snapshot -> operations
//!                              apply    runs a plan against a kernel
//! ```
//!
//! `sys` makes the system calls for `apply` and the daemon; `daemon` and `cli` use every layer.
//! The engine in [`core`] has no access to the settings, the clock or the system's random numbers.

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
pub mod tunnel;
pub mod units;
pub mod wire;
