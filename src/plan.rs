//! The desired state of the kernel, its actual state, and the operations that lead from one to the other. The module is
//! pure: it makes no system calls.
//!
//! [`Desired`] comes from the settings, [`Snapshot`] from the kernel, and [`plan`] returns the operations in order.
//! Each [`Op`] prints as the equivalent `ip`, `tc`, `wg` or `nft` command and has an inverse.

mod bindings;
mod bridge_guard;
pub mod coexistence;
mod desired;
mod device_numbers;
mod diff;
mod endpoint_guard;
#[cfg(feature = "endpoint")]
mod exit;
mod facts;
mod guard;
mod interface_name;
mod inverse;
mod learned;
mod minimal_guard;
pub mod nft;
mod op;
#[cfg(feature = "endpoint")]
mod own_traffic;
pub mod ownership;
mod path_mtu;
mod policy_sets;
mod policy_subjects;
mod preflight;
pub mod qdisc_tree;
pub mod routing;
mod snapshot;
mod strangers;
mod sysctls;
mod tunnel_table;
pub mod wireguard;

pub use bindings::Binding;
pub use bridge_guard::bridge_guard;
pub use desired::{Desired, DesiredError};
pub use device_numbers::device_tag;
pub use diff::{plan, plan_guard};
pub use facts::{ExitInterface, Facts, LanInterface, Relay, Relayed, TunnelPort};
pub use guard::{ASTRAY, astray, forget_astray, guard_table};
pub use learned::{
    SHOWN_ADDRESSES, confirmed_elements, conflicts, current_elements, initial_elements, persistent_elements,
    unknown_devices, update,
};
pub use minimal_guard::minimal_guard;
pub use op::Op;
#[cfg(feature = "endpoint")]
pub use own_traffic::own_mark;
pub use policy_sets::LEARNED_TTL;
pub(crate) use policy_sets::interface;
pub use policy_subjects::{PolicySubjects, confined_sections};
pub use preflight::{PreflightIssue, PreflightIssueKind, preflight_issues};
pub use snapshot::{InstalledLink, Snapshot};
pub use sysctls::Forwarding;
pub(crate) use sysctls::watched_sysctls;
pub use wireguard::home_peer;
