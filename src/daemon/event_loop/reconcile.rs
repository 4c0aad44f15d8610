//! The event loop's part of the reconciler: starts its processes in gaps between cells, and applies their reports.

use std::net::IpAddr;

use log::{info, warn};

use crate::config::model::{Device, Mac, Settings};
use crate::core::CellKind;
use crate::daemon::dataplane::session::Session;
use crate::daemon::error::Error;
use crate::daemon::event_loop::requests::Reload;
use crate::daemon::event_loop::{COVER_CELLS, DATA_CELLS, EventLoop, OPENVPN, PACKETS};
use crate::daemon::problem::{Code, Problem};
use crate::daemon::reconcile::endpoint::Endpoint;
use crate::daemon::reconcile::openvpn::{OPENVPN_PROBLEMS, Openvpn, OpenvpnEvent};
use crate::daemon::reconcile::report::ReconcileReport;
use crate::daemon::reconcile::{FinishedJob, ReconcileJob};
use crate::daemon::shape;
use crate::plan::ownership::{CELL_PORT, TUN};
use crate::plan::qdisc_tree::{COVER_PRIORITY, DATA_PRIORITY};
use crate::plan::tunnel;
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::sys::udp::CellSocket;
use crate::units::Nanos;

/// The descriptors of both sides of the data path: the TUN interface towards the devices, the sockets towards the
/// peers.
#[derive(Default)]
pub struct TunnelIo {
    tun: Option<Tun>,
    sockets: Option<Sockets>,
}

/// One socket for each PRIO band, so that no system call between two cells depends on their kind. Both share a port: to
/// a firewall, cells of both kinds are one connection, and the peer's cells answer it. Either socket may receive.
pub struct Sockets {
    data: CellSocket,
    cover: CellSocket,
    /// Index of the interface they are bound to. An interface created later with the same name has another index.
    interface: u32,
}

impl Sockets {
    /// The socket that sends cells of that kind.
    pub fn of(&self, kind: CellKind) -> &CellSocket {
        match kind {
            CellKind::Data => &self.data,
            CellKind::Cover => &self.cover,
        }
    }
}

impl TunnelIo {
    /// The TUN interface, towards the devices.
    pub fn tun(&self) -> Option<&Tun> {
        self.tun.as_ref()
    }

    /// The sockets, towards the peers.
    pub fn sockets(&self) -> Option<&Sockets> {
        self.sockets.as_ref()
    }

    /// Whether both TUN interface and sockets are open.
    pub fn is_complete(&self) -> bool {
        self.tun.is_some() && self.sockets.is_some()
    }

    /// Closes the TUN interface.
    pub fn drop_tun(&mut self, poll: &Poll) {
        if let Some(tun) = self.tun.take() {
            // Closing alone does not remove it from the epoll set while a forked process has a copy of the descriptor.
            _ = poll.remove(&tun);
        }
    }

    fn set_tun(&mut self, tun: Tun, poll: &Poll) -> Result<(), Error> {
        self.drop_tun(poll);
        poll.add(&tun, PACKETS).map_err(Error::system(format!("watching {TUN}")))?;
        self.tun = Some(tun);
        Ok(())
    }

    /// Binds the sockets to the interface with that name and index, unless they are bound to it already. Returns
    /// whether they were reopened.
    pub fn bind(&mut self, name: &str, interface: u32, poll: &Poll) -> Result<bool, Error> {
        if self.sockets.as_ref().is_some_and(|sockets| sockets.interface == interface) {
            return Ok(false);
        }
        self.unbind(poll);
        let opening = || Error::system(format!("opening the cell sockets on {name}"));
        let data = CellSocket::open(name, CELL_PORT, DATA_PRIORITY).map_err(opening())?;
        let cover = CellSocket::open(name, CELL_PORT, COVER_PRIORITY).map_err(opening())?;
        poll.add(&data, DATA_CELLS).map_err(opening())?;
        poll.add(&cover, COVER_CELLS).map_err(opening())?;
        self.sockets = Some(Sockets { data, cover, interface });
        Ok(true)
    }

