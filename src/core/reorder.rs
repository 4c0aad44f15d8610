//! Brings the peer's cells back into order within a small window (RFC 9347 section 2.2.3).

use super::stats::Stats;

/// Cells that may arrive before one that was sent before them.
const WINDOW: usize = 3;

/// A power of two, so that places stay apart where the numbers wrap.
const PLACES: usize = 4;

/// A number this far behind the stream is no reordered cell: either ancient, or the peer has started anew.
const FAR: i32 = 64;

/// Nor are so many cells lost in a row: at 80 a second that is two days. A peer that starts anew begins anywhere, and may as
/// well begin ahead.
const AHEAD: i32 = 1 << 24;

/// As many cells in a row with far numbers are a new stream; the tunnel lets no outsider write even one.
const RESTART_CELLS: u32 = 3;

/// Cells that wait for an earlier one.
pub struct Reorder {
    /// Number that is due; `None` before the first cell.
    expected: Option<u32>,
    /// Cell number `n` waits in place `n % PLACES`.
    places: [Slot; PLACES],
    far_next: u32,
    far_count: u32,
}

#[derive(Default)]
struct Slot {
    filled: bool,
    cell: Vec<u8>,
}

/// What the stream goes on with.
pub enum ReorderEvent<'a> {
    /// The next cell in order.
    Cell(&'a [u8]),
    /// Cells are missing here.
    Lost,
}

impl Reorder {
    /// A window for cells of at most `max_bytes`; a longer one must not be handed in.
    pub fn new(max_bytes: usize) -> Reorder {
        let place = || Slot { filled: false, cell: Vec::with_capacity(max_bytes) };
        Reorder { expected: None, places: [place(), place(), place(), place()], far_next: 0, far_count: 0 }
    }

