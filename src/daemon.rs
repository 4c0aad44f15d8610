//! The daemon: one thread, one epoll loop, both roles.
//!
//! `event_loop` waits for the kernel and the timers, and calls the component that an event is for. `dataplane` has one
//! engine for each peer, and moves packets and cells at the times that the engines draw. `reconcile` keeps the kernel's
//! state equal to the settings. The page docs/architecture.md lists the other components.

mod action;
pub mod advice;
pub mod answers;
mod audit;
mod config_state;
mod control;
mod dataplane;
mod devices;
#[cfg(feature = "endpoint")]
mod enrolments;
mod error;
mod event_loop;
mod failover;
#[cfg(feature = "lab")]
pub mod fuzzing;
mod health;
mod history;
mod options;
mod planes;
mod problem;
mod reconcile;
mod rounded;
mod schedule;
mod shape;
#[cfg(feature = "endpoint")]
mod shards;
mod state;
mod token;
mod wall_clock;
mod worker;

use std::path::Path;

pub use audit::{AUDIT_PACKETS, DEFAULT_AUDIT_PACKETS};
#[cfg(feature = "lab")]
pub use audit::{QuoteFinding, QuoteMonitor};
pub use control::request_error::{REFUSED_PREFIX, RequestError};
pub use control::{request, ubus};
pub use error::Error;
#[cfg(feature = "lab")]
pub use event_loop::{BareDaemon, Clocks, RandomSources, VirtualDaemon, VirtualStep, VirtualUsage};
use log::info;
pub use options::Options;
pub use problem::Code as ProblemCode;

use self::config_state::SettingsFile;
use self::event_loop::EventLoop;
use self::problem::{Code, Problem};
use self::reconcile::host::guard::install_provisional_guard;
use self::reconcile::host::{self, Host};
use self::reconcile::openvpn;
use self::reconcile::saved_sysctls::SavedSysctls;
use crate::config::model::Settings;
use crate::plan::{Facts, Op, PreflightIssue};
use crate::sys::fw4_zones::with_interfaces;
use crate::sys::kernel::{self, LinuxKernel};
use crate::sys::realtime;
use crate::sys::sd_notify::Manager;

/// Runs the daemon until a signal or a fatal error. Transient errors do not end it. On return the kernel holds nothing
/// of millpond's except the guard.
///
/// # Errors
/// [`Error::NotRoot`] without root. [`Error::System`] if a system call of the loop fails.
pub fn run(options: &Options) -> Result<(), Error> {
    if !kernel::is_root() {
        return Err(Error::NotRoot);
    }
    let SettingsFile { settings, understood } = SettingsFile::read(&options.config);
    if settings.as_ref().is_ok_and(|settings| !settings.enabled) {
        // A service manager that waits for readiness would take an exit before it for a failure.
        Manager::find().notify("READY=1\nSTATUS=not enabled");
        info!("not enabled: set millpond.main.enabled to 1 in {}", options.config.display());
        return Ok(());
    }
    let understood = understood.filter(|understood| understood.enabled);
    let guard = understood.map_or(Ok(()), |understood| install_provisional_guard(&understood, &options.guard_file));
    // The daemon runs with a broken settings file, too, so that a reload of the corrected file suffices.
    let mut event_loop = EventLoop::start(options, settings)?;
    if let Err(error) = guard {
        event_loop.note(Problem::of_guard(&error));
    }
    for refused in realtime::enter() {
        event_loop.note(Problem::new(Code::Realtime, refused.to_string()));
    }
    let result = event_loop.run();
    realtime::leave();
    event_loop.stop()?;
    result
}

/// The operations that [`run`] would apply to the kernel now, in order. The sysctls that a running daemon saved lie
/// beside its control socket `socket`.
pub fn plan(settings: &Settings, socket: &Path) -> Result<Vec<Op>, Error> {
    let settings = &with_interfaces(settings);
    let mut host = Host::open(SavedSysctls::read(socket).forwarding)?;
    host.read_facts(settings, host::resolve_endpoint(settings)?)?;
    let size = shape::cell_size(settings, host.encapsulation())?;
    host.plan(settings, &shape::limits(settings, size, None))
}

/// Conflicts between valid settings and this host.
pub fn preflight_issues(settings: &Settings) -> Result<Vec<PreflightIssue>, Error> {
    let settings = &with_interfaces(settings);
    let facts = LinuxKernel::open().and_then(|mut kernel| {
        let hardware_offload = kernel.hardware_offload()?;
        let mut facts = kernel.facts(settings, &Facts::default(), hardware_offload)?;
        let endpoint = host::resolve_endpoint(settings).ok().flatten();
        facts.tunnel.route = endpoint.and_then(|endpoint| kernel.endpoint_route(endpoint.ip()));
        Ok(facts)
    });
    Ok(crate::plan::preflight_issues(settings, &facts.map_err(host::from_op)?))
}

/// Removes everything of millpond's from the kernel, including the guard and its file, and returns the operations.
/// `socket` is the control socket of a daemon that may have been killed; the saved sysctls lie beside it.
pub fn flush(guard_file: &Path, socket: &Path) -> Result<Vec<Op>, Error> {
    let mut host = Host::open(None)?;
    openvpn::stop_orphans()?;
    let ops = host.flush(guard_file, SavedSysctls::read(socket))?;
    SavedSysctls::forget(socket);
    Ok(ops)
}
