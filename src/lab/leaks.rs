//! Checks the scenario `leaks`: while one event after another disturbs the home, does a packet of a shaped or blocked
//! device cross the WAN outside the tunnel, does an outside host reach such a device, and do unshaped devices lose
//! service?
//!
//! The capture contains marks (`mark`), so the order of packets decides which event a packet belongs to, even if the
//! clock is set during the run. `attribution` assigns packets to devices, `watch` analyses the capture, `journal`
//! reads the records of the devices, and `judge` applies the checks.

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

/// The report on a run: `{"events": […]}`.
#[derive(Clone, Debug, Serialize)]
pub struct LeakReport {
    /// The events in the order in which they happened.
    pub events: Vec<EventReport>,
}

/// One event, from its start to the start of the next one.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// Name of the event.
    pub name: String,
    /// Packets between home and provider, inside and outside the tunnel.
    pub examined: usize,
    /// Packets of shaped or blocked devices outside the tunnel, plus packets from outside that reached such a device.
    pub leaks: usize,
    /// Seconds from the end of the cause until every device had service again as its policy says: until the slowest
    /// device got its first answer to a request sent after the cause ended. `null` if a device got none, or if no
    /// service is due because the daemon is not meant to run.
    pub recovery_s: Option<f64>,
    /// Unanswered requests of unshaped devices, without those that the event itself interrupted.
    pub unshaped_lost: usize,
}

/// The recording of a run.
pub struct LeakRun {
    /// The devices and addresses.
    pub testbed: Testbed,
    /// The analysed capture.
    pub capture: CaptureAnalysis,
    /// The journals of the devices.
    pub journals: Journals,
}

impl LeakRun {
    /// Reads `run.json`, `wan.pcap`, `marks` and the journals in `folder`. A damaged capture, or one that lacks a mark
    /// of the file `marks`, is an error, because the missing packets could include a leak.
    pub fn read(folder: &Path) -> Result<LeakRun, Error> {
        let testbed = Testbed::read(&folder.join("run.json"))?;
        let capture = CaptureAnalysis::read(&folder.join("wan.pcap"), &testbed)?;
        capture.compare(&folder.join("marks"))?;
        let journals = Journals::read(folder, &testbed)?;
        Ok(LeakRun { testbed, capture, journals })
    }
}
