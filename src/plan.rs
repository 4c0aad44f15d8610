//! What the kernel should hold, what it holds, and the operations between the two; pure.
//!
//! [`Desired`] comes from the settings, [`Snapshot`] from the kernel, and [`plan`] gives the operations in order. Each
//! [`Op`] prints as the `ip`, `tc`, `wg` or `nft` command that does the same, and knows its inverse.

mod change;
mod choice;
pub mod coexistence;
mod desired;
mod diff;
mod guard;
mod inverse;
mod known;
mod misfit;
pub mod nft;
mod op;
pub mod ownership;
pub mod routing;

mod snapshot;
mod steer;
pub mod tree;
pub mod tunnel;
pub mod wireguard;

pub use change::{Named, confined_by};
pub use choice::MET_FOR;
pub(crate) use choice::interface;
pub(crate) use desired::watched_sysctls;
pub use desired::{Desired, DesiredError, Facts, Forwarding, LanInterface, Link, home_peer, reverse_path_filter};
pub use diff::{plan, plan_guard};
pub use guard::guard_table;
pub use known::{known, lasting};
pub use misfit::{Misfit, MisfitKind, misfits};
pub use op::{LinkKind, Op};
pub use snapshot::{InstalledLink, Snapshot};
