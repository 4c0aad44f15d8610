//! Captured frames of every link type: the laboratory's checked views never read beyond them.
//!
//! Input: a byte that selects the link type, then the frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::lab::capture::{Frame, LinkType};

fuzz_target!(|data: &[u8]| {
    let [kind, bytes @ ..] = data else { return };
    let links = [LinkType::Ethernet, LinkType::RawIp, LinkType::LinuxCooked, LinkType::LinuxCooked2];
    let Some(frame) = Frame::parse(links[usize::from(*kind) % links.len()], bytes) else { return };
    assert!(frame.header_bytes + frame.payload.len() <= bytes.len());
    let Some(ip) = frame.ip() else { return };
    assert!(ip.payload.len() <= frame.payload.len());
    if let Some(udp) = ip.udp() {
        assert!(udp.payload.len() <= ip.payload.len());
    }
});
