//! Puts the peer's cells back into order within a small window (RFC 9347 section 2.2.3).

use super::stats::Stats;

/// Maximum number of later cells that may arrive before a missing one.
const WINDOW: usize = 3;

/// Number of buffer slots. It is a power of two, so that slots do not collide when the sequence number wraps.
const SLOTS: usize = 4;

/// Maximum distance of a late cell behind the stream. A cell further behind was not reordered: either it is very old,
/// or the peer has restarted.
const MAX_BEHIND: i32 = 64;

/// Maximum number of cells that can be lost in a row: at 80 cells a second these are two days. A restarted peer begins
/// at a random number, which may also be ahead of the stream.
const MAX_AHEAD: i32 = 1 << 24;

/// Number of consecutive cells far behind the stream that count as a new stream. Outsiders cannot forge even one cell:
/// the tunnel authenticates them.
const RESTART_CELLS: u32 = 3;

/// The reordering window.
pub struct Reorder {
    /// Sequence number of the next cell in order; `None` before the first cell.
    expected: Option<u32>,
    /// Cell number `n` waits in slot `n % SLOTS`.
    slots: [Slot; SLOTS],
    /// Sequence number that would continue a possible new stream.
    restart_next: u32,
    /// Consecutive cells of the possible new stream.
    restart_count: u32,
}

#[derive(Default)]
struct Slot {
    filled: bool,
    cell: Vec<u8>,
}

/// The next element of the ordered stream.
pub enum ReorderEvent<'a> {
    /// The next cell in order.
    Cell(&'a [u8]),
    /// One or more cells are missing here.
    Lost,
}

impl Reorder {
    /// A window for cells of at most `max_bytes` bytes. The caller must not pass a longer cell.
    pub fn new(max_bytes: usize) -> Reorder {
        let slot = || Slot { filled: false, cell: Vec::with_capacity(max_bytes) };
        Reorder { expected: None, slots: [slot(), slot(), slot(), slot()], restart_next: 0, restart_count: 0 }
    }

    /// Accepts a cell with its sequence number and passes every cell that is now in order to `sink`.
    pub fn accept(
        &mut self,
        sequence: u32,
        cell: &[u8],
        stats: &mut Stats,
        mut sink: impl FnMut(ReorderEvent<'_>, &mut Stats),
    ) {
        let Some(expected) = self.expected else {
            self.expected = Some(sequence.wrapping_add(1));
            return sink(ReorderEvent::Cell(cell), stats);
        };
        let ahead = sequence.wrapping_sub(expected) as i32;
        if ahead < -MAX_BEHIND {
            if !self.is_restart(sequence) {
                stats.drops.ancient_cell += 1;
                return;
            }
            return self.restart(sequence, cell, stats, &mut sink);
        }
        if ahead > MAX_AHEAD {
            return self.restart(sequence, cell, stats, &mut sink);
        }
        self.restart_count = 0;
        if ahead < 0 || (ahead as usize <= WINDOW && self.is_buffered(sequence)) {
            stats.drops.late_cell += 1;
            return;
        }
        // Advance the window until the cell is the expected one or fits.
        if ahead as usize > WINDOW {
            self.advance_to(sequence.wrapping_sub(WINDOW as u32), stats, &mut sink);
        }
        if self.expected == Some(sequence) {
            self.expected = Some(sequence.wrapping_add(1));
            sink(ReorderEvent::Cell(cell), stats);
        } else {
            let slot = &mut self.slots[sequence as usize % SLOTS];
            slot.cell.clear();
            slot.cell.extend_from_slice(cell);
            slot.filled = true;
        }
        self.deliver_buffered(stats, &mut sink);
    }

    /// Switches to a new stream. Only gaps before the buffered cells of the old stream count as lost cells.
    fn restart(
        &mut self,
        sequence: u32,
        cell: &[u8],
        stats: &mut Stats,
        sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats),
    ) {
        self.drain(stats, sink);
        sink(ReorderEvent::Lost, stats);
        self.expected = Some(sequence.wrapping_add(1));
        self.restart_count = 0;
        sink(ReorderEvent::Cell(cell), stats);
    }

    /// Whether the cell with a sequence number within the window is buffered.
    fn is_buffered(&self, sequence: u32) -> bool {
        self.slots[sequence as usize % SLOTS].filled
    }

    fn is_restart(&mut self, sequence: u32) -> bool {
        self.restart_count = if sequence == self.restart_next { self.restart_count + 1 } else { 1 };
        self.restart_next = sequence.wrapping_add(1);
        self.restart_count >= RESTART_CELLS
    }

