//! The desired state of the kernel, its actual state, and the operations that lead from one to the other. The module is
//! pure: it makes no system calls.
//!
//! [`Desired`] comes from the settings, [`Snapshot`] from the kernel, and [`plan`] returns the operations in order.
//! Each [`Op`] prints as the equivalent `ip`, `tc`, `wg` or `nft` command and has an inverse.

pub mod coexistence;
mod desired;
mod diff;
mod guard;
mod inverse;
mod learned;
pub mod nft;
mod op;
pub mod ownership;
mod policy_sets;
mod policy_subjects;
mod preflight;
pub mod qdisc_tree;
pub mod routing;
mod snapshot;
pub mod tunnel;
mod tunnel_table;
pub mod wireguard;

pub(crate) use desired::watched_sysctls;
pub use desired::{Desired, DesiredError, Facts, Forwarding, LanInterface, Link, home_peer, reverse_path_filter};
pub use diff::{plan, plan_guard};
pub use guard::guard_table;
pub use learned::{initial_elements, persistent_elements};
pub use op::{LinkKind, Op};
pub use policy_sets::LEARNED_TTL;
pub(crate) use policy_sets::interface;
pub use policy_subjects::{PolicySubjects, confined_sections};
pub use preflight::{PreflightIssue, PreflightIssueKind, preflight_issues};
pub use snapshot::{InstalledLink, Snapshot};
