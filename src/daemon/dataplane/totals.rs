//! Sums over all sessions, for the history.

/// Bytes so far, from an arbitrary start. Those on the wire include all headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From the devices.
    pub home_upload: u64,
    /// To the devices.
    pub home_download: u64,
    /// Home to endpoint, on the wire.
    pub wire_upload: u64,
    /// Endpoint to home, on the wire.
    pub wire_download: u64,
}

/// The number and the sum of the devices' packet delays so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayTotals {
    /// Number of packets.
    pub count: u64,
    /// Sum of their delays, in nanoseconds.
    pub sum: u64,
}

impl Totals {
    /// All four, in the order of the fields.
    pub fn values(&self) -> [u64; 4] {
        [self.home_upload, self.home_download, self.wire_upload, self.wire_download]
    }

    /// Adds to the field at position `at`.
    pub fn add(&mut self, at: usize, delta: u64) {
        let Totals { home_upload, home_download, wire_upload, wire_download } = self;
        *[home_upload, home_download, wire_upload, wire_download][at] += delta;
    }
}
