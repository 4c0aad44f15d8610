//! The reconcile job, which runs in a forked process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};

use super::report::ReconcileReport;
use crate::config::model::{Mac, Settings};
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::reconcile::host::Host;
use crate::daemon::reconcile::openvpn;
use crate::daemon::shape;
use crate::plan::coexistence::Conflict;
use crate::plan::{DesiredError, Forwarding, SHOWN_ADDRESSES};
use crate::sys::Tun;
use crate::sys::fw4_zones::with_interfaces;
use crate::sys::owned_guard_copy::OwnedGuardCopy;
use crate::sys::worker::WorkerOutput;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;

/// A router that has been silent for this long has made a new handshake in vain.
const IN_VAIN_AFTER: Nanos = Nanos::from_secs(8);

/// The input of a reconcile job.
pub struct ReconcileJob<'a> {
    /// The settings to apply.
    pub settings: &'a Settings,
    /// The settings for the guard: the same, or stricter.
    pub guarded: &'a Settings,
    /// The file from which the guard is loaded at boot.
    pub guard_file: &'a Path,
    /// The grant of an endpoint's first home that has one.
    pub granted: Option<&'a ShapingRequest>,
    /// The address of the router's endpoint, once it is known.
    pub endpoint: Option<SocketAddr>,
    /// Whether `endpoint` replaces the address that WireGuard has.
    pub endpoint_moved: bool,
    /// The host's forwarding sysctls before millpond, once they are known.
    pub saved_forwarding: Option<&'a Forwarding>,
    /// Tunnel addresses of the silent peers whose WireGuard handshakes need a look, and how long each is silent.
    pub rehandshake: &'a [(Ipv4Addr, Nanos)],
    /// Whether the daemon holds `mp0`.
    pub has_tun: bool,
    /// Whether the daemon runs an openvpn.
    pub has_openvpn: bool,
}

/// Runs the job and returns a [`ReconcileReport`] as text, with the descriptor of `mp0` if the job created or attached
/// it. `guard_copy` then equals the guard.
pub fn reconcile(job: &ReconcileJob<'_>, guard_copy: Option<&OwnedGuardCopy>) -> WorkerOutput {
    let mut report = ReconcileReport::default();
    let (settings, guarded) = (&with_interfaces(job.settings), &with_interfaces(job.guarded));
    let job = &ReconcileJob { settings, guarded, ..*job };
    let result = Host::open(job.saved_forwarding.cloned()).and_then(|mut host| {
        // The next update of the copy empties it.
        let mut astray = guard_copy.map(OwnedGuardCopy::astray).unwrap_or_default();
        // The guard comes first, and does not depend on the tunnel.
        let guard = host.set_guard(job.guarded, job.guard_file, guard_copy);
        report.ops += guard.ops;
        report.problems.extend(guard.errors.iter().map(Problem::of_guard));
        report.problems.extend(conflict_problem(&guard.conflicts));
        if !guard.unknown.is_empty() {
            report.problems.push(Problem::new(Code::UnknownDevice, first_ones(&guard.unknown).join("; ")));
        }
        match host.set_bridge_guard(job.guarded) {
            Ok(ops) => report.ops += ops,
            Err(error) => report.problems.push(Problem::of_guard(&error)),
        }
        let result = if guard.in_force {
            update_guard_copy(guard_copy, guard.has_learned);
            bring_up_tunnel(&mut host, job, &mut report)
        } else {
            Err(Error::NoGuard)
        };
        if report.ops > 0 {
            // What was missing or wrong until now explains it, even during this job: the guard comes first.
            host.forget_astray();
            if guard.in_force {
                update_guard_copy(guard_copy, true);
            }
        } else if result.is_ok() {
            astray.extend(&guard.astray);
            report.problems.extend(astray_problem(astray, job.settings));
        }
        let preflight_issues = host.preflight_issues(job.settings).into_iter();
        report.problems.extend(preflight_issues.map(|issue| Problem::new(Code::Preflight(issue.kind), issue.text)));
        result
    });
    let tun = match result {
        Ok(tun) => {
            report.tunnel_is_up = true;
            tun
        }
        // The guard's problem, and the name lookup's, have the cause.
        Err(Error::NoGuard | Error::Desired(DesiredError::Unresolved)) => None,
        Err(error) => {
            let problem = Problem::of_tunnel(&error);
            // Guard and tunnel may lack the same package. That is one problem.
            report.problems.retain(|other| *other != problem);
            report.problems.insert(0, problem);
            None
        }
    };
    WorkerOutput { text: report.to_text(), fd: tun.map(Tun::into) }
}

