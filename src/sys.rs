//! The only place with system calls and unsafe code, one file per subject.

#![allow(unsafe_code)]

mod addr;
pub mod broker_socket;
pub mod capture;
pub mod conntrack;
mod enrolment;
pub mod epoll;
mod facts;
pub mod fault;
mod flow_table;
pub mod guard_file;
pub mod held_guard;
pub mod kernel;
pub mod key_file;
mod link;
pub mod memory_file;
pub mod monitor;
pub mod neighbour;
mod netlink;
pub mod nft;
pub mod notify;
pub mod process;
mod qdisc;
pub mod random;
pub mod realtime;
pub mod resolve;
mod route;
mod rule;
pub mod signal;
pub mod timer;
mod tun;
pub mod udp;
pub mod unix_socket;
#[cfg(feature = "endpoint")]
pub mod usage;
pub mod whole_file;
mod wireguard;
pub mod worker;
mod zones;

pub use neighbour::Neighbour;
pub use tun::Tun;
pub use wireguard::PeerStatus;
