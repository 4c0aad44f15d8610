//! What an observer of the wire sees: when a train passes, and how long it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millpond::lab::distinguish::tunnel::Cell;
use millpond::lab::distinguish::{Condition, DistinguishOptions, Stretch, compare};
use millpond::lab::trace::Direction;
use millpond::plan::ownership::CELL_PORT;
use millpond::sys::capture::{Capture, HEAD_BYTES, Layer, Test, interface_index};
use nix::sys::socket::{setsockopt, sockopt};

use super::place::Place;

/// Room for what passes in a tenth of a second.
const BUFFER_BYTES: usize = 256 << 20;
/// Bytes before a UDP payload.
const HEADERS: usize = 28;

/// A running capture of the wire.
pub struct Tap {
    reader: JoinHandle<Vec<Cell>>,
    is_done: Arc<AtomicBool>,
}

impl Tap {
    /// Starts a capture at the router. A train counts as one cell of all its bytes: it passes as one segment list.
    pub fn start(place: &Place) -> Result<Tap, String> {
        place.router.enter()?;
        let error = |error: std::io::Error| format!("capturing on the wire: {error}");
        let to_port = Test { at: 22, size: 2, mask: 0xffff, value: CELL_PORT.into() };
        let index = interface_index("wire0").map_err(error)?;
        let mut capture = Capture::open(index, Layer::Network, &[vec![to_port]]).map_err(error)?;
        setsockopt(&capture, sockopt::RcvBufForce, &BUFFER_BYTES).map_err(|errno| error(errno.into()))?;
        let is_done = Arc::new(AtomicBool::new(false));
        let ends = is_done.clone();
        let reader = thread::spawn(move || {
            let (mut cells, mut head) = (Vec::new(), [0; HEAD_BYTES]);
            while !ends.load(Ordering::Relaxed) {
                while let Ok(Some(packet)) = capture.receive(&mut head) {
                    let direction = if packet.outgoing { Direction::Up } else { Direction::Down };
                    let bytes = packet.length.saturating_sub(HEADERS) as u32;
                    cells.push(Cell { time_ns: packet.at.as_nanos() as u64, direction, bytes });
                }
                thread::sleep(Duration::from_millis(2));
            }
            cells
        });
        Ok(Tap { reader, is_done })
    }

    /// Ends the capture. Returns the trains in order of time.
    pub fn end(self) -> Result<Vec<Cell>, String> {
        self.is_done.store(true, Ordering::Relaxed);
        let mut cells = self.reader.join().map_err(|_| "the capture of the wire panicked".to_owned())?;
        cells.sort_by_key(|cell| cell.time_ns);
        Ok(cells)
    }
}

/// The trains within these times of Unix time in nanoseconds, each a stretch.
pub fn within(trains: &[Cell], spans: &[(u64, u64)]) -> Condition {
    let stretch = |&(start, end): &(u64, u64)| {
        let from = trains.partition_point(|train| train.time_ns < start);
        let to = trains.partition_point(|train| train.time_ns < end);
        Stretch { cells: trains[from..to].to_vec() }
    };
    Condition { stretches: spans.iter().map(stretch).collect(), ..Condition::default() }
}

/// The area under the curve of the best attack, and whether any test tells the two apart.
pub fn judge(idle: &Condition, busy: &Condition) -> Result<(f64, bool), String> {
    let report = compare(["idle", "busy"], idle, busy, DistinguishOptions::default());
    let report = report.map_err(|error| error.to_string())?;
    // The best attack is the one of which most is certain, as in the report for people.
    let points = report.attacks.iter().flat_map(|attack| &attack.points);
    let best = points.max_by(|a, b| a.area.ci95[0].total_cmp(&b.area.ci95[0]));
    Ok((best.map_or(0.5, |point| point.area.auc), report.told_apart))
}
