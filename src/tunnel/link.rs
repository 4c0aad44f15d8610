//! Interfaces and their kinds in the kernel.

use std::fmt;

/// An interface that millpond creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: LinkKind,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// The kind of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Kernel WireGuard.
    Wireguard,
    /// TUN. It exists until the process that created it closes it.
    Tun,
    /// Any other kind, by its name in the kernel.
    Other(String),
}

impl LinkKind {
    /// The kind with that name in the kernel.
    pub fn from_name(name: &str) -> LinkKind {
        match name {
            "wireguard" => LinkKind::Wireguard,
            "tun" => LinkKind::Tun,
            other => LinkKind::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkKind::Wireguard => "wireguard",
            LinkKind::Tun => "tun",
            LinkKind::Other(name) => name,
        })
    }
}
