//! The homes in force, and the thread of each. All threads read the same copy.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::model::Settings;
use crate::wire::size::{CellSize, Encapsulation};

/// An endpoint's settings, and which thread a packet is for.
pub struct Homes {
    /// The settings in force.
    pub settings: Settings,
    /// The size of a cell.
    pub size: CellSize,
    /// The tunnel's encapsulation of a cell.
    pub encapsulation: Encapsulation,
    threads: u32,
    /// The homes' addresses inside the tunnel, sorted by the IPv6 address.
    by_address6: Vec<(Ipv6Addr, Ipv4Addr)>,
}

impl Homes {
    /// The homes in `settings` on this number of threads.
    pub fn new(settings: &Settings, size: CellSize, encapsulation: Encapsulation, threads: u32) -> Homes {
        let with_ipv6 = settings.homes.iter().filter_map(|home| Some((home.address6?, home.address)));
        let mut by_address6: Vec<_> = with_ipv6.collect();
        by_address6.sort_unstable();
        Homes { settings: settings.clone(), size, encapsulation, threads, by_address6 }
    }

    /// The number of the thread of the home that a packet is for; `None` for a packet to no home.
    pub fn thread_of(&self, packet: &[u8]) -> Option<usize> {
        let home = match packet {
            [0x40..0x50, ..] => Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?),
            [0x60..0x70, ..] => {
                let address = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
                let position = self.by_address6.binary_search_by_key(&address, |(address, _)| *address).ok()?;
                self.by_address6[position].1
            }
            _ => return None,
        };
        Some((u32::from(home) % self.threads) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::daemon::dataplane::share::Share;
    use crate::wire::size::IpVersion;

    #[test]
    fn a_packet_is_for_the_thread_that_owns_its_home() {
        let homes = vec![example::home(3, "fd77::300".parse().ok()), example::home(4, "fd77::7".parse().ok())];
        let settings = Settings { homes, ..example::endpoint() };
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        let homes = Homes::new(&settings, encapsulation.largest_cell(512).unwrap(), encapsulation, 3);
        for home in &settings.homes {
            let mut ipv4 = [0; 20];
            ipv4[0] = 0x45;
            ipv4[16..].copy_from_slice(&home.address.octets());
            let mut ipv6 = [0; 40];
            ipv6[0] = 0x60;
            ipv6[24..].copy_from_slice(&home.address6.unwrap().octets());
            for packet in [&ipv4[..], &ipv6[..]] {
                let owner = homes.thread_of(packet).unwrap() as u32;
                assert!(Share { index: owner, count: 3 }.owns(home.address), "{home:?}");
            }
        }
        for stray in [&[][..], &[0x45; 19], &[0x60; 39], &[0x60; 40], &[0x10; 40]] {
            assert_eq!(homes.thread_of(stray), None, "{stray:?}");
        }
    }
}
