//! The work itself, in a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};

use super::super::error::Error;
use super::super::machine::Machine;
use super::super::openvpn;
use super::super::problem::{Code, Problem};
use super::super::session::Session;
use super::super::shape;
use super::outcome::Outcome;
use crate::config::model::Settings;
use crate::plan::DesiredError;
use crate::plan::coexistence::Conflict;
use crate::sys::Tun;
use crate::sys::held_guard::HeldGuard;
use crate::sys::worker::Report;

/// What is to be done.
pub struct Order<'a> {
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

/// Does it, and reports an [`Outcome`]; the descriptor is `mp0`'s where it was made or taken over. `held` then is a copy of
/// the guard.
pub fn bring_in_line(order: &Order<'_>, held: Option<&HeldGuard>) -> Report {
    let mut outcome = Outcome::default();
    let attempted = Machine::open().and_then(|mut machine| {
        // First of all, and whatever becomes of the tunnel.
        match machine.set_guard(order.guarded, order.guard_file) {
            Ok(applied) => {
                outcome.ops += applied.ops.len();
                hold(held);
            }
            Err(error) => outcome.problems.push(Problem::of_guard(&error)),
        }
        let attempted = attempt(&mut machine, order, &mut outcome);
        let misfits = machine.misfits(order.settings).into_iter();
        outcome.problems.extend(misfits.map(|misfit| Problem::new(Code::Misfit(misfit.kind), misfit.text)));
        attempted
    });
    let tun = match attempted {
        Ok(tun) => {
            outcome.stands = true;
            tun
        }
        // The lookup itself says why.
        Err(Error::Desired(DesiredError::Unresolved)) => None,
        Err(error) => {
            let problem = Problem::of_tunnel(&error);
            // What both lack is one problem.
            outcome.problems.retain(|other| *other != problem);
            outcome.problems.insert(0, problem);
            None
        }
    };
    Report { text: outcome.to_text(), fd: tun.map(Tun::into) }
}

/// Has the copy follow a guard that was verified.
fn hold(held: Option<&HeldGuard>) {
    match held.map_or(Ok(false), HeldGuard::follow) {
        Ok(true) => info!("hold a copy of the guard"),
        Ok(false) => {}
        Err(cause) => warn!("holding a copy of the guard: {cause}: it stays as it was"),
    }
}

fn attempt(machine: &mut Machine, order: &Order<'_>, outcome: &mut Outcome) -> Result<Option<Tun>, Error> {
    let settings = order.settings;
    // No peer yet, no interface yet: then there is nothing that WireGuard could know better.
    let installed = machine.endpoint_peer(settings);
    let installed = installed.as_ref().filter(|_| !order.endpoint_is_news).and_then(|peer| peer.endpoint);
    machine.learn(settings, installed.or(order.endpoint))?;
    machine.begin_anew(settings, order.renew);
    if !order.has_openvpn {
        openvpn::end_orphans()?;
    }
    outcome.wrapping = Some(machine.wrapping());
    let size = shape::cell_size(settings, machine.wrapping())?;
    let applied = machine.bring_up(settings, &shape::guard(settings, size, order.sessions))?;
    outcome.ops += applied.ops.len();
    outcome.forwarding = machine.forwarding_before();
    outcome.lent = machine.lent().cloned();
    outcome.interface = machine.interface_index(settings)?;
    if let Some(peer) = machine.endpoint_peer(settings) {
        outcome.endpoint = peer.endpoint;
        outcome.handshake_s = peer.last_handshake_s;
    }
    machine.hurry_encryption(settings);
    let conflicts = machine.conflicts(settings)?;
    outcome.problems.extend(conflicts.iter().map(|conflict| Problem::new(of_conflict(conflict), conflict.to_string())));
    match machine.take_tun() {
        Some(tun) => Ok(Some(tun)),
        None if order.has_tun => Ok(None),
        None => machine.attach_tun().map(Some),
    }
}

fn of_conflict(conflict: &Conflict) -> Code {
    match conflict {
        Conflict::Rule(..) => Code::RuleBefore,
        Conflict::Mark(..) => Code::MarkTaken,
        Conflict::Table(_) => Code::TableTaken,
    }
}
