//! The loop's part of the reconciler: when to look after the kernel, and what its processes bring back.

use std::net::IpAddr;

use log::{info, warn};

use super::super::error::Error;
use super::super::openvpn::{Openvpn, OpenvpnEvent, TROUBLES};
use super::super::problem::{Code, Problem};
use super::super::reconcile::endpoint::Endpoint;
use super::super::reconcile::report::ReconcileReport;
use super::super::reconcile::{Ended, ReconcileJob};
use super::super::session::Session;
use super::super::shape;
use super::requests::Reload;
use super::{COVER_CELLS, DATA_CELLS, EventLoop, OPENVPN, PACKETS};
use crate::config::model::{Device, Mac, Settings};
use crate::core::CellKind;
use crate::plan::ownership::{CELL_PORT, TUN};
use crate::plan::qdisc_tree::{COVER_PRIORITY, DATA_PRIORITY};
use crate::plan::tunnel;
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::sys::udp::CellSocket;
use crate::units::Nanos;

/// The descriptors of both ends of our side, as far as they are there.
#[derive(Default)]
pub struct TunnelIo {
    tun: Option<Tun>,
    sockets: Option<Sockets>,
}

/// One socket for each PRIO band, so that no system call between two cells depends on what is in them. They share a port:
/// to a firewall, cells of both kinds are one connection, and what the peer sends answers it. Either may receive.
pub struct Sockets {
    data: CellSocket,
    cover: CellSocket,
    /// Of the interface that they are bound to. One of the same name that is made later is another.
    interface: u32,
}

impl Sockets {
    /// The one that cells of that kind are sent by.
    pub fn of(&self, kind: CellKind) -> &CellSocket {
        match kind {
            CellKind::Data => &self.data,
            CellKind::Cover => &self.cover,
        }
    }
}

impl TunnelIo {
    /// Towards the devices.
    pub fn tun(&self) -> Option<&Tun> {
        self.tun.as_ref()
    }

    /// Towards the peers.
    pub fn sockets(&self) -> Option<&Sockets> {
        self.sockets.as_ref()
    }

    /// Whether packets can go both ways.
    pub fn is_complete(&self) -> bool {
        self.tun.is_some() && self.sockets.is_some()
    }

    /// Lets the TUN interface go.
    pub fn drop_tun(&mut self, poll: &Poll) {
        if let Some(tun) = self.tun.take() {
            // Closing does not do it while a process at work has a copy of the descriptor.
            _ = poll.remove(&tun);
        }
    }

    fn set_tun(&mut self, tun: Tun, poll: &Poll) -> Result<(), Error> {
        self.drop_tun(poll);
        poll.add(&tun, PACKETS).map_err(Error::system(format!("watching {TUN}")))?;
        self.tun = Some(tun);
        Ok(())
    }

    /// Has the sockets bound to the interface of that name and index. Says whether it is another than before.
    pub fn bind(&mut self, name: &str, interface: u32, poll: &Poll) -> Result<bool, Error> {
        if self.sockets.as_ref().is_some_and(|sockets| sockets.interface == interface) {
            return Ok(false);
        }
        self.unbind(poll);
        let opening = || Error::system(format!("opening the cells' sockets on {name}"));
        let data = CellSocket::open(name, CELL_PORT, DATA_PRIORITY).map_err(opening())?;
        let cover = CellSocket::open(name, CELL_PORT, COVER_PRIORITY).map_err(opening())?;
        poll.add(&data, DATA_CELLS).map_err(opening())?;
        poll.add(&cover, COVER_CELLS).map_err(opening())?;
        self.sockets = Some(Sockets { data, cover, interface });
        Ok(true)
    }

    /// Closes the sockets, because the interface is gone.
    fn unbind(&mut self, poll: &Poll) {
        if let Some(sockets) = self.sockets.take() {
            _ = poll.remove(&sockets.data);
            _ = poll.remove(&sockets.cover);
        }
    }
}

/// What makes two sections mean one device.
fn who(device: &Device) -> (Option<Mac>, Option<IpAddr>) {
    (device.mac, device.address)
}

/// What an report speaks of anew each time.
fn is_from_reconciling(code: Code) -> bool {
    let of_settings = matches!(code, Code::RuleBefore | Code::MarkTaken | Code::TableTaken | Code::Preflight(_));
    let of_tunnel = matches!(code, Code::Tunnel | Code::TunTaken | Code::Interface | Code::ForeignQdisc);
    let of_both = matches!(code, Code::PackageMissing | Code::Guard | Code::GuardFile | Code::Upkeep);
    of_settings || of_tunnel || of_both
}

