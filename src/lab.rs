//! The host's laboratory: captures, traces, the simulator and what judges them. Feature `lab`; never on a router.
//!
//! - [`capture`] reads and writes pcap and pcapng;
//! - [`trace`] reduces captures to times, directions and sizes per device, or makes such traces up;
//! - [`simulate`] drives two real engines, or the paper's arrangement, through a trace in virtual time;
//! - [`identify`] finds out which devices a home has, as its provider could;
//! - [`activity`] finds out when somebody used them;
//! - [`distinguish`] tells whether the tunnel gives anything away;
//! - [`adversary`] asks that of every law and condition;
//! - [`leaks`] tells whether anything passes beside the tunnel;
//! - [`exposure`] tells what one's own home gives away;
//! - [`learn`] and [`plot`] serve these;
//! - [`stats`] holds the few statistics that the rest needs.

pub mod activity;
pub mod adversary;
pub mod bench;
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
