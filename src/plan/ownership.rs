//! The names and numbers that mark millpond's kernel objects, with [`crate::tunnel::OWN_INTERFACES`]. millpond never
//! changes or removes an object without them.

/// The TUN interface to which shaped devices' packets are routed.
pub const TUN: &str = "mp0";

/// The guard: the nftables table of family `inet` that prevents devices from sending outside the tunnel. It outlives
/// the daemon.
pub const GUARD_TABLE: &str = "millpond";

/// The copy of the guard's table that only its owner, the daemon, can remove. The kernel deletes it when the daemon
/// ends.
pub const OWNED_COPY_TABLE: &str = "millpond_held";

/// The nftables table of family `inet` that routes devices' packets into the tunnel. It exists while the tunnel does.
pub const TUNNEL_TABLE: &str = "millpond_tunnel";

/// The nftables table of family `netdev` that drops a device's packets while its policy changes, until no flow table
/// forwards its old connections.
pub const BLOCK_TABLE: &str = "millpond_cut";

/// The endpoint's rule that routes cells has the priority in the settings plus this. The router's rule for marked
/// packets has the priority in the settings.
pub const CELL_RULE_OFFSET: u32 = 1;

/// The endpoint's rules for homes with an exit have the priority in the settings plus this.
#[cfg(feature = "endpoint")]
pub const EXIT_RULE_OFFSET: u32 = 2;

/// Protocol number of millpond's routes and rules; unassigned in iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 109;

/// UDP port of the cells, at both ends.
pub const CELL_PORT: u16 = 9347;

/// MTU of [`TUN`] in bytes. It does not depend on the cell size, so small cells do not reduce TCP's segment size.
pub const TUN_MTU: u32 = 1500;

/// Metric of the `unreachable default` route, the fallback of `default dev mp0`: the value that the kernel's
/// Documentation/networking/vrf.rst gives for a route that every other one overrides.
pub const LAST_METRIC: u32 = 0xff00_2000;

/// Metric of the other IPv6 routes: the kernel's default, given explicitly so that the route reads back unchanged.
pub const IPV6_METRIC: u32 = 1024;
