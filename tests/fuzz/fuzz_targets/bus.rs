//! Frames from ubus's broker, and calls of the daemon's methods: a request that was read survives a round trip.
//!
//! Input: a byte whose lowest bit selects frames (0) or a call (1), then the frames, or the method's number and the
//! arguments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::daemon::fuzzing;
use millpond::daemon::request::REQUESTS;

fuzz_target!(|data: &[u8]| match data {
    [0, frames @ ..] => fuzzing::bus(frames),
    [_, number, arguments @ ..] => fuzzing::call(REQUESTS[usize::from(*number) % REQUESTS.len()].name, arguments),
    _ => {}
});
