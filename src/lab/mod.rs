//! The host's laboratory: captures, traces, the simulator and what judges them. Feature `lab`; never on a router.
//!
//! - [`capture`] reads and writes pcap and pcapng;
//! - [`trace`] reduces captures to times, directions and sizes per device, or makes such traces up;
//! - [`simulate`] drives two real engines, or the paper's arrangement, through a trace in virtual time;
//! - [`stats`] holds the few statistics that the rest needs.

pub mod bench;
pub mod capture;
pub mod cli;
pub mod error;
pub mod flat_line;
pub mod report;
pub mod simulate;
pub mod stats;
pub mod trace;
