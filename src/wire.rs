//! What travels: the cell, its blocks, and the IP headers inside. Checked views and owned representations; no I/O.
//!
//! A **cell** is the UDP payload of one tunnel packet, always of the same length:
//!
//! ```text
//! 0        4      5        6           8
//! +--------+------+--------+-----------+---------------------------------------+
//! | number | type | (zero) | BlockOff. | data blocks, then zeros to the end    |
//! +--------+------+--------+-----------+---------------------------------------+
//! ```
//!
//! The four bytes after the sequence number are the AGGFRAG header of RFC 9347 section 6.1.1, the blocks are those
//! of its section 6.1.3: an IPv4 or IPv6 packet, whose own header gives type and length, or padding. We add one
//! block type for control messages ([`control`]) and one reading of BlockOffset ([`cell`]).

pub mod block;
pub mod cell;
pub mod control;
pub mod ip;
pub mod size;

/// The longest packet that devices may send or receive: the MTU of `mp0`, bytes.
pub const MAX_PACKET_BYTES: usize = 1500;
