//! System calls and unsafe code, one file per subject. No other module has either.

#![allow(unsafe_code)]

pub mod atomic_file;
mod bridge_ports;
pub mod broker_socket;
#[cfg(feature = "endpoint")]
pub mod capabilities;
pub mod capture;
pub mod captured_stdout;
pub mod child;
pub mod epoll;
mod facts;
mod flow_table;
#[cfg(feature = "lab")]
pub mod fuzzing;
pub mod fw4_zones;
pub mod guard_file;
#[cfg(feature = "endpoint")]
pub mod host_interfaces;
pub mod kernel;
pub mod key_file;
pub mod lan_neighbours;
mod line_in_use;
pub mod memfd;
mod netlink;
pub mod nft;
pub mod openvpn_profile;
#[cfg(feature = "endpoint")]
pub mod own_lookup;
pub mod owned_guard_copy;
pub mod panic_hook;
pub mod plain_file;
mod policy_enforcement;
pub mod process;
pub mod random;
pub mod realtime;
mod relays;
pub mod resolve;
#[cfg(feature = "endpoint")]
pub mod reuseport;
pub mod sd_notify;
pub mod signal;
mod sysctl;
pub mod timer;
mod tun;
pub mod udp;
pub mod unix_socket;
#[cfg(feature = "endpoint")]
pub mod usage;
#[cfg(feature = "endpoint")]
pub mod wake;
pub mod worker;

pub use netlink::neighbour::Neighbour;
pub use netlink::wireguard::PeerStatus;
pub use netlink::{conntrack, monitor};
pub use tun::Tun;
