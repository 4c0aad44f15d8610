//! Netlink, the kernel's interface for network configuration: a socket, the encoding of messages, and one file for each
//! kind of object.

pub mod addr;
pub mod class;
pub mod conntrack;
pub mod error;
pub mod generic;
#[cfg(all(test, target_endian = "little"))]
mod golden;
pub mod link;
pub mod message;
pub mod monitor;
pub mod neighbour;
pub mod qdisc;
pub mod request;
pub mod route;
pub mod rule;
pub mod socket;
pub mod wireguard;
pub mod wireless;
