//! Tests reading and writing of valid and damaged captures.

use std::path::PathBuf;

use super::*;
use crate::lab::error::Error;

/// A file that is deleted on drop.
struct TempFile(PathBuf);

impl TempFile {
    fn with(name: &str, bytes: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("millpond-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Timestamp, length on the wire and captured length of a packet.
type PacketSummary = (u64, usize, usize);

fn read_all(path: &std::path::Path) -> (Vec<PacketSummary>, Result<Extent, Error>) {
    let mut packets = Vec::new();
    let result = read(path, |packet| {
        packets.push((packet.time_ns, packet.orig_len, packet.data.len()));
        Ok(())
    });
    let extent = result.and_then(|mut reading| reading.damage.take().map_or(Ok(reading.extent), Err));
    (packets, extent)
}

/// Returns a pcap with two packets, the first truncated to four bytes.
fn pcap(magic: u32, big_endian: bool, fraction: u32, link: u32) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut bytes = Vec::new();
    bytes.extend(word(magic));
    bytes.extend(half(2));
    bytes.extend(half(4));
    bytes.extend([0; 8]);
    bytes.extend(word(65_535));
    bytes.extend(word(link));
    for (seconds, kept, orig_len) in [(1u32, 4u32, 1500u32), (2, 60, 60)] {
        for value in [seconds, fraction, kept, orig_len] {
            bytes.extend(word(value));
        }
        bytes.extend(std::iter::repeat_n(7, kept as usize));
    }
    bytes
}

fn pcapng(big_endian: bool, resolution: u8, ticks: u64) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let length = word(body.len() as u32 + 12);
        [&word(kind)[..], &length, body, &length].concat()
    };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    let option = [&half(9)[..], &half(1), &[resolution, 0, 0, 0], &half(0), &half(0)].concat();
    let interface = [&half(1)[..], &half(0), &word(0), &option].concat();
    let times = [word((ticks >> 32) as u32), word(ticks as u32)].concat();
    let packet = [&word(0)[..], &times, &word(5), &word(999), &[1, 2, 3, 4, 5, 0, 0, 0]].concat();
    [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet)].concat()
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for (name, magic, fraction, expected_ns) in
        [("us", 0xa1b2_c3d4, 250_000, 250_000_000), ("ns", 0xa1b2_3c4d, 250_000, 250_000)]
    {
        for big_endian in [false, true] {
            let file = TempFile::with(&format!("{name}-{big_endian}.pcap"), &pcap(magic, big_endian, fraction, 1));
            let (packets, result) = read_all(&file.0);
            let first_ns = 1_000_000_000 + expected_ns;
            assert_eq!(packets, [(first_ns, 1500, 4), (first_ns + 1_000_000_000, 60, 60)], "{name} {big_endian}");
            assert_eq!(result.unwrap().packets, 2);
        }
    }
}

#[test]
fn pcapng_is_read_in_both_byte_orders_and_unusual_resolutions() {
    for (resolution, ticks, expected_ns) in [
        (6, 3_000_001, 3_000_001_000),
        (9, 3_000_000_001, 3_000_000_001),
        (12, 3_000_000_001_000, 3_000_000_001),
        (0x80 | 10, 3 << 10, 3_000_000_000),
        (0, 3, 3_000_000_000),
    ] {
        for big_endian in [false, true] {
            let file = TempFile::with(&format!("{resolution}-{big_endian}.ng"), &pcapng(big_endian, resolution, ticks));
            let (packets, result) = read_all(&file.0);
            assert_eq!(packets, [(expected_ns, 999, 5)], "resolution {resolution}, big-endian {big_endian}");
            assert!(result.is_ok());
        }
    }
}

