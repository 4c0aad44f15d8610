//! Drives the data plane: sends its trains at their times, and reads packets and cells from the kernel.

use std::io;
use std::net::SocketAddrV4;

use log::debug;

use super::io::TunnelIo;
use super::session::Change;
use super::spin_window::SpinWindow;
use super::{DataPlane, Departure};
use crate::core::CellKind;
use crate::daemon::error::Error;
use crate::law::MAX_TRAIN;
use crate::plan::ownership::TUN_MTU;
use crate::sys::epoll::Poll;
use crate::sys::timer;
use crate::sys::udp::ReceiveBuffer;
use crate::units::{DeviceId, Nanos};
use crate::wire::MAX_PACKET_BYTES;
#[cfg(feature = "endpoint")]
use crate::wire::offload::SegmentJoiner;

/// Maximum packets, and maximum cells, read in one turn with few sessions.
const READ_BATCH: usize = 8;

/// With many sessions, each turn handles at most this many departures, then this many arrivals, so an overloaded host
/// starves neither side.
const TURN_LIMIT: usize = 32;

/// Maximum cells to handle in one turn while they come in trains: two of the longest.
const MAX_TRAIN_CELLS: usize = 2 * MAX_TRAIN as usize;

/// The longest packet that the kernel hands over with its TCP segments still to be cut.
const MAX_OFFLOADED_BYTES: usize = 65_536;

const _: () = assert!(TUN_MTU as usize == MAX_PACKET_BYTES, "the engine accepts every packet of the TUN interface");

/// A packet that passed, for the rate advisor: its time, its length in bytes and its device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedPacket {
    /// When it arrived.
    pub at: Nanos,
    /// Its length in bytes, IP header included.
    pub bytes: usize,
    /// The device.
    pub device: DeviceId,
    /// Whether a device sent it.
    pub is_upload: bool,
}

/// The effect of the packets or cells just read on the kernel's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalEffect {
    /// Nothing.
    Unchanged,
    /// The TUN interface is gone; a reconcile job must create it again.
    LostTun,
    /// A home sends by a new grant; the queueing tree must be adjusted.
    Regranted,
}

/// The descriptors, and a buffer for one packet or cell.
pub struct Driver {
    /// The descriptors.
    pub io: TunnelIo,
    spin: SpinWindow,
    buffer: Box<[u8; MAX_PACKET_BYTES]>,
    /// Room for what one system call moves, while cells leave or arrive in trains.
    batch: Option<Box<Batch>>,
}

/// Room for many cells and for many packets, 192 KiB.
struct Batch {
    /// The cells from each socket, data first.
    cells: [ReceiveBuffer; 2],
    /// A packet that stands for many TCP segments.
    packet: Vec<u8>,
    /// TCP segments for the TUN interface.
    #[cfg(feature = "endpoint")]
    joiner: SegmentJoiner,
}

impl Driver {
    /// A driver without descriptors.
    pub fn new() -> Driver {
        let buffer = Box::new([0; MAX_PACKET_BYTES]);
        Driver { io: TunnelIo::default(), spin: SpinWindow::new(), buffer, batch: None }
    }

    /// Moves many cells and packets by one system call from now on, or one by each: what trains need, and what would
    /// only take memory otherwise. What a socket has joined is lost if that changes.
    pub fn set_batched(&mut self, is_batched: bool) {
        if is_batched != self.batch.is_some() {
            let batch = || Batch {
                cells: [ReceiveBuffer::default(), ReceiveBuffer::default()],
                packet: vec![0; MAX_OFFLOADED_BYTES],
                #[cfg(feature = "endpoint")]
                joiner: SegmentJoiner::default(),
            };
            self.batch = is_batched.then(|| Box::new(batch()));
            self.io.set_batched(is_batched);
        }
    }

    /// The kind of socket whose cells have been received and not handled, because a departure was due.
    pub fn unhandled_cells(&self) -> Option<CellKind> {
        let batch = self.batch.as_ref()?;
        [CellKind::Data, CellKind::Cover].into_iter().find(|kind| !batch.cells[*kind as usize].is_empty())
    }

