//! What an engine has done, in plain counters.

use super::DEVICES;
use super::histogram::Histogram;
use crate::units::Nanos;

/// Counters since the engine was made.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Cells built with device bytes or control messages inside.
    pub cells_data: u64,
    /// Cells built with nothing but padding.
    pub cells_cover: u64,
    /// Departures whose moment had passed before the driver asked for a cell. They are not made up for.
    pub slots_missed: u64,
    /// Cells from the peer, whatever became of them.
    pub cells_received: u64,
    /// Numbers missing in the sequence of the peer's cells.
    pub cells_lost: u64,
    /// Packets taken from the devices into the queue.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets put together from the peer's cells.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// What was thrown away, by cause.
    pub drops: Drops,
    /// From the arrival of a packet to the scheduled departure of the cell with its last byte.
    pub delay: Histogram,
    /// From the scheduled to the actual departure of a cell.
    pub lateness: Histogram,
    /// The same delays for each device by its number.
    pub devices: [DeviceStats; DEVICES],
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            cells_data: 0,
            cells_cover: 0,
            slots_missed: 0,
            cells_received: 0,
            cells_lost: 0,
            packets_in: 0,
            bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            drops: Drops::default(),
            delay: Histogram::default(),
            lateness: Histogram::default(),
            devices: [DeviceStats::default(); DEVICES],
        }
    }
}

impl Stats {
    /// Adds what another engine has done, but for its devices, whose numbers mean others.
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
    }
}

/// Things thrown away, by cause. The first three are packets from the devices, the others come from the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Packets that are no IP, have a wrong length, or are longer than [`crate::wire::MAX_PACKET_BYTES`].
    pub malformed_packet: u64,
    /// Packets dropped from the longest flow because the queue was full.
    pub overflow: u64,
    /// Packets that waited longer than the limit.
    pub aged: u64,
    /// Cells that are no cells.
    pub malformed_cell: u64,
    /// Cells that came twice, or after the reordering window had passed them.
    pub late_cell: u64,
    /// Cells whose number lies far behind the stream's.
    pub ancient_cell: u64,
    /// Cells with a block or a BlockOffset that cannot be; the blocks before it were used.
    pub malformed_block: u64,
    /// Packets whose other part was in a lost cell.
    pub lost_fragment: u64,
    /// Control messages of a newer version or unknown kind.
    pub newer_control: u64,
    /// Control messages that cannot be understood.
    pub malformed_control: u64,
    /// Packets that the driver did not fetch in time.
    pub not_fetched: u64,
}

impl Drops {
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

    /// Every cause with its count, in the order of the fields.
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

/// What one device sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceStats {
    /// Packets that have left.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sum of their delays.
    pub delay_sum: Nanos,
    /// Longest of their delays.
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
