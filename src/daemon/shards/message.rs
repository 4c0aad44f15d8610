//! What the threads say to each other. Only packets that came out of another thread's queue of the TUN interface are
//! passed on; cells never are.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

use super::homes::Homes;
use super::inspection::Inspection;
use super::sweep::SweepReport;
use crate::daemon::dataplane::io::CellSockets;
use crate::daemon::error::Error;
use crate::sys::Tun;
use crate::sys::wake::WakeEvent;
use crate::wire::control::ShapingRequest;

/// Packets of other threads that wait for this one; more are dropped.
const MAX_PASSED: usize = 1024;

/// What the event loop tells a thread.
pub enum ShardCommand {
    /// Use this queue of the TUN interface.
    SetTun(Tun),
    /// Close the queue.
    DropTun,
    /// Use these sockets.
    SetSockets(CellSockets),
    /// Close the sockets.
    Unbind,
    /// Serve these homes.
    Update(Arc<Homes>),
    /// Report all homes.
    Inspect(Sender<Inspection>),
    /// Read the record of departures to that home; see [`crate::daemon::dataplane::DataPlane::read_lateness`].
    ReadLateness(u32, Ipv4Addr, Sender<Result<String, String>>),
    /// End.
    Stop,
}

/// What a thread tells the event loop.
pub enum ShardEvent {
    /// Numbers of the thread with that number.
    Sweep(u32, SweepReport),
    /// The TUN interface is gone.
    LostTun,
    /// The first home of the thread with that number sends by a new grant.
    Regranted(u32, ShapingRequest),
    /// The thread has ended.
    Failed(Error),
}

/// The way to a thread.
#[derive(Clone)]
pub struct ShardLink {
    commands: Sender<ShardCommand>,
    packets: SyncSender<Box<[u8]>>,
    wake: Arc<WakeEvent>,
}

/// The thread's end of its [`ShardLink`].
pub struct Inbox {
    /// What it is told.
    pub commands: Receiver<ShardCommand>,
    /// Packets for its homes.
    pub packets: Receiver<Box<[u8]>>,
    /// Readable if there is something in one of them.
    pub wake: Arc<WakeEvent>,
}

impl ShardLink {
    /// Both ends of a way to a thread.
    pub fn new() -> io::Result<(ShardLink, Inbox)> {
        let wake = Arc::new(WakeEvent::new()?);
        let (commands, received) = mpsc::channel();
        let (packets, passed) = mpsc::sync_channel(MAX_PASSED);
        let link = ShardLink { commands, packets, wake: wake.clone() };
        Ok((link, Inbox { commands: received, packets: passed, wake }))
    }

    /// Sends a command. A thread that has ended needs none.
    pub fn send(&self, command: ShardCommand) {
        _ = self.commands.send(command);
        self.wake.wake();
    }

    /// Passes a packet on.
    pub fn pass(&self, packet: &[u8]) {
        if self.packets.try_send(packet.into()).is_ok() {
            self.wake.wake();
        }
    }
}
