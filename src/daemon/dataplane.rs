//! Packets and cells: one session for each peer, and the times at which cells leave.

pub mod departure_queue;
pub mod flows;
pub mod liveness;
pub mod negotiation;
pub mod session;
pub mod sessions;
