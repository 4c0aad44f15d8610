//! Packets on a router's interfaces: the search for quotes accepts anything, and finds nothing before a device has sent.
//!
//! Input: records of a byte that says who sent the packet, two length bytes (big-endian, modulo 2048) and that number of
//! bytes of a packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::core::quotes::{Identifier, QuoteDetector};
use millpond::units::{DeviceId, Nanos};

fuzz_target!(|data: &[u8]| {
    let mut detector = QuoteDetector::new(std::iter::empty::<(Identifier, DeviceId)>());
    let mut now = Nanos::ZERO;
    let (mut has_device, mut rest) = (false, data);
    while let [sender, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])) % 2048;
        let (packet, after) = after.split_at(after.len().min(length));
        rest = after;
        now = now + Nanos::from_millis(u64::from(sender >> 2) * 10);
        match sender & 3 {
            0 => detector.note_other(packet),
            1 => {
                detector.note_confined(now, DeviceId((sender >> 2).into()), packet, sender & 4 == 0);
                has_device = true;
            }
            _ => {
                let quote = detector.judge(now, packet);
                assert!(quote.is_none() || has_device, "{quote:?}");
            }
        }
    }
});
