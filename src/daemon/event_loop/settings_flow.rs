//! How settings come into force: a reload, the reconcile job that applies the change, and what every component does
//! when it has.

use log::{error, info, warn};

use super::moment::moment;
use super::parts::{LoopFlow, Parts};
use crate::config::model::{Device, Settings};
use crate::daemon::config_state::{SettingsChange, SettingsFile};
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::reconcile::host::guard::install_provisional_guard;
use crate::daemon::reconcile::{self, FinishedJob, ReconcileReport};
use crate::daemon::schedule::calendar::LocalZone;
use crate::sys::epoll::Poll;
use crate::units::{Nanos, counted};

impl Parts {
    /// Starts to apply changed settings in place. If that fails, the previous settings stay in force.
    pub fn reload(&mut self, requester: Option<Requester>, poll: &Poll, now: Nanos) -> LoopFlow {
        if self.config.is_changing() {
            match requester {
                Some(requester) => {
                    let refusal = Answer::refused("another reload is in progress: try again");
                    self.control.answer(requester, refusal, poll, now);
                }
                None => self.config.reload_later(),
            }
            return LoopFlow::Continue;
        }
        self.control.await_reload(requester);
        self.health.remove(|code| code == Code::Settings);
        let SettingsFile { settings, understood } = self.config.read_file();
        let mut configured = match settings {
            Ok(settings) => settings,
            Err(error) => {
                self.refuse(&error.to_string(), poll, now);
                self.confine(understood);
                self.reconciler.trigger_now(now);
                return LoopFlow::Continue;
            }
        };
        self.config.confine(None);
        if !configured.enabled {
            info!("disabled in the settings; stopping");
            self.control.answer_reload(Answer::Text("millpond is disabled: the daemon stops\n".into()), poll, now);
            return LoopFlow::Stop;
        }
        self.failover.retain(&mut configured, self.config.in_force(), now);
        self.change_settings(configured, false, now);
        if !self.config.is_changing() {
            let accepted = "the settings are accepted; the tunnel is not up yet\n";
            self.control.answer_reload(Answer::Text(accepted.into()), poll, now);
        }
        LoopFlow::Continue
    }

    /// Adds what the readable part of a broken file confines to the guard; without settings in force, installs a
    /// provisional guard at once.
    fn confine(&mut self, understood: Option<Settings>) {
        let Some(understood) = understood else { return };
        if let Some(confined) = self.config.confined_by(&understood) {
            self.config.confine(Some(confined));
        } else if understood.enabled {
            // Without settings in force there are no cells that this blocking call could delay.
            if let Err(error) = install_provisional_guard(&understood, self.reconciler.guard_file()) {
                self.health.note(Problem::of_guard(&error));
            }
        }
    }

    /// Starts to apply settings. `is_automatic` says that the daemon itself caused the change.
    pub fn change_settings(&mut self, configured: Settings, is_automatic: bool, now: Nanos) {
        let settings = self.schedule.in_force(&configured, moment(now));
        if self.plane.has_tunnel() {
            self.plane.local_mut().expect_devices(&settings);
            self.reconciler.prepare(&settings, now);
            self.config.start(SettingsChange::of_file(settings, configured, is_automatic));
        } else {
            // There is no tunnel to keep in case of a failure, so the new settings replace the old ones at once.
            self.schedule.set_zone(LocalZone::of_host());
            self.reconciler.replace_endpoint(&settings, now);
            self.config.set(settings, Some(configured));
            self.health.remove(|code| !matches!(code, Code::Realtime | Code::Clock | Code::Socket));
        }
        self.reconciler.trigger_now(now);
    }

    /// Starts to apply the level that the clock selects.
    pub fn change_level(&mut self, settings: Settings, now: Nanos) {
        if self.plane.has_tunnel() {
            self.config.start(SettingsChange::of_level(settings));
        } else {
            self.config.set(settings, None);
        }
        self.reconciler.trigger_now(now);
    }

    /// Handles the report of a finished reconcile job.
    pub fn handle_job(&mut self, poll: &Poll, now: Nanos) {
        let Some(finished) = self.reconciler.poll_job(poll, now) else { return };
        let change = self.config.take_started();
        let is_automatic = change.as_ref().map(|change| change.is_automatic);
        let previous = self.health.remove(reconcile::is_reported);
        let result = self.handle_report(finished, change, &previous, poll, now);
        match is_automatic {
            Some(is_automatic) => self.finish_change(&result, is_automatic, poll, now),
            None if result.is_ok() && !self.is_announced => self.announce(),
            None => {}
        }
        self.plane.local_mut().resume_cells(now);
        self.tick_hold(now);
        // The lookup reports an unresolved name, with its cause.
        if let Some(problem) = result.err().filter(|problem| problem.code != Code::Name) {
            self.health.note_unless_logged(problem, &previous);
        }
        self.note_state(poll, now);
        // Report readiness even without a tunnel: millpond keeps retrying, and a restart would not help.
        self.health.manager().notify_ready();
    }

    /// Handles the result of a name lookup.
    pub fn handle_lookup(&mut self, poll: &Poll, now: Nanos) {
        let Some(finished) = self.reconciler.poll_lookup(poll, now) else { return };
        let previous = self.health.remove(|code| code == Code::Name);
        if let Some(problem) = finished.problem {
            let failed = if finished.fails_change { self.config.take_change() } else { None };
            match failed {
                Some(change) => self.finish_change(&Err(problem), change.is_automatic, poll, now),
                None => self.health.note_unless_logged(problem, &previous),
            }
        }
        self.note_state(poll, now);
    }