    /// Takes a cell by its number and hands on all that is in order now.
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
        if ahead < -FAR {
            if !self.is_restart(sequence) {
                stats.drops.ancient_cell += 1;
                return;
            }
            return self.begin_anew(sequence, cell, stats, &mut sink);
        }
        if ahead > AHEAD {
            return self.begin_anew(sequence, cell, stats, &mut sink);
        }
        self.far_count = 0;
        if ahead < 0 || (ahead as usize <= WINDOW && self.holds(sequence)) {
            stats.drops.late_cell += 1;
            return;
        }
        // Slide on until the cell is the one due or fits the window.
        if ahead as usize > WINDOW {
            self.slide_to(sequence.wrapping_sub(WINDOW as u32), stats, &mut sink);
        }
        if self.expected == Some(sequence) {
            self.expected = Some(sequence.wrapping_add(1));
            sink(ReorderEvent::Cell(cell), stats);
        } else {
            let place = &mut self.places[sequence as usize % PLACES];
            place.cell.clear();
            place.cell.extend_from_slice(cell);
            place.filled = true;
        }
        self.deliver_held(stats, &mut sink);
    }

    /// Follows a new stream: nothing is missing but what is held up at the end of the old one.
    fn begin_anew(
        &mut self,
        sequence: u32,
        cell: &[u8],
        stats: &mut Stats,
        sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats),
    ) {
        self.drain(stats, sink);
        sink(ReorderEvent::Lost, stats);
        self.expected = Some(sequence.wrapping_add(1));
        self.far_count = 0;
        sink(ReorderEvent::Cell(cell), stats);
    }

    /// Whether a number within the window has already come.
    fn holds(&self, sequence: u32) -> bool {
        self.places[sequence as usize % PLACES].filled
    }

    fn is_restart(&mut self, sequence: u32) -> bool {
        self.far_count = if sequence == self.far_next { self.far_count + 1 } else { 1 };
        self.far_next = sequence.wrapping_add(1);
        self.far_count >= RESTART_CELLS
    }

    /// Hands on what is held, up to but without number `due`, and reports what is missing.
    fn slide_to(&mut self, due: u32, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        let mut expected = self.expected.unwrap_or(due);
        let mut missing = 0;
        for _ in 0..=WINDOW {
            if expected == due {
                break;
            }
            let place = &mut self.places[expected as usize % PLACES];
            if place.filled {
                if missing > 0 {
                    report_lost(std::mem::take(&mut missing), stats, sink);
                }
                place.filled = false;
                sink(ReorderEvent::Cell(&place.cell), stats);
            } else {
                missing += 1;
            }
            expected = expected.wrapping_add(1);
        }
        // Beyond the window nothing can be held: all of it is missing.
        missing += due.wrapping_sub(expected);
        if missing > 0 {
            report_lost(missing, stats, sink);
        }
        self.expected = Some(due);
    }

    fn deliver_held(&mut self, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        while let Some(expected) = self.expected {
            let place = &mut self.places[expected as usize % PLACES];
            if !place.filled {
                return;
            }
            place.filled = false;
            sink(ReorderEvent::Cell(&place.cell), stats);
            self.expected = Some(expected.wrapping_add(1));
        }
    }

    fn drain(&mut self, stats: &mut Stats, sink: &mut impl FnMut(ReorderEvent<'_>, &mut Stats)) {
        if let Some(expected) = self.expected {
            let held = (1..=WINDOW as u32).rev().find(|ahead| self.holds(expected.wrapping_add(*ahead)));
            self.slide_to(expected.wrapping_add(held.map_or(0, |ahead| ahead + 1)), stats, sink);
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

    /// What the stream hands on for cells of these numbers: the numbers in order, -1 where some are missing.
    fn stream(start: u32, offsets: &[i64]) -> (Vec<i64>, Stats) {
        let mut reorder = Reorder::new(4);
        let mut stats = Stats::default();
        let mut seen = Vec::new();
        for offset in offsets {
            let sequence = start.wrapping_add(*offset as u32);
            reorder.accept(sequence, &sequence.to_be_bytes(), &mut stats, |event, _| match event {
                ReorderEvent::Cell(cell) => {
                    let number = u32::from_be_bytes(cell.try_into().unwrap());
                    seen.push(i64::from(number.wrapping_sub(start) as i32));
                }
                ReorderEvent::Lost => seen.push(-1),
            });
        }
        (seen, stats)
    }

    #[test]
    fn the_window_holds_three_and_wraps() {
        for start in [0, 10, u32::MAX - 2, u32::MAX] {
            let (seen, stats) = stream(start, &[0, 2, 3, 1, 7, 6, 5, 4]);
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7], "{start}");
            assert_eq!((stats.cells_lost, stats.drops.late_cell), (0, 0));
        }
    }

    #[test]
    fn a_missing_cell_is_given_up_when_the_window_has_passed() {
        assert_eq!(stream(0, &[0, 2, 3, 4]).0, [0]);
        let (seen, stats) = stream(0, &[0, 2, 3, 4, 5, 1]);
        assert_eq!(seen, [0, -1, 2, 3, 4, 5]);
        assert_eq!((stats.cells_lost, stats.drops.late_cell), (1, 1));
        let (seen, stats) = stream(5, &[0, 2, 1_000_000, 1_000_001, 1_000_002, 1_000_003]);
        assert_eq!(seen, [0, -1, 2, -1, -1, -1, -1, 1_000_000, 1_000_001, 1_000_002, 1_000_003]);
        assert_eq!(stats.cells_lost, 1_000_000 - 2);
        assert_eq!(stream(5, &[0, 2, 10, 7, 8, 9]).0, [0, -1, 2, -1, 7, 8, 9, 10]);
    }

    #[test]
    fn repeated_and_ancient_cells_are_dropped() {
        let (seen, stats) = stream(1 << 20, &[0, 1, 1, 3, 3, -1000, -60, 2, -900, 4]);
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert_eq!((stats.drops.late_cell, stats.drops.ancient_cell), (3, 2));
    }

    #[test]
    fn a_peer_that_starts_anew_is_followed() {
        let (seen, stats) = stream(1 << 20, &[0, 2, -5000, -4999, -4998, -4997]);
        assert_eq!(seen, [0, -1, 2, -1, -4998, -4997]);
        assert_eq!(stats.drops.ancient_cell, 2);
        // Found by the scenario "endpoint": a billion cells were said to be missing.
        let (seen, stats) = stream(1 << 20, &[0, 2, 1 << 30, (1 << 30) + 1]);
        assert_eq!(seen, [0, -1, 2, -1, 1 << 30, (1 << 30) + 1]);
        assert_eq!(stats.cells_lost, 1);
    }
}
