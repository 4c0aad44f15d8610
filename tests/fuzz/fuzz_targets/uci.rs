//! Settings files: parsing gives either settings or at least one error, and every problem prints as one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::{Severity, parse};

fuzz_target!(|data: &[u8]| {
    let parsed = parse(data);
    let failed = parsed.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(parsed.settings.is_none(), failed);
    for problem in &parsed.problems {
        assert!(!problem.at("file").to_string().contains(['\n', '\0']), "{problem:?}");
    }
});
