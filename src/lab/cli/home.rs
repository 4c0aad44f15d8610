//! Which home a command works on.

use std::path::PathBuf;

use crate::lab::error::Error;
use crate::lab::exposure::merge_captures;
use crate::lab::identify::{CaptureSummary, observe};
use crate::lab::trace::{DataFolder, HomeTrace, TraceOrigin};
use crate::units::Nanos;

/// As long as the captured run that it stands in for.
const SYNTHETIC_WHOLE: Nanos = Nanos::from_secs(44 * 60);

/// The data folder, unless made-up traces are wanted. Says on stderr which, so that no result is taken for more than
/// it is.
pub(super) fn folder(synthetic: bool) -> Option<DataFolder> {
    if synthetic {
        eprintln!("using synthetic traces, as asked");
        return None;
    }
    let folder = DataFolder::find();
    match &folder {
        Some(folder) => eprintln!("using the captures of {}", folder.root().display()),
        None => eprintln!("no captures at ../shared/data or $MILLPOND_DATA: using synthetic traces"),
    }
    folder
}

/// The whole home of the folder, or one made up from the seed.
pub(super) fn whole(folder: Option<&DataFolder>, seed: u64) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
    match folder {
        Some(folder) => HomeTrace::whole(folder),
        None => Ok(HomeTrace::synthetic(SYNTHETIC_WHOLE, seed)),
    }
}

/// What captures show of every host in them. Where one is damaged, what comes before the damage, and a line on stderr.
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

/// The busiest hosts of captures of one recording, named by their addresses, as one home.
pub(super) fn of_captures(captures: &[PathBuf], most: usize) -> Result<HomeTrace, Error> {
    let mut hosts = merge_captures(sightings(captures)?)?;
    let packets = |host: &crate::lab::identify::ObservedHost| host.trace.packets.len();
    hosts.sort_by_key(|host| std::cmp::Reverse(packets(host)));
    hosts.truncate(most);
    Ok(HomeTrace::merge(hosts.into_iter().map(|host| (host.trace, Nanos::ZERO))))
}
