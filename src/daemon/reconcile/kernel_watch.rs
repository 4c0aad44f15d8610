//! The kernel's notifications of changes, and the owned copy of the guard.

use log::warn;

use crate::daemon::error::Error;
use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::monitor::{DATAGRAM_BYTES, KernelChange, Monitor};
use crate::sys::owned_guard_copy::OwnedGuardCopy;

/// Maximum notification datagrams read from each monitor in one turn.
const DATAGRAM_BATCH: usize = 8;
/// Enough datagrams to empty a socket's buffer.
const DRAIN_LIMIT: usize = 1024;

/// The monitors of routing and nftables.
pub struct KernelWatch {
    monitors: Vec<Monitor>,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    /// Confines the devices if another program flushes all of nftables, until a reconcile job has restored the guard.
    guard_copy: Option<OwnedGuardCopy>,
}

impl KernelWatch {
    /// Subscribes to notifications, and copies the loaded guard.
    pub fn start(poll: &Poll) -> Result<KernelWatch, Error> {
        let subscribing = || Error::system("subscribing to kernel notifications");
        let mut monitors = vec![Monitor::routing().map_err(subscribing())?];
        match Monitor::nftables() {
            Ok(monitor) => monitors.push(monitor),
            // A kernel without nftables cannot have a guard either. The first reconcile job reports that.
            Err(error) => {
                warn!("subscribing to nftables notifications: {error}; checking nftables periodically instead")
            }
        }
        let token = Token::Kernel.into();
        monitors.iter().try_for_each(|monitor| poll.add(monitor, token)).map_err(subscribing())?;
        Ok(KernelWatch { monitors, guard_copy: copy_guard(), ..KernelWatch::blind() })
    }

    /// A watch that is never notified.
    pub fn blind() -> KernelWatch {
        KernelWatch { monitors: Vec::new(), datagram: Box::new([0; DATAGRAM_BYTES]), guard_copy: None }
    }

    /// The owned copy of the guard, if the kernel supports it.
    pub fn guard_copy(&self) -> Option<&OwnedGuardCopy> {
        self.guard_copy.as_ref()
    }

    /// Reads some notifications. Returns the most urgent change.
    pub fn receive(&mut self) -> KernelChange {
        self.receive_up_to(DATAGRAM_BATCH)
    }

    /// Reads all notifications that wait. Returns the most urgent change.
    pub fn drain(&mut self) -> KernelChange {
        self.receive_up_to(DRAIN_LIMIT)
    }

    fn receive_up_to(&mut self, limit: usize) -> KernelChange {
        let KernelWatch { monitors, datagram, .. } = self;
        // A socket that fails reports no changes, so a failure counts as one.
        let changes = monitors.iter().map(|monitor| monitor.receive(datagram, limit).unwrap_or(KernelChange::Relevant));
        changes.max().unwrap_or(KernelChange::None)
    }
}

/// Opens the owned copy of the loaded guard, if the kernel supports it.
fn copy_guard() -> Option<OwnedGuardCopy> {
    let copy = OwnedGuardCopy::open().and_then(|copy| copy.sync().map(|_| copy));
    copy.inspect_err(|cause| {
        warn!(
            "copying the guard into an owned table: {cause}: it needs Linux 5.12; after a flush of the nftables \
             ruleset, devices can bypass the tunnel for some tenths of a second until the guard is restored"
        );
    })
    .ok()
}
