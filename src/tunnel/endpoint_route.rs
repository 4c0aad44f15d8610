//! The kernel's route to a router's endpoint, which the tunnel's own packets take.

use super::attached::ENCRYPTING_KINDS;

/// The route of the tunnel's own packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRoute {
    /// The name of the interface by which they leave.
    pub interface: String,
    /// Its kind, such as `wireguard`; empty for hardware.
    pub kind: String,
    /// The longest packet that the way is known to carry whole, in bytes.
    pub mtu: u16,
    /// The number of the routing table that has the route.
    pub table: u32,
}

impl EndpointRoute {
    /// Whether the interface is another program's tunnel. It then sees millpond's cells instead of the provider.
    pub fn is_in_tunnel(&self) -> bool {
        ENCRYPTING_KINDS.contains(&self.kind.as_str())
    }
}