impl EventLoop {
    /// When a name is to be looked up.
    pub(super) fn lookup_due(&self, now: Nanos) -> Option<Nanos> {
        self.reconciler.lookup_due(self.endpoint_wanted(), now)
    }

    /// Sends processes where they are due, in a gap between cells.
    pub(super) fn poll_reconciler(&mut self, now: Nanos) {
        let work = self.settings.is_some() && self.reconciler.due().is_some_and(|due| due <= now);
        let lookup = self.lookup_due(now).is_some_and(|due| due <= now);
        let overdue = self.reconciler.is_overdue(now);
        if !(work || lookup || overdue) || !self.has_gap(now) {
            return;
        }
        if work {
            self.start_reconcile(now);
        } else if lookup {
            self.start_lookup(now);
        } else {
            self.handle_reconcile_report(now);
            self.handle_addresses(now);
        }
    }

    /// Takes what the kernel tells of others' changes.
    pub(super) fn handle_kernel_events(&mut self, now: Nanos) {
        if !self.is_due(now) && self.reconciler.handle_kernel_events(now) && self.endpoint_wanted().is_unresolved() {
            // Perhaps the line to the Internet has just come up.
            self.endpoint_wanted_mut().trigger_now(now);
        }
    }

    /// Takes over what a process made of the kernel.
    pub(super) fn handle_reconcile_report(&mut self, now: Nanos) {
        let Some(ended) = self.reconciler.poll_report(&self.poll, now) else { return };
        let mut reload = self.reload.take_if(|reload| reload.begun);
        let old = self.forget(is_from_reconciling);
        let done = self.adopt(ended, reload.as_mut(), &old, now);
        match reload {
            Some(reload) => self.finish_reload(reload, &done, now),
            None if done.is_ok() => self.announce_once(),
            None => {}
        }
        // A name is the lookup's to speak of, which knows why.
        if let Some(problem) = done.err().filter(|problem| problem.code != Code::Name) {
            self.note_again(problem, &old);
        }
        self.note_state(now);
        // Also where nothing stands yet: it is tried on, and a new start would not help.
        self.manager.tell_ready();
    }

    /// Takes what a lookup found.
    pub(super) fn handle_addresses(&mut self, now: Nanos) {
        let Some((host, addresses)) = self.reconciler.poll_addresses(&self.poll, now) else { return };
        let endpoint = self.endpoint_wanted_mut();
        if endpoint.host() != Some(&host) {
            // Of settings that are gone.
            return;
        }
        let news = addresses.as_ref().is_ok_and(|addresses| endpoint.take(addresses));
        let (address, unresolved) = (endpoint.address(), endpoint.is_unresolved());
        let old = self.forget(|code| code == Code::Name);
        if let (true, Some(address)) = (news, address) {
            info!("{} is at {address}", host.host);
            self.reconciler.trigger_now(now);
        }
        if let Err(why) = addresses {
            let problem = Problem::new(Code::Name, format!("resolving tunnel.endpoint {}: {why}", host.host));
            if let Some(reload) = self.reload.take_if(|reload| unresolved && reload.endpoint.is_some()) {
                self.finish_reload(reload, &Err(problem), now);
            } else {
                self.note_again(problem, &old);
            }
        }
        self.note_state(now);
    }

