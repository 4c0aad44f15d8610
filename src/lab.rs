//! The laboratory on a host: captures, traces, the simulator and the attacks that judge them. Behind the feature `lab`;
//! never built for a router.
//!
//! - [`capture`] reads and writes pcap and pcapng;
//! - [`trace`] reduces captures to time, direction and size of each device's packets, or generates such traces;
//! - [`simulate`] runs two real engines, or the paper's arrangement, on a trace in virtual time;
//! - [`trains`] finds the cells that left together;
//! - [`identify`] infers which devices a home has, as its provider could;
//! - [`activity`] infers when the devices were used;
//! - [`distinguish`] tests whether the tunnel's packets differ between two conditions;
//! - [`mod@bound`] computes what the best possible test could do;
//! - [`bursts`] computes what bursts cost and show;
//! - [`adversary`] runs these tests for every law and condition;
//! - [`flat_line`] checks sizes, rate and delivery of recorded runs;
//! - [`leaks`] checks whether packets pass outside the tunnel;
//! - [`exposure`] shows what a home's traffic reveals;
//! - [`report`] compares a home's traffic with what its provider saw;
//! - [`mod@bench`] gathers the measurements that are tracked from commit to commit;
//! - [`learn`], [`plot`] and [`stats`] provide machine learning, figures and statistics;
//! - [`cli`] holds the commands of `millpond-lab`, and [`error`] their errors.

pub mod activity;
pub mod adversary;
pub mod bench;
pub mod bound;
pub mod bursts;
pub mod capture;
pub mod cli;
pub mod distinguish;
pub mod error;
pub mod exposure;
pub mod flat_line;
pub mod identify;
pub mod leaks;
pub mod learn;
pub mod plot;
pub mod report;
pub mod simulate;
pub mod stats;
pub mod trace;
pub mod trains;
