//! Why a host cannot have the configured tunnel.

use std::fmt;
use std::net::Ipv4Addr;

/// Why valid settings of a tunnel cannot be applied on this host. Prints as one line with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelError {
    /// The interface to attach to does not exist.
    NoInterface(String),
    /// The interface to attach to is not up.
    InterfaceDown(String),
    /// The interface to attach to lacks the tunnel's address.
    NotAddressed {
        /// The interface.
        dev: String,
        /// `tunnel.address`.
        address: Ipv4Addr,
    },
    /// The interface to attach to has an MTU below the length of a cell.
    Mtu {
        /// The interface.
        dev: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// Length of a cell inside the tunnel, IP header included.
        cell_bytes: u16,
    },
    /// Another program's root qdisc is on the interface to attach to.
    ForeignQdisc {
        /// The interface.
        dev: String,
        /// The qdisc's kind.
        kind: String,
    },
    /// The interface to attach to is of a kind that is not known to encrypt, and the settings do not permit that.
    Unencrypted {
        /// The interface.
        dev: String,
        /// Its kind.
        kind: String,
    },
    /// The interface to attach to is of a kind whose overhead millpond does not know, and the settings do not say it.
    UnknownOverhead {
        /// The interface.
        dev: String,
        /// Its kind.
        kind: String,
    },
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunnelError::NoInterface(dev) => write!(f, "tunnel.interface: waiting for {dev}: it does not exist yet"),
            TunnelError::InterfaceDown(dev) => write!(f, "tunnel.interface: waiting for {dev}: it is down"),
            TunnelError::NotAddressed { dev, address } => {
                write!(f, "tunnel.address: {dev} does not have {address}: assign it, or set an address that {dev} has")
            }
            TunnelError::Mtu { dev, mtu, cell_bytes } => {
                write!(f, "main.cell: a cell of {cell_bytes} bytes exceeds the MTU {mtu} of {dev}: set a smaller cell")
            }
            TunnelError::ForeignQdisc { dev, kind } => {
                write!(
                    f,
                    "tunnel.interface: another program's {kind} qdisc is on {dev}: remove it, for example by disabling \
                     SQM there"
                )
            }
            TunnelError::Unencrypted { dev, kind } => {
                write!(
                    f,
                    "tunnel.interface: {dev} (kind {kind}) is not known to encrypt, so the provider could read the \
                     devices' packets: attach to a WireGuard or OpenVPN interface, or set option unencrypted '1' if \
                     something below {dev} encrypts"
                )
            }
            TunnelError::UnknownOverhead { dev, kind } => {
                write!(
                    f,
                    "tunnel.overhead: millpond does not know the overhead of interface {dev} (kind {kind}): set it to \
                     the bytes that the tunnel adds to a packet, outer IP header included"
                )
            }
        }
    }
}

impl std::error::Error for TunnelError {}