/// Copies a verified guard into the owned copy. `has_learned` says whether the guard has learned something since.
fn update_guard_copy(guard_copy: Option<&OwnedGuardCopy>, has_learned: bool) {
    let sync = |copy: &OwnedGuardCopy| if has_learned { copy.sync_learned(&SHOWN_ADDRESSES) } else { copy.sync() };
    match guard_copy.map_or(Ok(false), sync) {
        Ok(true) if has_learned => {}
        Ok(true) => info!("updated the owned copy of the guard"),
        Ok(false) => {}
        Err(cause) => warn!("updating the owned copy of the guard: {cause}; keeping the old copy"),
    }
}

fn bring_up_tunnel(
    host: &mut Host,
    job: &ReconcileJob<'_>,
    report: &mut ReconcileReport,
) -> Result<Option<Tun>, Error> {
    let settings = job.settings;
    // WireGuard may have learned a newer address from the endpoint. Without an interface or a peer there is none.
    let known = host.endpoint_peer(settings).and_then(|peer| peer.endpoint);
    host.read_facts(settings, known.filter(|_| !job.endpoint_moved).or(job.endpoint))?;
    let has_moved = job.endpoint_moved && known.is_some() && known != job.endpoint;
    if has_moved || !job.rehandshake.is_empty() {
        host.flush_wireguard(settings, job.rehandshake.iter().any(|(_, silence)| *silence >= IN_VAIN_AFTER));
    }
    host.restart_handshakes(settings, job.rehandshake);
    if !job.has_openvpn {
        openvpn::stop_orphans()?;
    }
    report.wan = host.wan();
    report.encapsulation = Some(host.encapsulation());
    report.profile = host.profile();
    let size = shape::cell_size(settings, host.encapsulation())?;
    let applied = host.bring_up(settings, &shape::limits(settings, size, job.granted))?;
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
    report
        .problems
        .extend(conflicts.iter().map(|conflict| Problem::new(conflict_code(conflict), conflict.to_string())));
    match host.take_tun() {
        Some(tun) => Ok(Some(tun)),
        None if job.has_tun => Ok(None),
        None => host.attach_tun().map(Some),
    }
}

/// One problem for all conflicts.
fn conflict_problem(conflicts: &[String]) -> Option<Problem> {
    let named = first_ones(conflicts);
    let text = format!("{}; the guard learns nothing from it", named.join("; "));
    (!named.is_empty()).then(|| Problem::new(Code::AddressConflict, text))
}

/// The problem for shaped devices whose packets are routed past the tunnel although every rule and route is as it must
/// be.
fn astray_problem(mut astray: Vec<Mac>, settings: &Settings) -> Option<Problem> {
    astray.sort_unstable();
    astray.dedup();
    let name_of = |mac: &Mac| {
        let device = settings.devices.iter().find(|device| device.macs.contains(mac));
        device.map_or_else(|| mac.to_string(), |device| device.name.clone())
    };
    let named = first_ones(&astray.iter().map(name_of).collect::<Vec<_>>());
    let named = named.join(", ");
    let text = format!("packets of {named} do not get into the tunnel: another program routes them elsewhere");
    (!named.is_empty()).then(|| Problem::new(Code::NotInTunnel, text))
}

/// The first ones, and how many there are more: a device may forge many addresses.
fn first_ones(all: &[String]) -> Vec<String> {
    const NAMED: usize = 3;
    let more = all.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    all.iter().take(NAMED).cloned().chain(more).collect()
}

fn conflict_code(conflict: &Conflict) -> Code {
    match conflict {
        Conflict::Rule(..) => Code::RuleBefore,
        Conflict::Mark(..) => Code::MarkTaken,
        Conflict::Table(_) => Code::TableTaken,
        Conflict::InOtherTunnel { .. } => Code::InOtherTunnel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::config::model::{Device, Policy};

    #[test]
    fn devices_without_a_way_into_the_tunnel_are_named() {
        let mac = |last| Mac([2, 0, 0, 0, 0, last]);
        let camera = Device { macs: vec![mac(1)], ..example::device("camera", Policy::Shape) };
        let settings = Settings { devices: vec![camera], ..example::router() };
        assert_eq!(astray_problem(vec![], &settings), None);
        let problem = astray_problem(vec![mac(2), mac(1), mac(3), mac(4), mac(5), mac(1)], &settings).unwrap();
        assert_eq!(
            problem.text,
            "packets of camera, 02:00:00:00:00:02, 02:00:00:00:00:03, and 2 more do not get into the tunnel: another \
             program routes them elsewhere"
        );
    }
}