    /// Closes the sockets.
    fn unbind(&mut self, poll: &Poll) {
        if let Some(sockets) = self.sockets.take() {
            _ = poll.remove(&sockets.data);
            _ = poll.remove(&sockets.cover);
        }
    }
}

/// The identity of a device: two sections with equal keys mean one device.
fn device_key(device: &Device) -> (Option<Mac>, Option<IpAddr>) {
    (device.mac, device.address)
}

/// Whether reconcile reports list this problem. Every report lists all that still exist.
fn is_from_reconciling(code: Code) -> bool {
    let of_settings = matches!(code, Code::RuleBefore | Code::MarkTaken | Code::TableTaken | Code::Preflight(_));
    let of_tunnel = matches!(code, Code::Tunnel | Code::TunTaken | Code::Interface | Code::ForeignQdisc);
    let of_both = matches!(code, Code::PackageMissing | Code::Guard | Code::GuardFile | Code::Reconcile);
    of_settings || of_tunnel || of_both
}

impl EventLoop {
    /// When the next name lookup is due; `None` while one runs or none is needed.
    pub(super) fn lookup_due(&self, now: Nanos) -> Option<Nanos> {
        self.reconciler.lookup_due(self.next_endpoint(), now)
    }

    /// Starts due processes and ends overdue ones, in a gap between cells.
    pub(super) fn poll_reconciler(&mut self, now: Nanos) {
        let reconcile_is_due = self.settings.is_some() && self.reconciler.due().is_some_and(|due| due <= now);
        let lookup_is_due = self.lookup_due(now).is_some_and(|due| due <= now);
        let is_overdue = self.reconciler.is_overdue(now);
        if !(reconcile_is_due || lookup_is_due || is_overdue) || !self.has_gap(now) {
            return;
        }
        if reconcile_is_due {
            self.start_reconcile(now);
        } else if lookup_is_due {
            self.start_lookup(now);
        } else {
            self.handle_reconcile_report(now);
            self.handle_addresses(now);
        }
    }

    /// Reads kernel notifications, unless a departure is due.
    pub(super) fn handle_kernel_events(&mut self, now: Nanos) {
        if !self.is_due(now) && self.reconciler.handle_kernel_events(now) && self.next_endpoint().is_unresolved() {
            // The Internet connection may have just come up.
            self.next_endpoint_mut().trigger_now(now);
        }
    }

    /// Handles the report of a finished reconcile job.
    pub(super) fn handle_reconcile_report(&mut self, now: Nanos) {
        let Some(finished) = self.reconciler.poll_report(&self.poll, now) else { return };
        let mut reload = self.reload.take_if(|reload| reload.is_started);
        let previous = self.remove_problems(is_from_reconciling);
        let result = self.adopt_tunnel(finished, reload.as_mut(), &previous, now);
        match reload {
            Some(reload) => self.finish_reload(reload, &result, now),
            None if result.is_ok() => self.announce_once(),
            None => {}
        }
        // The lookup reports an unresolved name, with its cause.
        if let Some(problem) = result.err().filter(|problem| problem.code != Code::Name) {
            self.note_unless_logged(problem, &previous);
        }
        self.note_state(now);
        // Report readiness even without a tunnel: millpond keeps retrying, and a restart would not help.
        self.manager.notify_ready();
    }

