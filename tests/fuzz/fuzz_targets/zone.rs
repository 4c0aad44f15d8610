//! Rules of time zones and files with them: every local time is in range.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::daemon::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::zone(data));
