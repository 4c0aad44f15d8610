//! The daemon: one thread, one epoll loop, both roles.
//!
//! `sessions` has one engine for each peer, `event_loop` moves packets and cells between them and the kernel at the moments
//! that the engines name. `host` brings the kernel in line with the settings, and `reconcile` sees to it that it stays so.

pub mod advice;
pub mod answer;
mod audit;
mod calendar;
mod control;
mod data_usage;
mod departure_queue;
mod devices;
mod encapsulation;
mod error;
mod event_loop;
mod flows;
mod history;
mod host;
mod liveness;
#[cfg(feature = "endpoint")]
mod metrics;
mod negotiation;
mod openvpn;
mod problem;
mod reconcile;
pub mod request;
mod saved_sysctls;
mod session;
mod sessions;
mod shape;
mod status;
pub mod ubus;

use std::path::{Path, PathBuf};

pub use audit::{DEFAULT_PACKETS, PACKETS};
pub use control::REFUSED;
pub use error::Error;
#[cfg(feature = "lab")]
pub use event_loop::BareEndpoint;
use log::{info, warn};

use self::event_loop::EventLoop;
use self::host::Host;
use self::problem::Problem;
use self::saved_sysctls::SavedSysctls;
use crate::config::model::Settings;
use crate::plan::{Facts, Op, PreflightIssue};
use crate::sys::kernel::{self, LinuxKernel};
use crate::sys::realtime;
use crate::sys::sd_notify::Manager;

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
    let SettingsFile { settings, understood } = read_settings(&options.config);
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
    let mut host = Host::open()?;
    host.learn(settings, host::endpoint(settings)?)?;
    let size = shape::cell_size(settings, host.encapsulation())?;
    host.plan(settings, &shape::limits(settings, size, &[]))
}

/// What does not fit this machine about settings that are right by themselves.
pub fn preflight_issues(settings: &Settings) -> Result<Vec<PreflightIssue>, Error> {
    let facts = LinuxKernel::open().and_then(|mut system| {
        let hardware_offload = system.hardware_offload()?;
        system.facts(settings, &Facts::default(), hardware_offload)
    });
    Ok(crate::plan::preflight_issues(settings, &facts.map_err(host::from_op)?))
}

/// Removes from the kernel all that is ours, the guard and its file included, and gives what that took. `socket`: where
/// a daemon listened that may not have come to its end.
pub fn flush(guard_file: &Path, socket: &Path) -> Result<Vec<Op>, Error> {
    let mut host = Host::open()?;
    openvpn::end_orphans()?;
    let ops = host.flush(guard_file, SavedSysctls::read(socket))?;
    SavedSysctls::forget(socket);
    Ok(ops)
}

/// By what can be understood of broken settings, and by the guard that stands.
fn guard_provisionally(understood: &Settings, options: &Options) -> Result<(), Error> {
    Host::open()?.set_guard_besides(understood, &options.guard_file).map(|_| ())
}

/// What came of the settings file.
struct SettingsFile {
    settings: Result<Settings, Error>,
    /// Of broken ones, what could be understood: see [`crate::config::Parsed::understood`].
    understood: Option<Settings>,
}

/// Reads the settings, and logs everything that is wrong with them.
fn read_settings(path: &Path) -> SettingsFile {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            let settings = Err(Error::Unreadable { path: path.into(), error });
            return SettingsFile { settings, understood: None };
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
    SettingsFile { settings, understood: parsed.understood }
}
