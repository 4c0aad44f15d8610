//! Arrivals: packets from the devices and cells from the peers.

use log::{debug, warn};

use crate::core::CellKind;
use crate::daemon::advice::Direction;
use crate::daemon::dataplane::session::Change;
use crate::daemon::event_loop::EventLoop;
use crate::plan::ownership::TUN;
use crate::sys::timer;

impl EventLoop {
    /// Reads packets from the TUN interface and queues them in their sessions.
    pub(super) fn handle_packets(&mut self) {
        for count in 0..self.max_batch() {
            let now = timer::now();
            if self.is_due(now) && count >= self.min_batch() {
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
                    // Another program has deleted the interface. The engines and their schedules continue.
                    warn!("reading packets from {TUN}: {error}; recreating it");
                    self.tunnel.drop_tun(&self.poll);
                    self.reconciler.trigger_now(now);
                    break;
                }
            }
        }
    }

    /// Reads cells from the socket of that kind, hands them to their sessions, and writes the packets they complete to
    /// the TUN interface.
    pub(super) fn handle_cells(&mut self, kind: CellKind) {
        for count in 0..self.max_batch() {
            let now = timer::now();
            if self.is_due(now) && count >= self.min_batch() {
                break;
            }
            let Some(sockets) = self.tunnel.sockets() else { break };
            let (length, from) = match sockets.of(kind).receive(&mut self.buffer[..]) {
                Ok(Some(received)) => received,
                Ok(None) => break,
                // The interface or the path failed. The state of the sessions shows whether cells still come.
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
                    // The kernel refuses packets that no device could use, such as martians. There is nothing to
                    // repair.
                    _ = tun.send(packet);
                }
            }
            match change {
                Change::None => {}
                Change::Started => {
                    self.departures = self.sessions.departures();
                    self.adjust_tree(now);
                }
                Change::Regranted => self.adjust_tree(now),
            }
        }
    }
}
