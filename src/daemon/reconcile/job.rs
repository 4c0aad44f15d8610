//! The work itself, in a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};

use super::super::error::Error;
use super::super::host::Host;
use super::super::openvpn;
use super::super::problem::{Code, Problem};
use super::super::session::Session;
use super::super::shape;
use super::report::ReconcileReport;
use crate::config::model::Settings;
use crate::plan::DesiredError;
use crate::plan::coexistence::Conflict;
use crate::sys::Tun;
use crate::sys::owned_guard_copy::OwnedGuardCopy;
use crate::sys::worker::WorkerOutput;

/// What is to be done.
pub struct ReconcileJob<'a> {
    /// To be brought into force.
    pub settings: &'a Settings,
    /// To be guarded by: the same, or stricter.
    pub guarded: &'a Settings,
    /// From which the guard is loaded at boot.
    pub guard_file: &'a Path,
    /// What has been granted to homes.
    pub sessions: &'a [Session],
    /// Where the router's endpoint is, as far as that is known.
    pub endpoint: Option<SocketAddr>,
    /// Whether that goes before what WireGuard itself has found out.
    pub endpoint_is_news: bool,
    /// Addresses, inside the tunnel, of the peers with whom WireGuard is to begin anew.
    pub renew: &'a [Ipv4Addr],
    /// Whether the daemon holds `mp0`.
    pub has_tun: bool,
    /// Whether it runs an openvpn.
    pub has_openvpn: bool,
}

/// Does it, and reports an [`ReconcileReport`]; the descriptor is `mp0`'s where it was made or taken over. `held` then is a copy of
/// the guard.
pub fn reconcile(job: &ReconcileJob<'_>, held: Option<&OwnedGuardCopy>) -> WorkerOutput {
    let mut report = ReconcileReport::default();
    let attempted = Host::open().and_then(|mut host| {
        // First of all, and whatever becomes of the tunnel.
        match host.set_guard(job.guarded, job.guard_file) {
            Ok(applied) => {
                report.ops += applied.ops.len();
                hold(held);
            }
            Err(error) => report.problems.push(Problem::of_guard(&error)),
        }
        let attempted = attempt(&mut host, job, &mut report);
        let preflight_issues = host.preflight_issues(job.settings).into_iter();
        report.problems.extend(preflight_issues.map(|issue| Problem::new(Code::Preflight(issue.kind), issue.text)));
        attempted
    });
    let tun = match attempted {
        Ok(tun) => {
            report.stands = true;
            tun
        }
        // The lookup itself says why.
        Err(Error::Desired(DesiredError::Unresolved)) => None,
        Err(error) => {
            let problem = Problem::of_tunnel(&error);
            // What both lack is one problem.
            report.problems.retain(|other| *other != problem);
            report.problems.insert(0, problem);
            None
        }
    };
    WorkerOutput { text: report.to_text(), fd: tun.map(Tun::into) }
}

/// Has the copy follow a guard that was verified.
fn hold(held: Option<&OwnedGuardCopy>) {
    match held.map_or(Ok(false), OwnedGuardCopy::follow) {
        Ok(true) => info!("hold a copy of the guard"),
        Ok(false) => {}
        Err(cause) => warn!("holding a copy of the guard: {cause}: it stays as it was"),
    }
}

fn attempt(host: &mut Host, job: &ReconcileJob<'_>, report: &mut ReconcileReport) -> Result<Option<Tun>, Error> {
    let settings = job.settings;
    // No peer yet, no interface yet: then there is nothing that WireGuard could know better.
    let installed = host.endpoint_peer(settings);
    let installed = installed.as_ref().filter(|_| !job.endpoint_is_news).and_then(|peer| peer.endpoint);
    host.learn(settings, installed.or(job.endpoint))?;
    host.restart_handshakes(settings, job.renew);
    if !job.has_openvpn {
        openvpn::end_orphans()?;
    }
    report.encapsulation = Some(host.encapsulation());
    let size = shape::cell_size(settings, host.encapsulation())?;
    let applied = host.bring_up(settings, &shape::limits(settings, size, job.sessions))?;
    report.ops += applied.ops.len();
    report.forwarding = host.forwarding_before();
    report.overridden = host.overridden().cloned();
    report.interface = host.interface_index(settings)?;
    if let Some(peer) = host.endpoint_peer(settings) {
        report.endpoint = peer.endpoint;
        report.handshake_s = peer.last_handshake_s;
    }
    host.prioritize_encryption(settings);
    let conflicts = host.conflicts(settings)?;
    report.problems.extend(conflicts.iter().map(|conflict| Problem::new(of_conflict(conflict), conflict.to_string())));
    match host.take_tun() {
        Some(tun) => Ok(Some(tun)),
        None if job.has_tun => Ok(None),
        None => host.attach_tun().map(Some),
    }
}

fn of_conflict(conflict: &Conflict) -> Code {
    match conflict {
        Conflict::Rule(..) => Code::RuleBefore,
        Conflict::Mark(..) => Code::MarkTaken,
        Conflict::Table(_) => Code::TableTaken,
    }
}
