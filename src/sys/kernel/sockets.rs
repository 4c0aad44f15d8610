//! The netlink sockets for interfaces, addresses, routes and WireGuard.

use nix::errno::Errno;

use crate::apply::OpError;
use crate::sys::netlink::error::NetlinkError;
use crate::sys::netlink::generic;
use crate::sys::netlink::link::{self, LinkEntry};
use crate::sys::netlink::socket::Netlink;
use crate::sys::netlink::wireguard::{self, Installed};

/// A socket of rtnetlink, and one of generic netlink with WireGuard's family.
pub struct RoutingSockets {
    pub route: Netlink,
    pub generic: Netlink,
    /// The number of WireGuard's family, once it was asked for.
    family: Option<u16>,
}

impl RoutingSockets {
    pub fn open() -> Result<RoutingSockets, NetlinkError> {
        let route = Netlink::open(libc::NETLINK_ROUTE as isize)?;
        Ok(RoutingSockets { route, generic: Netlink::open(libc::NETLINK_GENERIC as isize)?, family: None })
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<LinkEntry>, OpError> {
        link::list(&mut self.route).map_err(|error| failed("listing interfaces", error))
    }

    /// The index of an interface, which must exist.
    pub fn index(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let link = link::list(&mut self.route)?.into_iter().find(|link| link.name == name);
        link.map(|link| link.index).ok_or_else(|| NetlinkError::Io(Errno::ENODEV.into()))
    }

    /// A WireGuard interface and its peers. `action` is for the error.
    pub fn wireguard(&mut self, name: &str, action: &str) -> Result<Installed, OpError> {
        let family = self.wireguard_family().map_err(|error| failed(action, error))?;
        wireguard::read(&mut self.generic, family, name).map_err(|error| failed(action, error))
    }

    /// The number of WireGuard's generic netlink family.
    pub fn wireguard_family(&mut self) -> Result<u16, NetlinkError> {
        if let Some(family) = self.family {
            return Ok(family);
        }
        let family = generic::family(&mut self.generic, "wireguard")?;
        self.family = Some(family);
        Ok(family)
    }
}

/// The error of `action`.
pub fn failed(action: &str, error: NetlinkError) -> OpError {
    OpError { action: action.into(), cause: error.into() }
}
