//! What the choice of a server and a key depends on.

use crate::config::model::Settings;

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The settings in force.
    pub in_force: &'a Settings,
    /// The same as configured, which a change starts from.
    pub configured: &'a Settings,
    /// Whether the endpoint's cells come.
    pub is_up: bool,
    /// Whether the tunnel's descriptors are open.
    pub has_tunnel: bool,
    /// Whether the name of the server in use does not resolve.
    pub is_unresolved: bool,
    /// Whether a change of the settings is not in force yet.
    pub is_changing: bool,
}
