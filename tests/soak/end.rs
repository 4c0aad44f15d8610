//! One end: its daemon, and what is known about it from outside.

use millpond::daemon::{Clocks, VirtualDaemon, VirtualStep};
use millpond::units::Nanos;

use crate::counting_allocator::ALLOCATIONS;
use crate::expected_departures::{Drift, ExpectedDepartures};
use crate::seeds;

/// A new daemon may allocate its buffers with the first cells.
const WARM_UP_CELLS: u64 = 100;

/// A daemon with the departures that it should draw.
pub struct End {
    pub daemon: VirtualDaemon,
    expected: ExpectedDepartures,
    /// Cells sent since the daemon started.
    cells: u64,
    /// Allocations by packets and cells after the first ones.
    pub allocations: u64,
    /// The drift of the daemons before this one.
    drift: Drift,
    /// Packets that the queues of the daemons before this one dropped.
    dropped_before: u64,
}

impl End {
    /// A daemon that was just started at `now`.
    pub fn new(daemon: VirtualDaemon, now: Nanos) -> End {
        let (pace, _) = daemon.departures();
        let expected = ExpectedDepartures::new(seeds::of_engine(seeds::last()).0, pace, now);
        let mut end = End { daemon, expected, cells: 0, allocations: 0, drift: Drift::default(), dropped_before: 0 };
        end.follow(now);
        end
    }

    /// Replaces the daemon by one that was just started.
    pub fn restart(&mut self, daemon: VirtualDaemon, now: Nanos) {
        let mut end = End::new(daemon, now);
        (end.drift, end.allocations, end.dropped_before) = (self.drift(), self.allocations, self.dropped());
        *self = end;
    }

    /// Builds or sends the next cell; passes a cell that leaves to `send`.
    pub fn handle_timeout(&mut self, now: Nanos, send: impl FnOnce(&[u8])) {
        let before = ALLOCATIONS.get();
        let is_cell = match self.daemon.handle_timeout(now) {
            VirtualStep::Cell { scheduled, bytes } => {
                assert!(scheduled <= now, "a cell never leaves early");
                let outside = ALLOCATIONS.get();
                send(bytes);
                ALLOCATIONS.set(outside);
                true
            }
            VirtualStep::Built | VirtualStep::Idle => false,
        };
        if is_cell {
            self.daemon.handle_departure(now);
            self.cells += 1;
        }
        self.note_allocations(before);
        self.follow(now);
    }

    /// Queues a packet; returns whether the daemon took it.
    pub fn handle_packet(&mut self, now: Nanos, packet: &[u8]) -> bool {
        let before = ALLOCATIONS.get();
        let is_taken = self.daemon.handle_packet(now, packet);
        self.note_allocations(before);
        is_taken
    }

    /// Handles a cell from the peer, and passes each packet that it completes to `each`.
    pub fn handle_cell(&mut self, now: Nanos, cell: &[u8], buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        let before = ALLOCATIONS.get();
        let is_changed = self.daemon.handle_cell(now, cell);
        while let Some(length) = self.daemon.poll_packet(buffer) {
            let outside = ALLOCATIONS.get();
            each(&buffer[..length]);
            ALLOCATIONS.set(outside);
        }
        if !is_changed {
            self.note_allocations(before);
        }
        self.follow(now);
    }

    /// Does the work of each second; returns whether the clock changed the level.
    pub fn handle_tick(&mut self, clocks: Clocks) -> bool {
        let is_changed = self.daemon.handle_tick(clocks).expect("the settings suit the tunnel");
        self.follow(clocks.now);
        is_changed
    }

    /// Compares the engine's next departure with the one that it should have. To be called after every other call.
    pub fn follow(&mut self, now: Nanos) {
        let (pace, next) = self.daemon.departures();
        self.expected.follow(pace, next, now);
    }

    /// Cells that the daemon has sent.
    pub fn cells_since_start(&self) -> u64 {
        self.cells
    }

    /// The drift of all daemons of this end.
    pub fn drift(&self) -> Drift {
        let mut sum = self.drift;
        sum.add(&self.expected.tally);
        sum
    }

    /// Packets that the queue says it dropped, in all.
    pub fn dropped(&self) -> u64 {
        let drops = &self.daemon.stats().drops;
        assert_eq!((drops.malformed_packet, drops.not_fetched), (0, 0));
        self.dropped_before + drops.overflow + drops.aged
    }

    fn note_allocations(&mut self, before: u64) {
        if self.cells > WARM_UP_CELLS {
            self.allocations += ALLOCATIONS.get() - before;
        }
    }
}
