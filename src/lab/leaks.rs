//! Judges the scenario `leaks`: while the home goes through one event after another, does anything of a shaped or blocked
//! device appear beside the tunnel, or reach it from outside, and does anybody else lose service?
//!
//! The capture carries its own marks (`mark`), so that what belongs to which event is decided by the order of packets even
//! where the clock is set. `owner` says whose a packet is, `watch` goes through the capture, `journal` through what the
//! devices wrote down, `judge` decides.

mod attribution;
mod journal;
mod judge;
mod mark;
mod testbed;
mod watch;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;

pub use self::journal::Journals;
pub use self::judge::{TestedBuild, judge};
pub use self::testbed::Testbed;
pub use self::watch::CaptureAnalysis;
use super::error::Error;

/// What remains of a run: `{"events": […]}`.
#[derive(Clone, Debug, Serialize)]
pub struct LeakReport {
    /// In the order in which they happened.
    pub events: Vec<EventReport>,
}

/// One event, from its beginning to the next one's.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// Its name.
    pub name: String,
    /// Packets between home and provider, in and beside the tunnel.
    pub examined: usize,
    /// Packets of shaped or blocked devices beside the tunnel, and times that somebody outside got in to one.
    pub leaks: usize,
    /// From the moment when the cause was over until every device was served again as its policy says (the slowest one's
    /// first answer to a question asked after that moment), in seconds; `null` if one was not, or where none is due because the
    /// daemon is not meant to run.
    pub recovery_s: Option<f64>,
    /// Questions of unshaped devices that were never answered, other than those that the event itself lost.
    pub unshaped_lost: usize,
}

/// A run as it was recorded.
pub struct LeakRun {
    /// Who takes part.
    pub testbed: Testbed,
    /// The capture, reduced.
    pub capture: CaptureAnalysis,
    /// What the devices wrote.
    pub journals: Journals,
}

impl LeakRun {
    /// Reads `run.json`, `wan.pcap`, `marks` and the journals in `folder`. A capture that is damaged, or that lacks a
    /// mark that was set, is an error: what is missing could have been a leak.
    pub fn read(folder: &Path) -> Result<LeakRun, Error> {
        let testbed = Testbed::read(&folder.join("run.json"))?;
        let capture = CaptureAnalysis::read(&folder.join("wan.pcap"), &testbed)?;
        capture.compare(&folder.join("marks"))?;
        let journals = Journals::read(folder, &testbed)?;
        Ok(LeakRun { testbed, capture, journals })
    }
}
