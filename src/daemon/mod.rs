//! The daemon: one thread, one epoll loop, both roles.
//!
//! `lines` has one engine for each peer, `event_loop` moves packets and cells between them and the kernel at the moments
//! that the engines name. `machine` brings the kernel in line with the settings, and `upkeep` sees to it that it stays so.

pub mod advice;
mod agenda;
pub mod answer;
mod audit;
mod calendar;
mod control;
mod devices;
mod error;
mod event_loop;
mod flows;
mod former;
mod history;
mod ledger;
mod line;
mod lines;
mod machine;
#[cfg(feature = "endpoint")]
mod metrics;
mod openvpn;
mod problem;
pub mod request;
mod shape;
mod status;
pub mod ubus;
mod upkeep;
mod watch;
mod wish;
mod wrapping;

use std::path::{Path, PathBuf};

pub use audit::{DEFAULT_PACKETS, PACKETS};
pub use control::REFUSED;
pub use error::Error;
#[cfg(feature = "lab")]
pub use event_loop::BareEndpoint;
use log::{info, warn};

use self::event_loop::EventLoop;
use self::former::Former;
use self::machine::Machine;
use self::problem::Problem;
use crate::config::model::Settings;
use crate::plan::{Facts, Misfit, Op};
use crate::sys::kernel::{self, System};
use crate::sys::notify::Manager;
use crate::sys::realtime;

/// Where the daemon finds and leaves things.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings file.
    pub config: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Where a broker of ubus may listen, the likeliest first.
    pub brokers: Vec<PathBuf>,
    /// The file from which the guard is loaded at boot.
    pub guard_file: PathBuf,
    /// Where the data of the billing period is kept.
    pub usage_file: PathBuf,
}

/// Runs until a signal or an error ends it; what may pass by itself does not. All that it made in the kernel is gone
/// afterwards, but for the guard.
pub fn run(options: &Options) -> Result<(), Error> {
    if !kernel::is_root() {
        return Err(Error::NotRoot);
    }
    let Reading { settings, understood } = read_settings(&options.config);
    if settings.as_ref().is_ok_and(|settings| !settings.enabled) {
        // A manager that waits for readiness would take the end before it for a failure.
        Manager::find().tell("READY=1\nSTATUS=not enabled");
        info!("not enabled: set millpond.main.enabled to 1 in {}", options.config.display());
        return Ok(());
    }
    let understood = understood.filter(|understood| understood.enabled);
    let guarded = understood.map_or(Ok(()), |understood| guard_provisionally(&understood, options));
    // Whoever mends a broken file finds a daemon that takes it.
    let mut event_loop = EventLoop::start(options, settings)?;
    if let Err(error) = guarded {
        event_loop.note(Problem::of_guard(&error));
    }
    for refused in realtime::enter() {
        event_loop.note_refused(&refused);
    }
    let ended = event_loop.run();
    realtime::leave();
    event_loop.stop()?;
    ended
}

/// What [`run`] would do to the kernel now, one operation after the other.
pub fn plan(settings: &Settings) -> Result<Vec<Op>, Error> {
    let mut machine = Machine::open()?;
    machine.learn(settings, machine::endpoint(settings)?)?;
    let size = shape::cell_size(settings, machine.wrapping())?;
    machine.plan(settings, &shape::guard(settings, size, &[]))
}

/// What does not fit this machine about settings that are right by themselves.
pub fn misfits(settings: &Settings) -> Result<Vec<Misfit>, Error> {
    let facts = System::open().and_then(|mut system| {
        let hardware_offload = system.hardware_offload()?;
        system.facts(settings, &Facts::default(), hardware_offload)
    });
    Ok(crate::plan::misfits(settings, &facts.map_err(machine::from_op)?))
}

/// Removes from the kernel all that is ours, the guard and its file included, and gives what that took. `socket`: where
/// a daemon listened that may not have come to its end.
pub fn flush(guard_file: &Path, socket: &Path) -> Result<Vec<Op>, Error> {
    let mut machine = Machine::open()?;
    openvpn::end_orphans()?;
    let ops = machine.flush(guard_file, Former::read(socket))?;
    Former::forget(socket);
    Ok(ops)
}

/// By what can be understood of broken settings, and by the guard that stands.
fn guard_provisionally(understood: &Settings, options: &Options) -> Result<(), Error> {
    Machine::open()?.set_guard_besides(understood, &options.guard_file).map(|_| ())
}

/// What came of the settings file.
struct Reading {
    settings: Result<Settings, Error>,
    /// Of broken ones, what could be understood: see [`crate::config::Parsed::understood`].
    understood: Option<Settings>,
}

/// Reads the settings, and logs everything that is wrong with them.
fn read_settings(path: &Path) -> Reading {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            let settings = Err(Error::Unreadable { path: path.into(), error });
            return Reading { settings, understood: None };
        }
    };
    let parsed = crate::config::parse_with(&text, &crate::sys::key_file::read);
    let name = path.display().to_string();
    for problem in &parsed.problems {
        warn!("{}", problem.at(&name));
    }
    let settings = parsed
        .settings
        .ok_or_else(|| Error::Settings(format!("the settings {name} are not usable: millpond check names why")));
    Reading { settings, understood: parsed.understood }
}
