//! Keeps the state of the kernel equal to the settings, even if other programs change it.
//!
//! Work that takes longer than the time between two cells (reading the kernel, running `nft`, looking up a name) runs
//! in a forked process that reports and exits. The daemon itself only forks, in a gap between cells, so departures do
//! not depend on that work. A name lookup may hang, so it has a process of its own: restoring a deleted guard cannot
//! wait for it.

mod debounce;
mod endpoint;
pub mod host;
mod job;
mod kernel_watch;
pub mod lookup;
pub mod openvpn;
mod replay;
pub mod report;
pub mod saved_sysctls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use log::info;

use self::debounce::Debounce;
use self::endpoint::Endpoint;
use self::job::ReconcileJob;
use self::kernel_watch::KernelWatch;
use self::lookup::{look_up, parse_addresses};
use self::openvpn::{Openvpn, OpenvpnEvent};
pub use self::report::{ReconcileReport, is_reported};
use self::saved_sysctls::SavedSysctls;
use crate::config::model::{HostPort, Settings};
use crate::daemon::action::Action;
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::token::Token;
use crate::daemon::worker::{RunningWorker, poll_worker};
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::sys::monitor::KernelChange;
use crate::sys::openvpn_profile::LoadedProfile;
use crate::sys::worker::WorkerOutput;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;

/// A process that takes longer hangs and is killed. The first run on a busy router may take ten seconds.
const WORKER_TIMEOUT: Nanos = Nanos::from_secs(60);

/// Watches the kernel for changes, and starts the processes that reconcile it and look up the endpoint's name.
pub struct Reconciler {
    paths: Paths,
    watch: KernelWatch,
    debounce: Debounce,
    job: Option<RunningWorker>,
    /// Whether the running job was started by [`Reconciler::trigger_now`], not by a change in the kernel.
    was_triggered: bool,
    lookup: Option<RunningWorker>,
    /// The host whose name is being looked up.
    lookup_host: Option<HostPort>,
    endpoint: Endpoint,
    /// The endpoint of the settings that are being applied, if it is another one.
    next_endpoint: Option<Endpoint>,
    /// Tunnel addresses of the silent peers whose WireGuard handshakes need a look, and how long each is silent.
    rehandshake: Vec<(Ipv4Addr, Nanos)>,
    saved_sysctls: SavedSysctls,
    openvpn: Option<Openvpn>,
}

/// The daemon's files that the reconciler needs.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The file from which the guard is loaded at boot.
    pub guard_file: PathBuf,
    /// The control socket; the saved sysctls lie beside it.
    pub socket: PathBuf,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueWork {
    /// A reconcile job.
    Job,
    /// A name lookup.
    Lookup,
    /// A process has exceeded its time-out.
    Overdue,
}

/// A finished reconcile job.
pub struct FinishedJob {
    /// The job's findings and operations; an error if the process was killed or died.
    pub report: io::Result<ReconcileReport>,
    /// The TUN interface, if the job created it.
    pub tun: Option<Tun>,
    /// Whether the daemon triggered the job itself, not a change in the kernel.
    pub was_triggered: bool,
}

/// The result of a name lookup for the endpoint in use.
pub struct FinishedLookup {
    /// Why there is no address.
    pub problem: Option<Problem>,
    /// Whether the settings that are being applied cannot go on without an address.
    pub fails_change: bool,
}

impl Reconciler {
    /// Subscribes to kernel notifications, copies the loaded guard, and makes the first reconcile job due at once.
    pub fn start(paths: Paths, settings: Option<&Settings>, poll: &Poll, now: Nanos) -> Result<Reconciler, Error> {
        let saved_sysctls = SavedSysctls::read(&paths.socket);
        Ok(Reconciler::new(paths, KernelWatch::start(poll)?, saved_sysctls, settings, now))
    }

    fn new(
        paths: Paths,
        watch: KernelWatch,
        saved_sysctls: SavedSysctls,
        settings: Option<&Settings>,
        now: Nanos,
    ) -> Reconciler {
        Reconciler {
            paths,
            watch,
            debounce: Debounce::new(now),
            job: None,
            was_triggered: true,
            lookup: None,
            lookup_host: None,
            endpoint: Endpoint::new(settings, now),
            next_endpoint: None,
            rehandshake: Vec::new(),
            saved_sysctls,
            openvpn: None,
        }
    }

    /// Ends the running processes, and returns the sysctls to restore.
    pub fn stop(self) -> SavedSysctls {
        self.saved_sysctls
    }

    /// The file from which the guard is loaded at boot.
    pub fn guard_file(&self) -> &Path {
        &self.paths.guard_file
    }

    /// The address of a router's endpoint, once it is known.
    pub fn endpoint_address(&self) -> Option<SocketAddr> {
        self.endpoint.address()
    }

