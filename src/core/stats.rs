//! The engine's counters.

use super::device_map::DeviceMap;
use super::histogram::Histogram;
use crate::units::Nanos;

/// Counters since the engine was created.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Cells built with device bytes or a control message inside.
    pub cells_data: u64,
    /// Cells built with nothing but padding.
    pub cells_cover: u64,
    /// Departures that had passed before the driver asked for a cell. No cell replaces them.
    pub slots_missed: u64,
    /// Cells from the peer, dropped ones included.
    pub cells_received: u64,
    /// Sequence numbers that are missing among the peer's cells.
    pub cells_lost: u64,
    /// Valid packets from the devices.
    pub packets_in: u64,
    /// The bytes of those packets.
    pub bytes_in: u64,
    /// Packets reassembled from the peer's cells.
    pub packets_out: u64,
    /// The bytes of those packets.
    pub bytes_out: u64,
    /// Drops by cause.
    pub drops: Drops,
    /// From the arrival of a packet to the scheduled departure of the cell with its last byte.
    pub delay: Histogram,
    /// From the scheduled to the actual departure of a cell.
    pub lateness: Histogram,
    /// The same of the data cells alone.
    pub data_lateness: Histogram,
    /// The delays of each device.
    pub devices: DeviceMap<DeviceStats>,
}

impl Stats {
    /// Adds another engine's counters, except those of its devices: their numbers mean other devices.
    #[cfg(any(feature = "endpoint", feature = "lab"))]
    pub fn add(&mut self, other: &Stats) {
        self.cells_data += other.cells_data;
        self.cells_cover += other.cells_cover;
        self.slots_missed += other.slots_missed;
        self.cells_received += other.cells_received;
        self.cells_lost += other.cells_lost;
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.drops.add(&other.drops);
        self.delay.add(&other.delay);
        self.lateness.add(&other.lateness);
        self.data_lateness.add(&other.data_lateness);
    }
}

/// Drops by cause. The first three count packets from the devices; the others concern what the peer sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Packets that are not IP, have a wrong length, or are longer than [`crate::wire::MAX_PACKET_BYTES`].
    pub malformed_packet: u64,
    /// Packets dropped from the longest flow because the queue was full.
    pub overflow: u64,
    /// Packets that had waited longer than [`super::Limits::age`].
    pub aged: u64,
    /// Datagrams that are not valid cells.
    pub malformed_cell: u64,
    /// Cells that arrived twice, or after the reordering window had passed them.
    pub late_cell: u64,
    /// Cells whose sequence number is far behind the stream.
    pub ancient_cell: u64,
    /// Cells with an invalid block or BlockOffset; the blocks before it were used.
    pub malformed_block: u64,
    /// Packets of which a lost cell contained a part.
    pub lost_fragment: u64,
    /// Control messages of another version or of an unknown kind.
    pub newer_control: u64,
    /// Control messages with an invalid length or value.
    pub malformed_control: u64,
    /// Packets that the driver did not fetch in time.
    pub not_fetched: u64,
}

impl Drops {
    #[cfg(any(feature = "endpoint", feature = "lab"))]
    fn add(&mut self, other: &Drops) {
        self.malformed_packet += other.malformed_packet;
        self.overflow += other.overflow;
        self.aged += other.aged;
        self.malformed_cell += other.malformed_cell;
        self.late_cell += other.late_cell;
        self.ancient_cell += other.ancient_cell;
        self.malformed_block += other.malformed_block;
        self.lost_fragment += other.lost_fragment;
        self.newer_control += other.newer_control;
        self.malformed_control += other.malformed_control;
        self.not_fetched += other.not_fetched;
    }

    /// Every cause with its count, in the order of the fields. The names are those of the JSON answers.
    pub fn by_cause(&self) -> [(&'static str, u64); 11] {
        [
            ("malformed_packet", self.malformed_packet),
            ("overflow", self.overflow),
            ("aged", self.aged),
            ("malformed_cell", self.malformed_cell),
            ("late_cell", self.late_cell),
            ("ancient_cell", self.ancient_cell),
            ("malformed_block", self.malformed_block),
            ("lost_fragment", self.lost_fragment),
            ("newer_control", self.newer_control),
            ("malformed_control", self.malformed_control),
            ("not_fetched", self.not_fetched),
        ]
    }
}

/// The packets of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceStats {
    /// Packets that have left.
    pub packets: u64,
    /// The bytes of those packets.
    pub bytes: u64,
    /// Sum of the delays.
    pub delay_sum: Nanos,
    /// Longest delay.
    pub delay_max: Nanos,
}

impl DeviceStats {
    pub(super) fn record(&mut self, bytes: usize, delay: Nanos) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.delay_sum = Nanos(self.delay_sum.0.saturating_add(delay.0));
        self.delay_max = self.delay_max.max(delay);
    }
}
