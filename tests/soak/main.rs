//! A year of both ends in virtual time: see `make soak`, and "Long runs" in docs/measurements.md for what is simulated.
#![allow(unsafe_code)]

mod calendar;
mod end;
mod expected_departures;
mod packet_account;
mod seeds;
mod timetable;
mod tunnel;
mod world;
mod year;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use year::{Pauses, run};

struct CountingAllocator;

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread has allocated and not freed.
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = LIVE_BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as isize));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = LIVE_BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as isize));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Every day of the year, but only the minutes in which something happens; in between both ends stand still, as hosts
/// that are suspended.
#[test]
fn a_year_with_pauses_loses_and_leaks_nothing() {
    run(365, Pauses::BetweenEvents);
}

/// `make soak` runs it; SOAK_DAYS shortens it.
#[test]
#[ignore = "takes minutes: 'make soak' runs it"]
fn a_whole_year_loses_and_leaks_nothing() {
    let days = std::env::var("SOAK_DAYS").map_or(365, |days| days.parse().expect("SOAK_DAYS is a number of days"));
    run(days, Pauses::None);
}
