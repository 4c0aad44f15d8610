//! Requests of one component to the others. The event loop carries them out, so that components that act need not know
//! each other.

use std::net::Ipv4Addr;

use crate::config::model::Settings;
use crate::daemon::problem::{Code, Problem};
use crate::units::Nanos;

/// A request of one component to the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a reconcile job at once.
    Reconcile,
    /// Start a reconcile job soon, because the kernel may have changed without a notification.
    ReconcileSoon,
    /// Look after the WireGuard handshakes of the peers that have these addresses inside the tunnel, and have been
    /// silent for these times.
    Rehandshake(Vec<(Ipv4Addr, Nanos)>),
    /// Look up the endpoint again, and look after the handshakes of every silent peer.
    Renew,
    /// Apply these configured settings. The daemon itself caused the change.
    ChangeSettings(Box<Settings>),
    /// Apply these settings, which have another level by the clock.
    ChangeLevel(Box<Settings>),
    /// Add this problem to the list.
    Note(Problem),
    /// Set the text of the problem of that code; without a text remove the problem.
    SetProblem(Code, Option<String>),
}
