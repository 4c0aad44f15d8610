//! What a session did, for its caller.

use crate::daemon::dataplane::train::Train;

/// The result of [`super::Session::handle_timeout`].
#[derive(Debug)]
pub enum SessionStep {
    /// The next train is built.
    Built,
    /// No cell is due this time.
    Idle,
    /// This train must leave now.
    Depart(Train),
}

/// The effect of a peer's cell on the session's own sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing changed.
    None,
    /// The session was idle and now sends: [`super::Session::next_timeout`] has a time.
    Started,
    /// The session sends by a new grant.
    Regranted,
}