    /// Passes on the buffered cells before number `target`, reports the missing ones, and expects `target` next.
    fn advance_to(&mut self, target: u32, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        let mut expected = self.expected.unwrap_or(target);
        let mut missing = 0;
        for _ in 0..=WINDOW {
            if expected == target {
                break;
            }
            let slot = &mut self.slots[expected as usize % SLOTS];
            if slot.filled {
                if missing > 0 {
                    report_lost(std::mem::take(&mut missing), stats, sink);
                }
                slot.filled = false;
                sink(ReorderEvent::Cell(&slot.cell), stats);
            } else {
                missing += 1;
            }
            expected = expected.wrapping_add(1);
        }
        // Nothing is buffered beyond the window, so all of these cells are missing.
        missing += target.wrapping_sub(expected);
        if missing > 0 {
            report_lost(missing, stats, sink);
        }
        self.expected = Some(target);
    }

    fn deliver_buffered(&mut self, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        while let Some(expected) = self.expected {
            let slot = &mut self.slots[expected as usize % SLOTS];
            if !slot.filled {
                return;
            }
            slot.filled = false;
            sink(ReorderEvent::Cell(&slot.cell), stats);
            self.expected = Some(expected.wrapping_add(1));
        }
    }

    fn drain(&mut self, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        if let Some(expected) = self.expected {
            let last = (1..=WINDOW as u32).rev().find(|ahead| self.is_buffered(expected.wrapping_add(*ahead)));
            self.advance_to(expected.wrapping_add(last.map_or(0, |ahead| ahead + 1)), stats, sink);
        }
    }
}

fn report_lost(count: u32, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
    stats.cells_lost += u64::from(count);
    sink(ReorderEvent::Lost, stats);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the cells in the order in which the window delivers them, and -1 for each gap.
    fn stream(start: u32, offsets: &[i64]) -> (Vec<i64>, Stats) {
        let mut reorder = Reorder::new(4);
        let mut stats = Stats::default();
        let mut delivered = Vec::new();
        for offset in offsets {
            let sequence = start.wrapping_add(*offset as u32);
            reorder.accept(sequence, &sequence.to_be_bytes(), &mut stats, |event, _| match event {
                ReorderEvent::Cell(cell) => {
                    let number = u32::from_be_bytes(cell.try_into().unwrap());
                    delivered.push(i64::from(number.wrapping_sub(start) as i32));
                }
                ReorderEvent::Lost => delivered.push(-1),
            });
        }
        (delivered, stats)
    }

    #[test]
    fn the_window_reorders_three_cells_and_wraps() {
        for start in [0, 10, u32::MAX - 2, u32::MAX] {
            let (delivered, stats) = stream(start, &[0, 2, 3, 1, 7, 6, 5, 4]);
            assert_eq!(delivered, [0, 1, 2, 3, 4, 5, 6, 7], "{start}");
            assert_eq!((stats.cells_lost, stats.drops.late_cell), (0, 0));
        }
    }

    #[test]
    fn a_cell_is_lost_when_the_window_has_passed_it() {
        assert_eq!(stream(0, &[0, 2, 3, 4]).0, [0]);
        let (delivered, stats) = stream(0, &[0, 2, 3, 4, 5, 1]);
        assert_eq!(delivered, [0, -1, 2, 3, 4, 5]);
        assert_eq!((stats.cells_lost, stats.drops.late_cell), (1, 1));
        let (delivered, stats) = stream(5, &[0, 2, 1_000_000, 1_000_001, 1_000_002, 1_000_003]);
        assert_eq!(delivered, [0, -1, 2, -1, -1, -1, -1, 1_000_000, 1_000_001, 1_000_002, 1_000_003]);
        assert_eq!(stats.cells_lost, 1_000_000 - 2);
        assert_eq!(stream(5, &[0, 2, 10, 7, 8, 9]).0, [0, -1, 2, -1, 7, 8, 9, 10]);
    }

    #[test]
    fn duplicate_and_ancient_cells_are_dropped() {
        let (delivered, stats) = stream(1 << 20, &[0, 1, 1, 3, 3, -1000, -60, 2, -900, 4]);
        assert_eq!(delivered, [0, 1, 2, 3, 4]);
        assert_eq!((stats.drops.late_cell, stats.drops.ancient_cell), (3, 2));
    }

    #[test]
    fn a_restarted_peer_is_followed() {
        let (delivered, stats) = stream(1 << 20, &[0, 2, -5000, -4999, -4998, -4997]);
        assert_eq!(delivered, [0, -1, 2, -1, -4998, -4997]);
        assert_eq!(stats.drops.ancient_cell, 2);
        // Found by the scenario "endpoint": a billion cells were reported as missing.
        let (delivered, stats) = stream(1 << 20, &[0, 2, 1 << 30, (1 << 30) + 1]);
        assert_eq!(delivered, [0, -1, 2, -1, 1 << 30, (1 << 30) + 1]);
        assert_eq!(stats.cells_lost, 1);
    }
}
