//! Trains on the wire: the cells that left together.
//!
//! An observer sees the cells of a train follow each other within microseconds. The law's intervals are those between
//! trains.

use crate::core::audit::TrainCounter;
use crate::units::Nanos;

/// The trains of one direction of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trains {
    /// Time of each train's first cell, in nanoseconds.
    pub starts_ns: Vec<u64>,
    /// Time from the first to the last cell of each train, in nanoseconds.
    pub lengths_ns: Vec<u64>,
    /// Number of trains without all their cells; the first and the last may have been cut by the capture and do not
    /// count.
    pub short: u64,
}

impl Trains {
    /// Finds the trains of `train` cells among cells with these times, in ascending order.
    pub fn of(times_ns: impl Iterator<Item = u64> + Clone, train: u8) -> Trains {
        let (first, last, count) = times_ns
            .clone()
            .fold((None, 0, 0u64), |(first, _, count), time_ns| (first.or(Some(time_ns)), time_ns, count + 1));
        let span = last.saturating_sub(first.unwrap_or(last));
        let mut counter = TrainCounter::new(train, Nanos(span / count.max(1) * u64::from(train.max(1))));
        let mut trains = Trains::default();
        for time_ns in times_ns {
            if counter.handle(Nanos(time_ns)) {
                trains.starts_ns.push(time_ns);
                trains.lengths_ns.push(0);
            } else if let Some((start, length)) = trains.starts_ns.last().zip(trains.lengths_ns.last_mut()) {
                *length = time_ns - start;
            }
        }
        trains.short = counter.short();
        trains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trains_are_found_among_cells_and_half_a_train_is_counted() {
        let train = |at: u64, cells: u64| (0..cells).map(move |cell| at + 10 * cell);
        let starts = [1_000u64, 9_000, 10_500, 30_000, 41_000];
        let cells: Vec<u64> = starts.iter().flat_map(|at| train(*at, 4)).collect();
        let whole = Trains::of(cells.iter().copied(), 4);
        assert_eq!((whole.starts_ns, whole.lengths_ns, whole.short), (starts.to_vec(), vec![30; 5], 0));
        let without = |lost: &[usize]| {
            let left = cells.iter().enumerate().filter(|(index, _)| !lost.contains(index)).map(|(_, at)| *at);
            Trains::of(left.collect::<Vec<_>>().into_iter(), 4)
        };
        assert_eq!(without(&[0]).short, 0, "the capture may begin within a train");
        assert_eq!(without(&[13]).short, 1);
        assert_eq!(without(&[5, 6, 13]).short, 2);
        assert_eq!(Trains::of(cells.iter().copied(), 1).starts_ns, cells);
    }
}
