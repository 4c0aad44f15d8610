//! Finds packets and connections of shaped devices outside the tunnel.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::AuditJob;
use crate::config::model::{Policy, Role, Settings};
use crate::plan;
use crate::sys::capture::{self, Capture, HEAD_BYTES, Layer, MARK, Test};
use crate::sys::conntrack;
use crate::sys::fw4_zones::with_interfaces;
use crate::sys::lan_neighbours::lan_neighbours;
use crate::tunnel;

/// Maximum addresses to look for; a home has fewer.
const MAX_ADDRESSES: usize = 48;

/// Watches packets that leave by the interfaces to the Internet. Traffic between two devices also passes the other
/// interfaces, such as bridge ports, and does not count.
pub struct StrayMonitor {
    capture: Capture,
    wan_interfaces: Vec<u32>,
    addresses: Vec<IpAddr>,
    /// The tunnel's own addresses, to which connections of shaped devices are translated.
    tunnel_addresses: Vec<IpAddr>,
    packets: u64,
}

impl StrayMonitor {
    /// Starts to watch. An endpoint has no devices, so it has no strays.
    pub fn open(job: &AuditJob, settings: &Settings) -> io::Result<StrayMonitor> {
        let mut addresses = if settings.role == Role::Router { confined_addresses(settings)? } else { Vec::new() };
        addresses.truncate(MAX_ADDRESSES);
        let mut rules: Vec<Vec<Test>> = addresses.iter().map(source_rule).collect();
        if settings.role == Role::Router {
            rules.push(vec![Test { at: MARK, size: 4, mask: job.mark, value: job.mark }]);
        }
        let wan_interfaces = capture::wan_interfaces();
        let wan_interfaces = wan_interfaces.iter().filter_map(|name| capture::interface_index(name).ok()).collect();
        let tunnel = tunnel::properties(settings).map(|tunnel| tunnel.address);
        let tunnel_addresses = tunnel.map(IpAddr::V4).into_iter().chain(settings.address6.map(IpAddr::V6)).collect();
        let capture = Capture::open(0, Layer::Network, &rules)?;
        Ok(StrayMonitor { capture, wan_interfaces, addresses, tunnel_addresses, packets: 0 })
    }

    /// Counts the packets that have passed.
    pub fn handle_packets(&mut self) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        while let Some(packet) = self.capture.receive(&mut head)? {
            self.packets += u64::from(packet.outgoing && self.wan_interfaces.contains(&packet.interface));
        }
        Ok(())
    }

    /// Stray packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Connections of shaped devices that are translated to an address other than the tunnel's. 0 on a kernel without
    /// connection tracking.
    pub fn connections(&self) -> io::Result<u64> {
        if self.addresses.is_empty() {
            return Ok(0);
        }
        let translated =
            conntrack::translated_addresses(&|address| self.addresses.contains(&address)).unwrap_or_default();
        Ok(translated.iter().filter(|outside| !self.tunnel_addresses.contains(outside)).count() as u64)
    }
}

impl AsFd for StrayMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

/// The filter rule for packets from an address.
fn source_rule(address: &IpAddr) -> Vec<Test> {
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

/// The known addresses of shaped and blocked devices.
fn confined_addresses(settings: &Settings) -> io::Result<Vec<IpAddr>> {
    let settings = &with_interfaces(settings);
    let is_confined = |policy| matches!(policy, Policy::Shape | Policy::Block);
    let named = settings.devices.iter().filter(|device| is_confined(device.policy));
    let mut addresses: Vec<IpAddr> = named.filter_map(|device| device.address).collect();
    for lan_neighbour in lan_neighbours(settings)? {
        let neighbour = lan_neighbour.neighbour;
        let section = settings
            .devices
            .iter()
            .find(|device| device.macs.contains(&neighbour.mac) || device.address == Some(neighbour.address));
        let network = settings.networks.iter().find(|network| plan::interface(network) == lan_neighbour.interface);
        let policy = section.map(|section| section.policy).or(network.map(|network| network.policy));
        if policy.is_some_and(is_confined) && !addresses.contains(&neighbour.address) {
            addresses.push(neighbour.address);
        }
    }
    Ok(addresses)
}