    fn start_reconcile(&mut self, now: Nanos) {
        let ready = |reload: &&mut Reload| !reload.endpoint.as_ref().is_some_and(Endpoint::is_unresolved);
        let reload = self.reload.as_mut().filter(ready).map(|reload| {
            reload.begun = true;
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
            endpoint_is_news: endpoint.is_news(),
            renew: &self.renew,
            has_tun: self.tunnel.tun().is_some(),
            has_openvpn: self.openvpn.is_some(),
        };
        if let Err(error) = self.reconciler.start_reconcile(&job, &self.poll, now) {
            self.note(Problem::new(Code::Upkeep, format!("starting a process that looks after the kernel: {error}")));
        }
        self.renew.clear();
    }

    fn start_lookup(&mut self, now: Nanos) {
        let endpoint = self.endpoint_wanted_mut();
        endpoint.note_lookup(now);
        let Some(host) = endpoint.host().cloned() else { return };
        if let Err(error) = self.reconciler.start_lookup(&host, &self.poll, now) {
            self.note(Problem::new(Code::Upkeep, format!("starting a process that looks up {}: {error}", host.host)));
        }
    }

    /// The endpoint of the settings that come next, if any do, else of those in force.
    fn endpoint_wanted(&self) -> &Endpoint {
        self.reload.as_ref().and_then(|reload| reload.endpoint.as_ref()).unwrap_or(&self.endpoint)
    }

    fn endpoint_wanted_mut(&mut self) -> &mut Endpoint {
        self.reload.as_mut().and_then(|reload| reload.endpoint.as_mut()).unwrap_or(&mut self.endpoint)
    }

    /// Takes the tunnel over. An error says why it does not stand.
    fn adopt(&mut self, ended: Ended, reload: Option<&mut Reload>, old: &[Problem], now: Nanos) -> Result<(), Problem> {
        let report = ended.report.map_err(|error| {
            let text = format!("bringing the kernel in line with the settings: the process that does it: {error}");
            Problem::new(Code::Upkeep, text)
        })?;
        self.saved_sysctls.learn(&report, &self.options.socket);
        if !report.stands {
            // An interface that is not there, or where our queue cannot stand, gets no cells.
            let is_out = |problem: &Problem| matches!(problem.code, Code::Interface | Code::ForeignQdisc);
            if reload.is_none() && report.problems.iter().any(is_out) {
                self.tunnel.unbind(&self.poll);
            }
            let unresolved = || Problem::new(Code::Name, "tunnel.endpoint: the address of this name is not known yet");
            let mut problems = report.problems.into_iter();
            let first = problems.next().unwrap_or_else(unresolved);
            problems.for_each(|problem| self.note_again(problem, old));
            return Err(first);
        }
        report.problems.iter().for_each(|problem| self.note_again(problem.clone(), old));
        if report.ops > 0 && !ended.is_own {
            warn!("the kernel had been changed: {} operations to bring it in line again", report.ops);
        }
        let descriptors = ended.tun.map_or(Ok(()), |tun| self.tunnel.set_tun(Tun::from(tun), &self.poll));
        descriptors.and_then(|()| self.follow(reload, &report, now)).map_err(|error| Problem::of_tunnel(&error))
    }

    /// Has the sessions follow the settings that are in force now.
    fn follow(&mut self, reload: Option<&mut Reload>, report: &ReconcileReport, now: Nanos) -> Result<(), Error> {
        let is_new = reload.is_some() || self.sessions.all().is_empty();
        if let Some(reload) = reload {
            let same = |before: &Settings| before.devices.iter().map(who).eq(reload.settings.devices.iter().map(who));
            if !self.settings.as_ref().is_some_and(same) {
                // Numbers have come to mean other devices.
                self.flows.clear();
                self.advice.clear();
                self.sessions.all_mut().iter_mut().for_each(Session::forget_devices);
            }
            if let Some(written) = reload.written.take() {
                self.clock.adopt(written);
            }
            self.settings = Some(reload.settings.clone());
            if let Some(endpoint) = reload.endpoint.take() {
                self.endpoint = endpoint;
            }
        }
        self.endpoint.note_wireguard(now, report.endpoint, report.handshake_s, self.endpoint.is_news());
        let (Some(settings), Some(encapsulation)) = (&self.settings, report.encapsulation) else { return Ok(()) };
        let is_another = self.tunnel.bind(tunnel::interface(settings), report.interface, &self.poll)?;
        match &mut self.openvpn {
            Some(openvpn) if is_new || is_another => openvpn.update(settings, is_another, now)?,
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
            self.begin_watching(now);
            self.drop_audit(now);
        }
        Ok(())
    }

    /// Starts and buries the openvpn that carries the cells.
    pub(super) fn poll_openvpn(&mut self, now: Nanos) {
        let news = self.openvpn.as_mut().and_then(|openvpn| openvpn.tick(&self.poll, OPENVPN, now));
        self.openvpn.take_if(|openvpn| openvpn.is_over());
        self.handle_openvpn_event(news);
    }

    /// Takes what openvpn says.
    pub(super) fn handle_openvpn_output(&mut self) {
        let news = self.openvpn.as_mut().and_then(|openvpn| openvpn.handle_output(&self.poll));
        self.handle_openvpn_event(news);
    }

    fn handle_openvpn_event(&mut self, news: Option<OpenvpnEvent>) {
        match news {
            None => {}
            Some(OpenvpnEvent::Up) => _ = self.forget(|code| TROUBLES.contains(&code)),
            Some(OpenvpnEvent::Trouble(problem)) => self.note(problem),
        }
    }

    /// Takes the problems of these kinds off the list.
    fn forget(&mut self, is_one: impl Fn(Code) -> bool) -> Vec<Problem> {
        let (old, kept) = std::mem::take(&mut self.problems).into_iter().partition(|problem| is_one(problem.code));
        self.problems = kept;
        old
    }

    /// Remembers a problem; one that was there before is not worth another line in the log.
    fn note_again(&mut self, problem: Problem, old: &[Problem]) {
        if old.contains(&problem) { self.problems.push(problem) } else { self.note(problem) }
    }
}
