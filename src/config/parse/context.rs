//! What the parsers of the sections tell each other.

use super::reader::{OptionUse, SectionReader};
use super::value::KeyFiles;
use crate::config::model::{Key, Role};

/// State shared by the parsers of all section types.
pub(super) struct Context<'a> {
    pub enabled: bool,
    /// `None` if option `role` is invalid; checks that depend on the role are then skipped.
    pub role: Option<Role>,
    /// `None` if option `type` is invalid or the section is missing.
    pub tunnel: Option<TunnelKind>,
    /// An endpoint's own public key, if its private key is readable.
    pub own_key: Option<Key>,
    /// The exit of homes without one of their own.
    pub exit: Option<String>,
    /// IPv4 addresses in use inside the tunnel.
    pub addresses: OptionUse,
    /// IPv6 addresses in use inside the tunnel.
    pub addresses6: OptionUse,
    pub key_files: KeyFiles<'a>,
}

impl Context<'_> {
    pub fn is(&self, role: Role) -> bool {
        self.role == Some(role)
    }

    /// Warns if a section is for the other role.
    pub fn expect(&self, role: Role, reader: &mut SectionReader) {
        if let Some(actual) = self.role.filter(|actual| *actual != role) {
            reader.warn_section(format!("no effect with role '{}' (want role '{}')", actual.name(), role.name()));
        }
    }
}

/// The tunnel's type.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum TunnelKind {
    Wireguard,
    Openvpn,
    Interface,
}