    /// Takes over the tunnel of a finished job, and puts the change that it applied into force. The error is the
    /// problem that keeps the tunnel down.
    fn handle_report(
        &mut self,
        finished: FinishedJob,
        change: Option<SettingsChange>,
        previous: &[Problem],
        poll: &Poll,
        now: Nanos,
    ) -> Result<(), Problem> {
        let report = finished.report.map_err(|error| {
            let text = format!("applying the settings to the kernel: the reconcile process failed: {error}");
            Problem::new(Code::Reconcile, text)
        })?;
        self.schedule.set_wan(report.wan.as_deref());
        if !report.tunnel_is_up {
            // An interface that is missing or has another program's qdisc gets no cells.
            let is_unusable = |problem: &Problem| matches!(problem.code, Code::Interface | Code::ForeignQdisc);
            if change.is_none() && report.problems.iter().any(is_unusable) {
                self.plane.unbind(poll);
            }
            let unresolved = || Problem::new(Code::Name, "tunnel.endpoint: the name is not resolved yet");
            let mut problems = report.problems.into_iter();
            let first = problems.next().unwrap_or_else(unresolved);
            problems.for_each(|problem| self.health.note_unless_logged(problem, previous));
            return Err(first);
        }
        report.problems.iter().for_each(|problem| self.health.note_unless_logged(problem.clone(), previous));
        if report.ops > 0 && !finished.was_triggered {
            warn!("kernel state drifted; reapplied {}", counted(report.ops, "operation", "operations"));
        }
        let has_tun = finished.tun.map_or(Ok(()), |tun| self.plane.set_tun(tun, poll));
        let adopted = has_tun.and_then(|()| self.put_into_force(change, &report, poll, now));
        adopted.map_err(|error| Problem::of_tunnel(&error))
    }

    /// Updates every component to the settings that are in force now.
    fn put_into_force(
        &mut self,
        change: Option<SettingsChange>,
        report: &ReconcileReport,
        poll: &Poll,
        now: Nanos,
    ) -> Result<(), Error> {
        let is_change = change.is_some();
        let is_new = is_change || self.plane.is_empty();
        if let Some(SettingsChange { settings, configured, .. }) = change {
            if !self.config.in_force().is_some_and(|before| has_same_devices(before, &settings)) {
                self.plane.local_mut().forget_devices();
                self.advice.clear();
            }
            if configured.is_some() {
                self.schedule.set_zone(LocalZone::of_host());
            }
            self.config.set(settings, configured);
        }
        self.reconciler.note_report(report, is_change, now);
        let (Some(settings), Some(encapsulation)) = (self.config.in_force(), report.encapsulation) else {
            return Ok(());
        };
        let interface_changed = self.plane.bind(settings, report.interface, poll)?;
        if !self.plane.has_tun() {
            // Another number of threads or another role needs another TUN interface.
            self.reconciler.trigger_now(now);
        }
        if interface_changed {
            // A new interface has no keys.
            self.plane.local_mut().pause_cells(now);
        }
        self.reconciler.update_openvpn(settings, report.profile, is_new, interface_changed, now);
        if is_new {
            self.advice.update(settings, encapsulation, poll, now);
            self.plane.local_mut().set_linger(self.advice.linger());
        }
        self.plane.update(settings, encapsulation, is_new, now)?;
        if is_new && self.audits.stop(poll) {
            let why = Err("the settings changed during the audit: try again".to_owned());
            self.control.answer_audit(&why, true, poll, now);
        }
        Ok(())
    }

    /// Reports the result of a change.
    fn finish_change(&mut self, result: &Result<(), Problem>, is_automatic: bool, poll: &Poll, now: Nanos) {
        // If the change failed, the previous endpoint stays in use.
        self.reconciler.drop_next_endpoint();
        match result {
            Ok(()) => {
                self.announce();
                self.control.answer_reload(Answer::Text("the settings are in force\n".into()), poll, now);
            }
            Err(problem) if is_automatic => {
                self.health.note(problem.clone());
                self.reconciler.trigger_now(now);
            }
            Err(problem) => {
                self.refuse(&problem.text, poll, now);
                // The kernel may hold a part of the new settings. The job restores the previous ones.
                self.reconciler.trigger_now(now);
            }
        }
    }

    fn refuse(&mut self, why: &str, poll: &Poll, now: Nanos) {
        error!("reload failed: {why}; the previous settings stay in force");
        self.health.note(Problem::new(Code::Settings, format!("the changed settings are not in force: {why}")));
        self.control.answer_reload(Answer::refused(why), poll, now);
    }

    /// Logs the shaping in force.
    fn announce(&mut self) {
        self.is_announced = true;
        let (Some(settings), Some(size)) = (self.config.in_force(), self.plane.size()) else { return };
        let (shape, wire_bytes) = (&settings.shape, size.wire_bytes);
        match self.reconciler.endpoint_address() {
            Some(endpoint) => info!(
                "shaping towards {endpoint}: law {}, {} up, {} down, cells of {wire_bytes} bytes",
                shape.law, shape.upload, shape.download
            ),
            None => info!("serving {}", counted(settings.homes.len(), "home", "homes")),
        }
    }
}

/// Whether both have the same devices in the same order, so that a device keeps its number.
fn has_same_devices(before: &Settings, after: &Settings) -> bool {
    let same = |(one, other): (&Device, &Device)| (&one.macs, one.address) == (&other.macs, other.address);
    crate::plan::device_tag(before) == crate::plan::device_tag(after)
        && before.devices.len() == after.devices.len()
        && before.devices.iter().zip(&after.devices).all(same)
}
