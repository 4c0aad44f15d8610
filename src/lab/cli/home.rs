//! Which home a command works on.

use crate::lab::error::Error;
use crate::lab::trace::{DataFolder, Home, Origin};
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
pub(super) fn whole(folder: Option<&DataFolder>, seed: u64) -> Result<(Home, Vec<Origin>), Error> {
    match folder {
        Some(folder) => Home::whole(folder),
        None => Ok(Home::synthetic(SYNTHETIC_WHOLE, seed)),
    }
}
