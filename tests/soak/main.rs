//! A year of both ends in virtual time: see `make soak`, and "Long runs" in docs/measurements.md for what is simulated.
#![allow(unsafe_code)]

mod calendar;
#[path = "../common/counting_allocator.rs"]
mod counting_allocator;
mod end;
mod expected_departures;
mod packet_account;
mod seeds;
mod timetable;
mod tunnel;
mod world;
mod year;

use year::{Pauses, run};

/// Every day of the year, but only the minutes in which something happens; in between both ends stand still, as hosts
/// that are suspended. With SOAK_DAYS, that many days and every second of them, as `make soak` does.
#[test]
fn a_year_loses_and_leaks_nothing() {
    match std::env::var("SOAK_DAYS") {
        Ok(days) => run(days.parse().expect("SOAK_DAYS is a number of days"), Pauses::None),
        Err(_) => run(365, Pauses::BetweenEvents),
    }
}