    /// Makes the next reconcile job due at once.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.debounce.trigger_now(now);
    }

    /// Makes a reconcile job due soon, debounced.
    pub fn note_change(&mut self, now: Nanos) {
        self.debounce.note_change(now);
    }

    /// Makes the next reconcile job due at once, and lets it look after these silent peers' handshakes.
    pub fn rehandshake(&mut self, peers: impl IntoIterator<Item = (Ipv4Addr, Nanos)>, now: Nanos) {
        self.rehandshake.extend(peers);
        self.debounce.trigger_now(now);
    }

    /// Makes a pending name lookup due at once.
    pub fn renew(&mut self, now: Nanos) {
        self.endpoint.trigger_now(now);
    }

    /// Records that cells come from the endpoint.
    pub fn note_cells(&mut self, now: Nanos) {
        self.endpoint.note_cells(now);
    }

    /// Reads kernel notifications.
    pub fn handle_kernel_events(&mut self, now: Nanos) {
        match self.watch.receive() {
            KernelChange::None => return,
            KernelChange::Relevant => self.debounce.note_change(now),
            KernelChange::TunnelPort => self.debounce.note_urgent_change(now),
        }
        if self.endpoint_in_use().is_unresolved() {
            // The Internet connection may have just come up.
            self.endpoint_in_use_mut().trigger_now(now);
        }
    }

    /// When the next reconcile job is due; `None` while one runs.
    pub fn next_job(&self) -> Option<Nanos> {
        self.job.is_none().then(|| self.debounce.due())
    }

    /// When the next name lookup is due; `None` while one runs or none is needed.
    pub fn next_lookup(&self, now: Nanos) -> Option<Nanos> {
        self.lookup.is_none().then(|| self.endpoint_in_use().due(now)).flatten()
    }

    /// What is due now. Without settings there is no job.
    pub fn due(&self, has_settings: bool, now: Nanos) -> Option<DueWork> {
        let is_due = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        let is_overdue = || [&self.job, &self.lookup].into_iter().flatten().any(|running| running.is_overdue(now));
        if has_settings && is_due(self.next_job()) {
            Some(DueWork::Job)
        } else if is_due(self.next_lookup(now)) {
            Some(DueWork::Lookup)
        } else {
            is_overdue().then_some(DueWork::Overdue)
        }
    }

    /// Prepares for settings that will be applied: a new endpoint is looked up before the job that applies them.
    pub fn prepare(&mut self, settings: &Settings, now: Nanos) {
        self.next_endpoint = (!self.endpoint.matches(settings)).then(|| Endpoint::new(Some(settings), now));
    }

    /// Uses the endpoint of these settings from now on.
    pub fn replace_endpoint(&mut self, settings: &Settings, now: Nanos) {
        self.next_endpoint = None;
        self.endpoint = Endpoint::new(Some(settings), now);
    }

    /// Whether the settings that are being applied wait for their endpoint's address.
    pub fn waits_for_address(&self) -> bool {
        self.next_endpoint.as_ref().is_some_and(Endpoint::is_unresolved)
    }

    /// Forgets the endpoint of settings that are not applied after all.
    pub fn drop_next_endpoint(&mut self) {
        self.next_endpoint = None;
    }

    /// Starts a reconcile job in a forked process. `guarded` are the settings for the guard: the same, or stricter.
    /// `granted` is what an endpoint granted to its first home; `has_tun` says whether the daemon holds `mp0`.
    pub fn start_job(
        &mut self,
        settings: &Settings,
        guarded: &Settings,
        granted: Option<&ShapingRequest>,
        has_tun: bool,
        poll: &Poll,
        now: Nanos,
    ) -> Option<Action> {
        self.was_triggered = self.debounce.note_start(now);
        let (endpoint, guard_copy) = (self.endpoint_of_job(), self.watch.guard_copy());
        let job = ReconcileJob {
            settings,
            guarded,
            guard_file: &self.paths.guard_file,
            granted,
            endpoint: endpoint.address(),
            endpoint_moved: endpoint.has_moved(),
            saved_forwarding: self.saved_sysctls.forwarding.as_ref(),
            rehandshake: &self.rehandshake,
            has_tun,
            has_openvpn: self.openvpn.is_some(),
        };
        let run = || job::reconcile(&job, guard_copy);
        match RunningWorker::start(poll, Token::ReconcileJob, now, WORKER_TIMEOUT, run) {
            Ok(job) => {
                self.rehandshake.clear();
                self.job = Some(job);
                None
            }
            Err(error) => {
                self.debounce.note_failure(now);
                Some(cannot_start(format!("starting the reconcile process: {error}")))
            }
        }
    }

    /// The endpoint for the next job. Settings whose endpoint has no address yet wait.
    fn endpoint_of_job(&self) -> &Endpoint {
        self.next_endpoint.as_ref().filter(|endpoint| !endpoint.is_unresolved()).unwrap_or(&self.endpoint)
    }

    /// Whether the next job makes a router's WireGuard drop its packets and keys.
    pub fn flushes_wireguard(&self) -> bool {
        self.endpoint_of_job().has_moved() || !self.rehandshake.is_empty()
    }

    /// Starts a name lookup in a forked process.
    pub fn start_lookup(&mut self, poll: &Poll, now: Nanos) -> Option<Action> {
        let endpoint = self.endpoint_in_use_mut();
        endpoint.note_lookup(now);
        let host = endpoint.host().cloned()?;
        let way = endpoint.lookup_way().clone();
        let started = RunningWorker::start(poll, Token::Lookup, now, WORKER_TIMEOUT, || look_up(&way, &host));
        let failed = started.as_ref().err().map(|error| format!("starting the lookup of {}: {error}", host.host));
        self.lookup_host = Some(host);
        self.lookup = started.ok();
        failed.map(cannot_start)
    }

    /// The finished reconcile job, once it has finished.
    pub fn poll_job(&mut self, poll: &Poll, now: Nanos) -> Option<FinishedJob> {
        let (report, tun) = match poll_worker(&mut self.job, poll, now)? {
            Ok(WorkerOutput { text, fd }) => (Ok(ReconcileReport::from_text(&text)), fd.map(Tun::from)),
            Err(error) => (Err(error), None),
        };
        if report.as_ref().is_ok_and(ReconcileReport::is_complete) {
            self.debounce.note_success(now);
        } else {
            // The job and its rollback caused notifications of their own. They are no reason to run again.
            if self.watch.drain() != KernelChange::None {
                self.debounce.note_change(now);
            }
            self.debounce.note_failure(now);
        }
        if let Ok(report) = &report {
            self.saved_sysctls.save(report, &self.paths.socket);
        }
        Some(FinishedJob { report, tun, was_triggered: self.was_triggered })
    }

    /// The result of the name lookup, once it has finished. A lookup for previous settings has none.
    pub fn poll_lookup(&mut self, poll: &Poll, now: Nanos) -> Option<FinishedLookup> {
        let output = poll_worker(&mut self.lookup, poll, now)?;
        let addresses = output.map_err(|error| error.to_string()).and_then(|output| parse_addresses(&output.text));
        let host = self.lookup_host.take()?;
        let is_next = self.next_endpoint.is_some();
        let endpoint = self.endpoint_in_use_mut();
        if endpoint.host() != Some(&host) {
            return None;
        }
        let changed = addresses.as_ref().is_ok_and(|addresses| endpoint.handle_lookup(addresses));
        let fails_change = addresses.is_err() && is_next && endpoint.is_unresolved();
        if let (true, Some(address)) = (changed, endpoint.address()) {
            info!("tunnel.endpoint {} resolved to {address}", host.host);
            self.debounce.trigger_now(now);
        }
        let failed = |why| Problem::new(Code::Name, format!("resolving tunnel.endpoint {}: {why}", host.host));
        let doubt = self.endpoint_in_use().doubt();
        Some(FinishedLookup { problem: addresses.err().or(doubt).map(failed), fails_change })
    }

    /// Takes over what a job found in WireGuard. If `is_new`, the settings that it applied are in force now.
    pub fn note_report(&mut self, report: &ReconcileReport, is_new: bool, now: Nanos) {
        if let Some(endpoint) = self.next_endpoint.take_if(|_| is_new) {
            self.endpoint = endpoint;
        }
        self.endpoint.note_wireguard(now, report.endpoint, report.handshake_s, self.endpoint.has_moved());
    }

    /// Updates the openvpn process to the settings in force, with the profile that the job loaded.
    pub fn update_openvpn(
        &mut self,
        settings: &Settings,
        loaded: Option<LoadedProfile>,
        is_new: bool,
        interface_changed: bool,
        now: Nanos,
    ) {
        match &mut self.openvpn {
            Some(openvpn) if is_new || interface_changed => openvpn.update(settings, loaded, interface_changed, now),
            Some(_) => {}
            None => self.openvpn = Openvpn::new(settings, loaded, now),
        }
    }

    /// Whether openvpn runs, so that [`Reconciler::handle_openvpn_tick`] must be called.
    pub fn has_openvpn(&self) -> bool {
        self.openvpn.is_some()
    }

    /// Starts and reaps the openvpn process, and returns what happened. To be called about once a second, in a gap.
    pub fn handle_openvpn_tick(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
        let event = self.openvpn.as_mut().and_then(|openvpn| openvpn.handle_tick(poll, now));
        self.openvpn.take_if(|openvpn| openvpn.is_stopped());
        event
    }

    /// Reads the output of openvpn. Returns what it reports.
    pub fn handle_openvpn_output(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
        self.openvpn.as_mut().and_then(|openvpn| openvpn.handle_output(poll, now))
    }

    /// The endpoint of the settings being applied, or else of those in force.
    fn endpoint_in_use(&self) -> &Endpoint {
        self.next_endpoint.as_ref().unwrap_or(&self.endpoint)
    }

    fn endpoint_in_use_mut(&mut self) -> &mut Endpoint {
        self.next_endpoint.as_mut().unwrap_or(&mut self.endpoint)
    }
}

#[cfg(test)]
mod tests;

fn cannot_start(text: String) -> Action {
    Action::Note(Problem::new(Code::Reconcile, text))
}
