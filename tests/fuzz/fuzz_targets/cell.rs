//! A sequence of arbitrary cells from a peer: the engine delivers only complete IP packets.
//!
//! Input: records of a length byte, which counts units of four bytes, and that number of bytes of a cell.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::Nanos;
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::ip::Packet;

fuzz_target!(|data: &[u8]| {
    let pace = Pace { law: Law::Gamma, mean: Nanos::from_millis(25), spread_percent: 33 };
    let limits = Limits { bytes: 16 * 1024, age: Nanos::from_secs(1) };
    let params = Params { payload_bytes: 420, pace, lead: Nanos::ZERO, limits };
    let mut engine = Engine::new(params, [1; 32], Nanos::ZERO);
    let mut buf = [0; MAX_PACKET_BYTES];
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (cell, after) = after.split_at(after.len().min(usize::from(length) * 4));
        rest = after;
        engine.handle_cell(cell);
        while let Some(bytes) = engine.poll_packet(&mut buf) {
            assert!(
                Packet::parse(&buf[..bytes]).is_ok(),
                "a packet for the devices must be complete: {:?}",
                &buf[..bytes]
            );
        }
        while engine.poll_control().is_some() {}
    }
});
