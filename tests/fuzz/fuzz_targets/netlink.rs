//! Netlink messages: every reader of every kind of object; a rule, class or qdisc survives a round trip.
//!
//! Input: a byte whose lowest bit selects a datagram (0) or the body of a message (1), then the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::sys::fuzzing;

fuzz_target!(|data: &[u8]| match data {
    [kind, bytes @ ..] if kind & 1 == 0 => fuzzing::netlink_datagram(bytes),
    [_, bytes @ ..] => fuzzing::netlink_message(bytes),
    [] => {}
});
