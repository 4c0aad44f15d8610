//! Small text files and outputs of other processes: leases, addresses, saved sysctls, reports of reconcile jobs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::daemon::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::text_files(&String::from_utf8_lossy(data)));
