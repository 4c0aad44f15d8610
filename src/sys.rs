//! System calls and unsafe code, one file per subject. No other module has either.

#![allow(unsafe_code)]

mod addr;
pub mod atomic_file;
pub mod broker_socket;
pub mod capture;
pub mod conntrack;
pub mod epoll;
mod facts;
mod flow_table;
mod fw4_zones;
pub mod guard_file;
pub mod kernel;
pub mod key_file;
mod link;
pub mod memfd;
pub mod monitor;
pub mod neighbour;
mod netlink;
pub mod nft;
pub mod owned_guard_copy;
pub mod panic_hook;
mod policy_enforcement;
pub mod process;
mod qdisc;
pub mod random;
pub mod realtime;
pub mod resolve;
mod route;
mod rule;
pub mod sd_notify;
pub mod signal;
pub mod timer;
mod tun;
pub mod udp;
pub mod unix_socket;
#[cfg(feature = "endpoint")]
pub mod usage;
mod wireguard;
pub mod worker;

pub use neighbour::Neighbour;
pub use tun::Tun;
pub use wireguard::PeerStatus;
