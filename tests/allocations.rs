//! Once it runs, the engine allocates nothing: a router's heap must not be at the mercy of what devices send.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use millpond::core::{Engine, Limits, Pace, Params};
use millpond::units::{Law, Nanos};
use millpond::wire::MAX_PACKET_BYTES;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

struct Counting;

thread_local! {
    /// Of this thread: the test harness allocates in its own while a test runs.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_running_engine_allocates_nothing() {
    for law in Law::ALL {
        let params = Params {
            payload_bytes: 420,
            pace: Pace { law, mean: Nanos::from_millis(10), spread_percent: 15 },
            lead: Nanos::ZERO,
            limits: Limits::default(),
        };
        let mut sender = Engine::new(params, [1; 32], Nanos::ZERO);
        let mut receiver = Engine::new(params, [2; 32], Nanos::ZERO);
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let mut packet = [0; MAX_PACKET_BYTES];
        let mut cell = [0; MAX_PACKET_BYTES];
        let before = ALLOCATIONS.get();
        for _ in 0..20_000 {
            let now = sender.poll_timeout().0;
            for _ in 0..rng.random_range(0..4) {
                let bytes = rng.random_range(20..=MAX_PACKET_BYTES);
                rng.fill(&mut packet[..bytes]);
                packet[..4].copy_from_slice(&[0x45, rng.random(), (bytes >> 8) as u8, bytes as u8]);
                sender.handle_packet(now, &packet[..bytes]);
            }
            let Some(transmit) = sender.poll_transmit(now, &mut cell) else { continue };
            if rng.random_bool(0.98) {
                receiver.handle_cell(&cell[..transmit.len]);
            }
            while receiver.poll_packet(&mut packet).is_some() {}
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{law}");
        assert!(sender.stats().drops.overflow > 0 && receiver.stats().packets_out > 1_000, "{law}: it did work");
    }
}
