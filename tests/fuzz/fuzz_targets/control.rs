//! Control messages: a valid message survives a round trip, alone and inside a cell.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::Nanos;
use millpond::wire::control::{ControlMessage, MAX_BYTES};

fuzz_target!(|data: &[u8]| {
    let message = ControlMessage::parse(data);
    if let Ok(message) = message {
        let mut buf = [0xff; MAX_BYTES];
        message.emit(&mut buf);
        assert_eq!(ControlMessage::parse(&buf[..message.buffer_len()]), Ok(message));
    }
    const BLOCK_BYTES: usize = 412;
    // The block is placed at the start of a cell; the other bytes are padding.
    const HEADER: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];
    let mut cell = HEADER.to_vec();
    cell.extend_from_slice(&data[..data.len().min(BLOCK_BYTES)]);
    cell.resize(420, 0);
    let pace = Pace { law: Law::Gamma, mean: Nanos::from_millis(25), spread_percent: 33 };
    let limits = Limits { bytes: 16 * 1024, age: Nanos::from_secs(1) };
    let mut engine = Engine::new(Params { payload_bytes: 420, pace, lead: Nanos::ZERO, limits }, [1; 32], Nanos::ZERO);
    engine.handle_cell(&cell);
    // A longer block would not fit into the cell.
    if let Ok(message) = message
        && data.len() <= BLOCK_BYTES
    {
        assert_eq!(engine.poll_control(), Some(message));
    }
});