    /// Handles the result of a name lookup.
    pub(super) fn handle_addresses(&mut self, now: Nanos) {
        let Some((host, addresses)) = self.reconciler.poll_addresses(&self.poll, now) else { return };
        let endpoint = self.next_endpoint_mut();
        if endpoint.host() != Some(&host) {
            // The lookup belongs to previous settings.
            return;
        }
        let changed = addresses.as_ref().is_ok_and(|addresses| endpoint.handle_lookup(addresses));
        let (address, is_unresolved) = (endpoint.address(), endpoint.is_unresolved());
        let previous = self.remove_problems(|code| code == Code::Name);
        if let (true, Some(address)) = (changed, address) {
            info!("tunnel.endpoint {} resolved to {address}", host.host);
            self.reconciler.trigger_now(now);
        }
        if let Err(why) = addresses {
            let problem = Problem::new(Code::Name, format!("resolving tunnel.endpoint {}: {why}", host.host));
            if let Some(reload) = self.reload.take_if(|reload| is_unresolved && reload.endpoint.is_some()) {
                self.finish_reload(reload, &Err(problem), now);
            } else {
                self.note_unless_logged(problem, &previous);
            }
        }
        self.note_state(now);
    }

    fn start_reconcile(&mut self, now: Nanos) {
        let is_ready = |reload: &&mut Reload| !reload.endpoint.as_ref().is_some_and(Endpoint::is_unresolved);
        let reload = self.reload.as_mut().filter(is_ready).map(|reload| {
            reload.is_started = true;
            &*reload
        });
        let Some(settings) = reload.map(|reload| &reload.settings).or(self.settings.as_ref()) else { return };
        let endpoint = reload.and_then(|reload| reload.endpoint.as_ref()).unwrap_or(&self.endpoint);
        let job = ReconcileJob {
            settings,
            guarded: self.confined.as_ref().unwrap_or(settings),
            guard_file: &self.options.guard_file,
            sessions: self.sessions.all(),
            endpoint: endpoint.address(),
            endpoint_moved: endpoint.has_moved(),
            rehandshake: &self.rehandshake,
            has_tun: self.tunnel.tun().is_some(),
            has_openvpn: self.openvpn.is_some(),
        };
        if let Err(error) = self.reconciler.start_reconcile(&job, &self.poll, now) {
            self.note(Problem::new(Code::Reconcile, format!("starting the reconcile process: {error}")));
        }
        self.rehandshake.clear();
    }

    fn start_lookup(&mut self, now: Nanos) {
        let endpoint = self.next_endpoint_mut();
        endpoint.note_lookup(now);
        let Some(host) = endpoint.host().cloned() else { return };
        if let Err(error) = self.reconciler.start_lookup(&host, &self.poll, now) {
            self.note(Problem::new(Code::Reconcile, format!("starting the lookup of {}: {error}", host.host)));
        }
    }

    /// The endpoint of the settings being applied, or else of those in force.
    fn next_endpoint(&self) -> &Endpoint {
        self.reload.as_ref().and_then(|reload| reload.endpoint.as_ref()).unwrap_or(&self.endpoint)
    }

    fn next_endpoint_mut(&mut self) -> &mut Endpoint {
        self.reload.as_mut().and_then(|reload| reload.endpoint.as_mut()).unwrap_or(&mut self.endpoint)
    }

    /// Takes over the tunnel of a finished job. The error is the problem that keeps the tunnel down.
    fn adopt_tunnel(
        &mut self,
        finished: FinishedJob,
        reload: Option<&mut Reload>,
        previous: &[Problem],
        now: Nanos,
    ) -> Result<(), Problem> {
        let report = finished.report.map_err(|error| {
            let text = format!("applying the settings to the kernel: the reconcile process failed: {error}");
            Problem::new(Code::Reconcile, text)
        })?;
        self.saved_sysctls.save(&report, &self.options.socket);
        if !report.tunnel_is_up {
            // An interface that is missing or has another program's qdisc gets no cells.
            let is_unusable = |problem: &Problem| matches!(problem.code, Code::Interface | Code::ForeignQdisc);
            if reload.is_none() && report.problems.iter().any(is_unusable) {
                self.tunnel.unbind(&self.poll);
            }
            let unresolved = || Problem::new(Code::Name, "tunnel.endpoint: the name is not resolved yet");
            let mut problems = report.problems.into_iter();
            let first = problems.next().unwrap_or_else(unresolved);
            problems.for_each(|problem| self.note_unless_logged(problem, previous));
            return Err(first);
        }
        report.problems.iter().for_each(|problem| self.note_unless_logged(problem.clone(), previous));
        if report.ops > 0 && !finished.was_triggered {
            warn!("kernel state drifted; reapplied {} operations", report.ops);
        }
        let descriptors = finished.tun.map_or(Ok(()), |tun| self.tunnel.set_tun(Tun::from(tun), &self.poll));
        descriptors.and_then(|()| self.apply_report(reload, &report, now)).map_err(|error| Problem::of_tunnel(&error))
    }

