//! Packets and connections of shaped devices that do not take the tunnel.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::AuditJob;
use crate::config::model::{Policy, Role, Settings, Tunnel};
use crate::plan;
use crate::sys::capture::{self, Capture, HEAD_BYTES, Layer, MARK, Test};
use crate::sys::{conntrack, neighbour};

/// Addresses that are looked for; a home has fewer.
const MAX_ADDRESSES: usize = 48;

/// Watches what leaves by the interfaces that lead to the Internet. By others, which lie below a bridge, what two devices
/// say to each other passes too.
pub struct Strays {
    capture: Capture,
    outer: Vec<u32>,
    addresses: Vec<IpAddr>,
    /// What the tunnel's own addresses are: connections of shaped devices bear them outside.
    translated: Vec<IpAddr>,
    packets: u64,
}

impl Strays {
    /// Begins to watch. An endpoint has no devices, and so no strays.
    pub fn open(order: &AuditJob, settings: &Settings) -> io::Result<Strays> {
        let mut addresses = if settings.role == Role::Router { confined(settings)? } else { Vec::new() };
        addresses.truncate(MAX_ADDRESSES);
        let mut rules: Vec<Vec<Test>> = addresses.iter().map(from).collect();
        if settings.role == Role::Router {
            rules.push(vec![Test { at: MARK, size: 4, mask: order.mark, value: order.mark }]);
        }
        let outer = capture::outer_interfaces();
        let outer = outer.iter().filter_map(|name| capture::interface_index(name).ok()).collect();
        let tunnel = match &settings.tunnel {
            Some(Tunnel::Wireguard(wireguard)) => Some(wireguard.address),
            Some(Tunnel::Openvpn { address, .. } | Tunnel::Interface { address, .. }) => Some(*address),
            None => None,
        };
        let translated = tunnel.map(IpAddr::V4).into_iter().chain(settings.address6.map(IpAddr::V6)).collect();
        let capture = Capture::open(0, Layer::Network, &rules)?;
        Ok(Strays { capture, outer, addresses, translated, packets: 0 })
    }

    /// Takes what has passed.
    pub fn take(&mut self) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        while let Some(passed) = self.capture.receive(&mut head)? {
            self.packets += u64::from(passed.outgoing && self.outer.contains(&passed.interface));
        }
        Ok(())
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Connections that a shaped device began and that bear another address outside than the tunnel's. A kernel that
    /// follows none has none.
    pub fn connections(&self) -> io::Result<u64> {
        if self.addresses.is_empty() {
            return Ok(0);
        }
        let translated = conntrack::translated(&|address| self.addresses.contains(&address)).unwrap_or_default();
        Ok(translated.iter().filter(|outside| !self.translated.contains(outside)).count() as u64)
    }
}

impl AsFd for Strays {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

/// A packet from that address.
fn from(address: &IpAddr) -> Vec<Test> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (version, at) = if address.is_ipv4() { (0x40, 12) } else { (0x60, 8) };
    let mut rule = vec![Test { at: 0, size: 1, mask: 0xf0, value: version }];
    rule.extend(octets.chunks_exact(4).zip(0..).map(|(word, index)| Test {
        at: at + 4 * index,
        size: 4,
        mask: u32::MAX,
        value: word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    }));
    rule
}

/// The addresses of shaped and blocked devices, as far as they are known.
fn confined(settings: &Settings) -> io::Result<Vec<IpAddr>> {
    let is_confined = |policy| matches!(policy, Policy::Shape | Policy::Block);
    let named = settings.devices.iter().filter(|device| is_confined(device.policy));
    let mut addresses: Vec<IpAddr> = named.filter_map(|device| device.address).collect();
    for resident in neighbour::residents(settings)? {
        let neighbour = resident.neighbour;
        let section = settings
            .devices
            .iter()
            .find(|device| device.mac == Some(neighbour.mac) || device.address == Some(neighbour.address));
        let network = settings.networks.iter().find(|network| plan::interface(network) == resident.interface);
        let policy = section.map(|section| section.policy).or(network.map(|network| network.policy));
        if policy.is_some_and(is_confined) && !addresses.contains(&neighbour.address) {
            addresses.push(neighbour.address);
        }
    }
    Ok(addresses)
}
