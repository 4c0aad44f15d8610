//! The daemon: one thread, one epoll loop, both roles.
//!
//! `machine` brings the kernel in line with the settings, `lines` has one engine for each peer, `event_loop` moves
//! packets and cells between them at the moments that the engines name.

mod agenda;
mod calendar;
mod control;
mod error;
mod event_loop;
mod json;
mod line;
mod lines;
mod machine;
mod shape;
mod status;
mod watch;
mod wish;

use std::path::{Path, PathBuf};

pub use control::REFUSED;
pub use error::Error;
use log::{info, warn};

use self::event_loop::EventLoop;
use self::machine::Machine;
use crate::config::model::Settings;
use crate::plan::Op;
use crate::sys::realtime;

/// Where the daemon finds and leaves things.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings file.
    pub config: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
}

/// Runs until a signal or an error ends it. All that it made in the kernel is gone afterwards.
pub fn run(options: &Options) -> Result<(), Error> {
    let settings = read_settings(&options.config)?;
    if !settings.enabled {
        info!("not enabled: set millpond.main.enabled to 1 in {}", options.config.display());
        return Ok(());
    }
    let mut event_loop = EventLoop::start(options, settings)?;
    for refused in realtime::enter() {
        event_loop.note_refused(&refused);
    }
    let ended = event_loop.run();
    event_loop.stop()?;
    ended
}

/// What [`run`] would do to the kernel now, one operation after the other.
pub fn plan(settings: &Settings) -> Result<Vec<Op>, Error> {
    let mut machine = Machine::open(settings)?;
    let size = shape::cell_size(settings, machine.outer())?;
    machine.plan(settings, &shape::guard(settings, size, &[]))
}

/// Removes from the kernel all that is ours, and gives what that took.
pub fn flush() -> Result<Vec<Op>, Error> {
    Machine::unattended()?.take_down().map(|applied| applied.ops)
}

/// Reads the settings, and logs everything that is wrong with them.
fn read_settings(path: &Path) -> Result<Settings, Error> {
    let text = std::fs::read(path).map_err(|error| Error::Unreadable { path: path.into(), error })?;
    let parsed = crate::config::parse(&text);
    let name = path.display().to_string();
    for problem in &parsed.problems {
        warn!("{}", problem.at(&name));
    }
    parsed
        .settings
        .ok_or_else(|| Error::Settings(format!("the settings {name} are not usable: millpond check names why")))
}