    /// Updates sockets, openvpn and sessions to the settings that are in force now.
    fn apply_report(&mut self, reload: Option<&mut Reload>, report: &ReconcileReport, now: Nanos) -> Result<(), Error> {
        let is_new = reload.is_some() || self.sessions.all().is_empty();
        if let Some(reload) = reload {
            let has_same_devices = |before: &Settings| {
                before.devices.iter().map(device_key).eq(reload.settings.devices.iter().map(device_key))
            };
            if !self.settings.as_ref().is_some_and(has_same_devices) {
                // The numbers now mean other devices.
                self.flows.clear();
                self.advice.clear();
                self.sessions.all_mut().iter_mut().for_each(Session::forget_devices);
            }
            if let Some(configured) = reload.configured.take() {
                self.clock.adopt(configured);
            }
            self.settings = Some(reload.settings.clone());
            if let Some(endpoint) = reload.endpoint.take() {
                self.endpoint = endpoint;
            }
        }
        self.endpoint.note_wireguard(now, report.endpoint, report.handshake_s, self.endpoint.has_moved());
        let (Some(settings), Some(encapsulation)) = (&self.settings, report.encapsulation) else { return Ok(()) };
        let interface_changed = self.tunnel.bind(tunnel::interface(settings), report.interface, &self.poll)?;
        match &mut self.openvpn {
            Some(openvpn) if is_new || interface_changed => openvpn.update(settings, interface_changed, now)?,
            Some(_) => {}
            None => self.openvpn = Openvpn::new(settings, now)?,
        }
        let size = shape::cell_size(settings, encapsulation)?;
        if is_new || self.size != Some(size) {
            self.sessions.update(settings, size, now)?;
            self.departures = self.sessions.departures();
            self.size = Some(size);
        }
        self.limits = Some(shape::limits(settings, size, self.sessions.all()));
        if is_new {
            self.update_advisor(now);
            self.drop_audit(now);
        }
        Ok(())
    }

    /// Starts and reaps the openvpn process.
    pub(super) fn poll_openvpn(&mut self, now: Nanos) {
        let event = self.openvpn.as_mut().and_then(|openvpn| openvpn.tick(&self.poll, OPENVPN, now));
        self.openvpn.take_if(|openvpn| openvpn.is_stopped());
        self.handle_openvpn_event(event);
    }

    /// Reads the output of openvpn.
    pub(super) fn handle_openvpn_output(&mut self) {
        let event = self.openvpn.as_mut().and_then(|openvpn| openvpn.handle_output(&self.poll));
        self.handle_openvpn_event(event);
    }

    fn handle_openvpn_event(&mut self, event: Option<OpenvpnEvent>) {
        match event {
            None => {}
            Some(OpenvpnEvent::Up) => _ = self.remove_problems(|code| OPENVPN_PROBLEMS.contains(&code)),
            Some(OpenvpnEvent::Failed(problem)) => self.note(problem),
        }
    }

    /// Removes the problems with a matching code from the list, and returns them.
    fn remove_problems(&mut self, matches: impl Fn(Code) -> bool) -> Vec<Problem> {
        let (removed, kept) = std::mem::take(&mut self.problems).into_iter().partition(|problem| matches(problem.code));
        self.problems = kept;
        removed
    }

    /// Adds a problem to the list. It is logged only if it is not among the `previous` ones.
    fn note_unless_logged(&mut self, problem: Problem, previous: &[Problem]) {
        if previous.contains(&problem) { self.problems.push(problem) } else { self.note(problem) }
    }
}
