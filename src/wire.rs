//! The wire format: cells, their blocks, and the IP headers inside. Checked views and owned representations; no I/O.
//!
//! A **cell** is the UDP payload of one packet inside the tunnel. All cells have the same length:
//!
//! ```text
//! 0        4      5        6           8
//! +--------+------+--------+-----------+---------------------------------------+
//! | number | type | (zero) | BlockOff. | data blocks, then zeros to the end    |
//! +--------+------+--------+-----------+---------------------------------------+
//! ```
//!
//! The number is the 32-bit sequence number. The four bytes after it are the AGGFRAG header of RFC 9347 section 6.1.1.
//! The blocks are those of section 6.1.3: an IPv4 or IPv6 packet, whose own header gives type and length, or padding.
//! millpond adds a block type for control messages ([`control`]) and a second meaning of BlockOffset ([`cell`]).

pub mod block;
pub mod cell;
pub mod control;
pub mod ip;
pub mod offload;
pub mod size;

/// The longest packet that devices may send or receive, in bytes: the MTU of `mp0`.
pub const MAX_PACKET_BYTES: usize = 1500;
