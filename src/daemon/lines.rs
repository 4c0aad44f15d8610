//! All lines of this end: one on a router, one for each home on an endpoint.

use std::net::Ipv4Addr;

use super::agenda::Agenda;
use super::error::Error;
use super::history::{Delays, Totals};
use super::line::Line;
use super::shape;
use super::wish::Allowance;
use crate::config::model::{Home, Role, Settings, Tunnel};
use crate::sys::random;
use crate::units::Nanos;
use crate::wire::size::CellSize;

/// The lines, and their places by address.
pub struct Lines {
    all: Vec<Line>,
    /// Sorted by address.
    places: Vec<(Ipv4Addr, usize)>,
    role: Role,
}

impl Lines {
    /// None yet.
    pub fn none() -> Lines {
        Lines { all: Vec::new(), places: Vec::new(), role: Role::Router }
    }

    /// Brings the lines in line with changed settings. A peer that stays keeps its line, and its line its schedule.
    pub fn update(&mut self, settings: &Settings, size: CellSize, now: Nanos) -> Result<(), Error> {
        if self.role != settings.role {
            self.all.clear();
        }
        self.role = settings.role;
        match settings.role {
            Role::Router => self.update_router(settings, size, now)?,
            Role::Endpoint => self.update_homes(&settings.homes, now)?,
        }
        self.places = self.all.iter().enumerate().map(|(index, line)| (line.peer(), index)).collect();
        self.places.sort_unstable();
        Ok(())
    }

    /// All lines, in the order of the settings.
    pub fn all(&self) -> &[Line] {
        &self.all
    }

    /// All lines, to be changed.
    pub fn all_mut(&mut self) -> &mut [Line] {
        &mut self.all
    }

    /// The line at that place of the agenda.
    pub fn line_mut(&mut self, index: usize) -> &mut Line {
        &mut self.all[index]
    }

    /// The line whose cells come from `peer`.
    pub fn of_peer(&self, peer: Ipv4Addr) -> Option<usize> {
        let place = self.places.binary_search_by_key(&peer, |(address, _)| *address).ok()?;
        Some(self.places[place].1)
    }

    /// The line that a packet from the TUN interface belongs to: on a router there is one; on an endpoint the home's
    /// address is the packet's destination.
    pub fn of_packet(&self, packet: &[u8]) -> Option<usize> {
        match (self.role, packet) {
            (Role::Router, _) => (!self.all.is_empty()).then_some(0),
            (Role::Endpoint, [0x40..0x50, ..]) => {
                let [a, b, c, d] = *packet.get(16..20)? else { return None };
                self.of_peer(Ipv4Addr::new(a, b, c, d))
            }
            (Role::Endpoint, _) => None,
        }
    }

    /// What has passed through all lines, in bytes, as far as their engines remember.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for line in &self.all {
            let stats = line.engine().stats();
            let [sent, received] = line.wire_bytes();
            let (up, down) = match self.role {
                Role::Router => ((stats.bytes_in, sent), (stats.bytes_out, received)),
                Role::Endpoint => ((stats.bytes_out, received), (stats.bytes_in, sent)),
            };
            totals.home_upload += up.0;
            totals.wire_upload += up.1;
            totals.home_download += down.0;
            totals.wire_download += down.1;
        }
        totals
    }

    /// The delays of the packets that have left, over all lines.
    pub fn delays(&self) -> Delays {
        let add = |sum: Delays, line: &Line| {
            let delay = &line.engine().stats().delay;
            Delays { count: sum.count + delay.count(), sum: sum.sum.saturating_add(delay.sum()) }
        };
        self.all.iter().fold(Delays::default(), add)
    }

    /// When each line wants to act next.
    pub fn agenda(&self) -> Agenda {
        let mut agenda = Agenda::default();
        for (index, line) in self.all.iter().enumerate() {
            line.next().into_iter().for_each(|next| agenda.add(next, index));
        }
        agenda
    }

    fn update_router(&mut self, settings: &Settings, size: CellSize, now: Nanos) -> Result<(), Error> {
        let Some(peer) = peer_address(settings) else {
            return Err(Error::Unfit("tunnel.peer_address: missing, a router needs it".into()));
        };
        let (shaping, wish) = (shape::shaping(settings, size), shape::wish(settings, size));
        match &mut self.all[..] {
            [line] if line.peer() == peer => line.reshape(shaping, wish, now),
            _ => self.all = vec![Line::router(peer, shaping, wish, seed()?, now)],
        }
        Ok(())
    }

    fn update_homes(&mut self, homes: &[Home], now: Nanos) -> Result<(), Error> {
        let mut before = std::mem::take(&mut self.all);
        for home in homes {
            let allowance = Allowance { max_download: home.max_download, kernel_law: homes.len() == 1 };
            let known = before.iter().position(|line| line.peer() == home.address && line.name() == home.name);
            let line = match known {
                Some(index) => {
                    let mut line = before.swap_remove(index);
                    line.set_allowance(allowance);
                    line
                }
                None => Line::endpoint(home.name.clone(), home.address, allowance, seed()?, now),
            };
            self.all.push(line);
        }
        Ok(())
    }
}

fn peer_address(settings: &Settings) -> Option<Ipv4Addr> {
    match settings.tunnel.as_ref()? {
        Tunnel::Wireguard(wireguard) => wireguard.peer_address,
        Tunnel::Openvpn { peer_address, .. } | Tunnel::Interface { peer_address, .. } => *peer_address,
    }
}

fn seed() -> Result<[u8; 32], Error> {
    random::seed().map_err(Error::system("asking the kernel for random bytes"))
}
