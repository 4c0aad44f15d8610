//! The names and numbers by which millpond knows its own. Nothing else is ever changed or removed.

/// The TUN interface that shaped devices' packets are routed into.
pub const TUN: &str = "mp0";

/// The WireGuard interface that carries the cells.
pub const WIREGUARD: &str = "mpwg0";

/// The TUN interface that an openvpn of ours serves. It outlives that process, so that whatever stands on it stays.
pub const OPENVPN: &str = "mpvpn0";

/// The nftables table, of family `inet`, that keeps devices from passing beside the tunnel. It outlives the daemon.
pub const GUARD_TABLE: &str = "millpond";

/// The copy of the guard's table that nobody can remove while the daemon runs, and that goes with it.
pub const HELD_TABLE: &str = "millpond_held";

/// The nftables table, of family `inet`, that leads devices into the tunnel. It comes and goes with the tunnel.
pub const TUNNEL_TABLE: &str = "millpond_tunnel";

/// The nftables table, of family `netdev`, that stands for moments while a policy changes.
pub const BLOCK_TABLE: &str = "millpond_cut";

/// How far the endpoint's rule that sends cells to our table stands behind the priority in the settings, which is that of
/// the router's rule for marked packets.
pub const CELL_RULE_OFFSET: u32 = 1;

/// The protocol number on routes and rules; free in iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 109;

/// UDP port of the cells, at both ends.
pub const CELL_PORT: u16 = 9347;

/// MTU of [`WIREGUARD`]; cells are far smaller.
pub const WIREGUARD_MTU: u32 = 1420;

/// MTU of [`TUN`], so that TCP's segment size never suffers from the size of a cell.
pub const TUN_MTU: u32 = 1500;

/// Metric of the `unreachable default` that stands behind `default dev mp0`: the last of all, yet valid.
pub const LAST_METRIC: u32 = 0xff00_2000;

/// Metric of the other IPv6 routes: the kernel's own default, named so that what is read back equals what was asked.
pub const IPV6_METRIC: u32 = 1024;

/// Metric of the route to the endpoint over an interface of another's, who may have a route to it with metric 0.
pub const ATTACHED_METRIC: u32 = 28_016;
