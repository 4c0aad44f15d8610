//! What comes in: packets from the devices, cells from the peers.

use log::{debug, warn};

use super::EventLoop;
use crate::core::CellKind;
use crate::daemon::advice::Direction;
use crate::daemon::session::Change;
use crate::plan::ownership::TUN;
use crate::sys::timer;

impl EventLoop {
    /// From the devices to the engines.
    pub(super) fn handle_packets(&mut self) {
        for turn in 0..self.batch() {
            let now = timer::now();
            if self.is_due(now) && turn >= self.least() {
                break;
            }
            let Some(tun) = self.tunnel.tun() else { break };
            match tun.receive(&mut self.buffer[..]) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let packet = &self.buffer[..length];
                    if let Some(index) = self.sessions.of_packet(packet) {
                        let device = self.flows.note_upload(packet);
                        self.advice.note(now, length, device, Direction::Up);
                        self.sessions.session_mut(index).handle_packet(now, packet);
                    }
                }
                Err(error) => {
                    // Somebody has deleted it. The engines go on, and so do their schedules.
                    warn!("reading packets from {TUN}: {error}: making it anew");
                    self.tunnel.drop_tun(&self.poll);
                    self.reconciler.trigger_now(now);
                    break;
                }
            }
        }
    }

    /// From the peers, as far as the socket for cells of that kind received it, to the engines, and what that completes to
    /// the devices.
    pub(super) fn handle_cells(&mut self, kind: CellKind) {
        for turn in 0..self.batch() {
            let now = timer::now();
            if self.is_due(now) && turn >= self.least() {
                break;
            }
            let Some(sockets) = self.tunnel.sockets() else { break };
            let (length, from) = match sockets.of(kind).receive(&mut self.buffer[..]) {
                Ok(Some(received)) => received,
                Ok(None) => break,
                // Of the interface or of the path: what it means, the state of the sessions shows.
                Err(error) => {
                    debug!("receiving cells: {error}");
                    break;
                }
            };
            let Some(index) = self.sessions.of_peer(*from.ip()) else { continue };
            let change = self.sessions.session_mut(index).handle_cell(now, &self.buffer[..length]);
            while let Some(length) = self.sessions.session_mut(index).poll_packet(&mut self.buffer[..]) {
                let packet = &self.buffer[..length];
                let device = self.flows.note_download(packet);
                self.advice.note(now, length, device, Direction::Down);
                if let Some(tun) = self.tunnel.tun().filter(|_| self.sessions.accepts(index, packet)) {
                    // The kernel refuses what no device could use, a martian for one: nothing to mend here.
                    _ = tun.send(packet);
                }
            }
            match change {
                Change::None => {}
                Change::Begun => {
                    self.departures = self.sessions.departures();
                    self.adjust_tree(now);
                }
                Change::Regranted => self.adjust_tree(now),
            }
        }
    }
}
