//! Chooses the home that a command works on.

use std::path::PathBuf;

use crate::lab::error::Error;
use crate::lab::exposure::merge_captures;
use crate::lab::identify::{CaptureSummary, observe};
use crate::lab::trace::{DataFolder, HomeTrace, TraceOrigin};
use crate::units::Nanos;

/// Length of the synthetic home, equal to that of the captured run that it replaces.
const SYNTHETIC_WHOLE: Nanos = Nanos::from_secs(44 * 60);

/// Finds the data folder; `None` if it is absent or `synthetic` is set. Reports the choice on stderr, so that
/// synthetic results are not mistaken for measured ones.
pub(super) fn folder(synthetic: bool) -> Option<DataFolder> {
    if synthetic {
        eprintln!("using synthetic traces (--synthetic)");
        return None;
    }
    let folder = DataFolder::find();
    match &folder {
        Some(folder) => eprintln!("using the captures in {}", folder.root().display()),
        None => eprintln!("using synthetic traces: no captures in ../shared/data or $MILLPOND_DATA"),
    }
    folder
}

/// Reads the whole home of the folder, or generates one from the seed.
pub(super) fn whole(folder: Option<&DataFolder>, seed: u64) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
    match folder {
        Some(folder) => HomeTrace::whole(folder),
        None => Ok(HomeTrace::synthetic(SYNTHETIC_WHOLE, seed)),
    }
}

/// Observes every host in the captures. Of a damaged capture, uses the packets before the damage and warns on stderr.
pub(super) fn sightings(captures: &[PathBuf]) -> Result<Vec<(PathBuf, CaptureSummary)>, Error> {
    let mut sightings = Vec::new();
    for path in captures {
        let sighting = observe(path)?;
        if let Some(damage) = &sighting.damage {
            eprintln!("millpond-lab: {damage}; using the packets before it");
        }
        sightings.push((path.clone(), sighting));
    }
    Ok(sightings)
}

/// Returns the busiest hosts of one recording's captures as a home. The hosts are named by their addresses.
pub(super) fn of_captures(captures: &[PathBuf], max_hosts: usize) -> Result<HomeTrace, Error> {
    let mut hosts = merge_captures(sightings(captures)?)?;
    let packets = |host: &crate::lab::identify::ObservedHost| host.trace.packets.len();
    hosts.sort_by_key(|host| std::cmp::Reverse(packets(host)));
    hosts.truncate(max_hosts);
    Ok(HomeTrace::merge(hosts.into_iter().map(|host| (host.trace, Nanos::ZERO))))
}
