//! Hours of the engine in virtual time.

use super::{Case, cases};
use crate::lab::distinguish::tunnel::Cell;
use crate::lab::distinguish::{Condition, Stretch};
use crate::lab::error::Error;
use crate::lab::simulate::{SimulationConfig, simulate};
use crate::lab::trace::HomeTrace;
use crate::law::Law;
use crate::units::Nanos;

/// A busy home against a silent one, for every law that the engine paces itself; `kernel` leaves that to HTB.
pub fn virtual_cases(home: &HomeTrace, length: Nanos, seed: u64) -> Result<Vec<Case>, Error> {
    let busy = home.repeated(length);
    let mut silent = busy.clone();
    silent.devices.iter_mut().for_each(|trace| trace.packets.clear());
    let mut all = Vec::new();
    for (index, law) in [Law::Gamma, Law::Normal, Law::Constant].into_iter().enumerate() {
        let spread_percent = if law == Law::Normal { 15 } else { 33 };
        // Seeds of their own: with one seed for both, nothing could differ.
        let setup = |of| SimulationConfig {
            law,
            spread_percent,
            seed: seed + 2 * index as u64 + of,
            ..SimulationConfig::default()
        };
        let (idle, busy) = (line(&silent, &setup(0))?, line(&busy, &setup(1))?);
        all.extend(cases(law, "virtual", ("busy", &busy), &idle, seed)?);
    }
    Ok(all)
}

/// What leaves at both ends.
fn line(home: &HomeTrace, setup: &SimulationConfig) -> Result<Condition, Error> {
    let bytes = setup.cell()?.wire_bytes as u32;
    let mut cells = Vec::new();
    simulate(home, setup, |departure| {
        cells.push(Cell { time_ns: departure.time.0, direction: departure.direction, bytes });
    })?;
    Ok(Condition { stretches: vec![Stretch { cells }], ..Condition::default() })
}