#[test]
fn truncated_capture_reports_the_offset_and_keeps_earlier_packets() {
    let whole = pcap(0xa1b2_c3d4, false, 0, 1);
    let second_record = 24 + 16 + 4;
    for length in second_record + 1..whole.len() {
        let file = TempFile::with("cut.pcap", &whole[..length]);
        let (packets, result) = read_all(&file.0);
        assert_eq!(packets.len(), 1);
        match result {
            Err(Error::Damaged { offset, cause, .. }) => {
                assert_eq!(offset, second_record as u64);
                assert!(cause.contains("truncated"), "{cause}");
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
    let ends_with_a_record = TempFile::with("short.pcap", &whole[..second_record]);
    assert_eq!(read_all(&ends_with_a_record.0).1.unwrap().packets, 1);
}

#[test]
fn file_that_is_not_a_capture_is_refused() {
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "empty"),
        ("three", vec![0xd4, 0xc3, 0xb2], "inside its header"),
        ("header", pcap(0xa1b2_c3d4, false, 0, 1)[..20].to_vec(), "inside its header"),
        ("text", b"t_ns,direction,bytes\n1,up,100\n".to_vec(), "neither pcap nor pcapng"),
        ("wifi", pcap(0xa1b2_c3d4, false, 0, 105), "802.11"),
    ];
    for (name, bytes, expected) in cases {
        let file = TempFile::with(name, &bytes);
        let (packets, result) = read_all(&file.0);
        let message = result.unwrap_err().to_string();
        assert!(packets.is_empty() && message.contains(expected), "{name}: {message}");
    }
    let missing = read(std::path::Path::new("no/such/file"), |_| Ok(())).unwrap_err().to_string();
    assert!(missing.contains("no/such/file"), "{missing}");
}

#[test]
fn random_bytes_give_an_error_or_few_packets() {
    use rand::{Rng, RngExt, SeedableRng, rngs::ChaCha8Rng};
    let seed = 3;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..400 {
        let mut bytes = if round % 2 == 0 { pcap(0xa1b2_3c4d, false, 1, 1) } else { pcapng(false, 6, 1) };
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        rng.fill_bytes(&mut bytes[60..]);
        let file = TempFile::with("noise", &bytes);
        let (packets, result) = read_all(&file.0);
        assert!(result.is_err() || packets.len() < 10);
    }
}

#[test]
fn written_captures_are_read_back() {
    let file = TempFile::with("written.pcap", &[]);
    let mut writer = PcapWriter::create(&file.0, LinkType::Ethernet).unwrap();
    writer.packet(1_700_000_000_123_456_789, 522, &[9; 42]).unwrap();
    writer.finish().unwrap();
    assert_eq!(read_all(&file.0).0, [(1_700_000_000_123_456_789, 522, 42)]);
}

#[test]
fn frames_are_parsed_with_and_without_vlan_tags() {
    let ip = [
        &[0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, 2, 9, 9, 9, 9][..],
        &[0x30, 0x39, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4],
    ]
    .concat();
    for tags in [vec![], vec![0x81, 0x00, 0x00, 0x05], vec![0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]] {
        let bytes = [&[2; 6][..], &[4; 6], &tags, &[0x08, 0x00], &ip].concat();
        let frame = Frame::parse(LinkType::Ethernet, &bytes).unwrap();
        assert_eq!((frame.source, frame.header_bytes), (Some(Mac([4; 6])), 14 + tags.len()));
        let header = frame.ip().unwrap();
        assert_eq!((header.length, header.destination.to_string()), (Some(32), "9.9.9.9".to_owned()));
        let udp = header.udp().unwrap();
        assert_eq!((udp.source_port, udp.destination_port, udp.payload_bytes), (12_345, 53, 4));
        for cut in 0..bytes.len() {
            let _ =
                Frame::parse(LinkType::Ethernet, &bytes[..cut]).and_then(|frame| frame.ip()).and_then(|ip| ip.udp());
        }
    }
    assert!("18:b4:30:26:34".parse::<Mac>().is_err() && "18:b4:30:26:34:4g".parse::<Mac>().is_err());
    assert_eq!("18:b4:30:26:34:40".parse::<Mac>().unwrap().to_string(), "18:b4:30:26:34:40");
}