    /// Builds and sends the trains that are due. With few sessions it does not return while a built train waits.
    ///
    /// # Errors
    /// [`Error::System`] if waiting for a departure fails.
    pub fn run_departures(&mut self, plane: &mut DataPlane) -> Result<(), Error> {
        let many = plane.has_many_sessions();
        let (mut built, mut steps) = (0usize, 0);
        while let Some(next) = plane.next_timeout() {
            steps += 1;
            // A departure takes two steps: build and send.
            let is_turn_over = many && steps > 2 * TURN_LIMIT;
            let may_return = many || built == 0;
            // Each look at the clock is a considerable part of a cell's cost.
            let mut now = timer::now();
            if is_turn_over || may_return && next > now {
                break;
            }
            if next > now {
                let waited = timer::wait_until(next, self.spin.before(plane.sessions().all()));
                if let Some(late) = waited.map_err(Error::system("waiting for a departure"))? {
                    self.spin.note(late);
                }
                now = timer::now();
            }
            match plane.handle_timeout(now) {
                Departure::Built => built += 1,
                Departure::Idle => {}
                Departure::Train(train) => {
                    self.io.send(train);
                    plane.handle_departure(timer::now());
                    built = built.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Reads packets from the TUN interface and queues them in their sessions. `observe` gets each packet, `pass_on`
    /// those that are for no session of this thread.
    pub fn receive_packets(
        &mut self,
        plane: &mut DataPlane,
        poll: &Poll,
        mut observe: impl FnMut(PassedPacket),
        mut pass_on: impl FnMut(&[u8]),
    ) -> ArrivalEffect {
        for count in 0..max_batch(plane) {
            let now = timer::now();
            if plane.is_due(now) && count >= min_batch(plane) {
                break;
            }
            let (buffer, scratch) = match &mut self.batch {
                Some(batch) => (&mut batch.packet[..], &mut self.buffer[..]),
                None => (&mut self.buffer[..], &mut [][..]),
            };
            match self.io.receive_packet(buffer) {
                Ok(None) => break,
                Ok(Some((length, offload))) => {
                    let mut handle = |packet: &[u8]| match plane.handle_packet(now, packet) {
                        Some(device) => {
                            observe(PassedPacket { at: now, bytes: packet.len(), device, is_upload: true });
                        }
                        None => pass_on(packet),
                    };
                    if offload.is_complete() {
                        handle(&buffer[..length]);
                    } else {
                        offload.complete(&mut buffer[..length], scratch, handle);
                    }
                }
                Err(_) => {
                    // Another program has deleted the interface. The engines and their schedules continue.
                    self.io.drop_tun(poll);
                    return ArrivalEffect::LostTun;
                }
            }
        }
        ArrivalEffect::Unchanged
    }

    /// Reads cells from the socket of that kind, hands them to their sessions, and writes the packets they complete to
    /// the TUN interface. `observe` gets each packet.
    pub fn receive_cells(
        &mut self,
        kind: CellKind,
        plane: &mut DataPlane,
        mut observe: impl FnMut(PassedPacket),
    ) -> ArrivalEffect {
        let mut effect = ArrivalEffect::Unchanged;
        let max_cells = if self.batch.is_some() { MAX_TRAIN_CELLS } else { max_batch(plane) };
        for count in 0..max_cells {
            let now = timer::now();
            if plane.is_due(now) && count >= min_batch(plane) {
                break;
            }
            let received = match &mut self.batch {
                Some(batch) => next_cell(&self.io, kind, &mut batch.cells[kind as usize]),
                None => {
                    let received = self.io.receive_cell(kind, &mut self.buffer[..]);
                    received.map(|received| received.map(|(bytes, from)| (&self.buffer[..bytes], from)))
                }
            };
            let (cell, from) = match received {
                Ok(Some(received)) => received,
                Ok(None) => break,
                // The interface or the path failed. The state of the sessions shows whether cells still come.
                Err(error) => {
                    debug!("receiving cells: {error}");
                    break;
                }
            };
            let Some((index, change)) = plane.handle_cell(now, *from.ip(), cell) else { continue };
            if change != Change::None {
                effect = ArrivalEffect::Regranted;
            }
            while let Some(delivery) = plane.poll_packet(index, &mut self.buffer[..]) {
                observe(PassedPacket { at: now, bytes: delivery.length, device: delivery.device, is_upload: false });
                if delivery.is_accepted {
                    self.send_packet(delivery.length);
                }
            }
        }
        #[cfg(feature = "endpoint")]
        if let Some(batch) = &mut self.batch {
            batch.joiner.flush(&mut |header, packet| self.io.send_joined(header, packet));
        }
        effect
    }

    /// Writes the packet in the buffer to the TUN interface: now, or with those that follow it in cells that have
    /// arrived.
    fn send_packet(&mut self, length: usize) {
        let packet = &self.buffer[..length];
        #[cfg(feature = "endpoint")]
        if let Some(batch) = self.batch.as_mut().filter(|_| self.io.takes_joined()) {
            return batch.joiner.handle(packet, &mut |header, packet| self.io.send_joined(header, packet));
        }
        self.io.send_packet(packet);
    }
}

/// The next cell from the socket of that kind, by one system call for many.
fn next_cell<'a>(
    io: &TunnelIo,
    kind: CellKind,
    buffer: &'a mut ReceiveBuffer,
) -> io::Result<Option<(&'a [u8], SocketAddrV4)>> {
    if buffer.is_empty() {
        io.receive_train(kind, buffer)?;
    }
    Ok(buffer.next_cell())
}

/// Maximum packets or cells to read in one turn.
fn max_batch(plane: &DataPlane) -> usize {
    if plane.has_many_sessions() { TURN_LIMIT } else { READ_BATCH }
}

/// Minimum packets or cells to read in one turn, even if a departure is due.
fn min_batch(plane: &DataPlane) -> usize {
    if plane.has_many_sessions() { TURN_LIMIT } else { 0 }
}
