//! OpenVPN's profiles and output: parsing gives either a profile or at least one error, and every problem prints as one
//! line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::model::Role;
use millpond::tunnel::openvpn::{named_files, parse, parse_line};

fuzz_target!(|data: &[u8]| {
    for role in [Role::Router, Role::Endpoint] {
        if let Err(problems) = parse(data, role) {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!(!problem.at("file").to_string().contains(['\n', '\0']), "{problem:?}");
            }
        }
    }
    _ = named_files(data);
    let text = String::from_utf8_lossy(data);
    text.lines().for_each(|line| _ = parse_line(line, Some([10, 77, 0, 2].into())));
});
