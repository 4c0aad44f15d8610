//! Which thread of an endpoint serves which home.

use std::net::Ipv4Addr;

/// The homes of one thread: a home belongs to one for good, whatever other homes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The thread's number, below `count`.
    pub index: u32,
    /// Number of threads; at least 1.
    pub count: u32,
}

impl Share {
    /// All homes.
    pub const ALL: Share = Share { index: 0, count: 1 };

    /// Whether the home with this address inside the tunnel belongs to the share. The kernel chooses the socket of a
    /// home's cells by the same rule (`sys::reuseport`).
    pub fn owns(self, home: Ipv4Addr) -> bool {
        u32::from(home) % self.count == self.index
    }
}
