//! Capture files (pcap and pcapng): reading ends with a count of packets or an error, and every packet lies inside the
//! file.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use millpond::lab::capture::read;

/// A file in memory, one for each process.
static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/millpond-fuzz-{}", std::process::id())));

fuzz_target!(|data: &[u8]| {
    fs::write(&*PATH, data).expect("the file in memory is written");
    let mut packets = 0;
    let reading = read(&PATH, |packet| {
        packets += 1;
        assert!(packet.data.len() <= data.len());
        _ = packet.frame().and_then(|frame| frame.ip()).and_then(|ip| ip.udp());
        Ok(())
    });
    if let Ok(reading) = &reading {
        assert!(reading.extent.packets >= packets, "{packets} packets");
        assert!(reading.extent.first_ns <= reading.extent.last_ns);
    }
    _ = fs::remove_file(&*PATH);
});
