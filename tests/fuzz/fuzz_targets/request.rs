//! Lines of the control socket: a valid request survives a round trip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::daemon::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::request_line(&String::from_utf8_lossy(data)));
