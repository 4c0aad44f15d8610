//! Extraction of traces from captures, trace files, and homes.

use super::*;
use crate::lab::capture::{LinkType, Mac, PcapWriter};

const CAMERA: Mac = Mac([2, 0, 0, 0, 0, 7]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 1]);

struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str) -> TempFile {
        TempFile(std::env::temp_dir().join(format!("millpond-trace-{}-{name}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn frame(source: Mac, destination: Mac, from: [u8; 4], to: [u8; 4], ip_bytes: u16) -> Vec<u8> {
    let mut frame = [&destination.0[..], &source.0, &[0x08, 0x00, 0x45, 0]].concat();
    frame.extend(ip_bytes.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(from);
    frame.extend(to);
    frame
}

fn event(ms: u64, direction: Direction, bytes: u16) -> PacketRecord {
    PacketRecord { time: Nanos::from_millis(ms), direction, bytes }
}

#[test]
fn extracts_only_internet_traffic() {
    let file = TempFile::new("extract.pcap");
    let mut writer = PcapWriter::create(&file.0, LinkType::Ethernet).unwrap();
    let (home, server) = ([192, 168, 1, 7], [9, 9, 9, 9]);
    let mut at = |ms: u64, orig_len: usize, frame: Vec<u8>| writer.packet(ms * 1_000_000, orig_len, &frame).unwrap();
    at(1_000, 60, frame(ROUTER, ROUTER, server, server, 46));
    at(1_010, 1414, frame(CAMERA, ROUTER, home, server, 1400));
    at(1_020, 60, frame(ROUTER, CAMERA, server, home, 40));
    at(1_030, 200, frame(CAMERA, ROUTER, home, [192, 168, 1, 1], 186));
    at(1_040, 200, frame(CAMERA, Mac([0xff; 6]), home, [255; 4], 186));
    at(1_050, 200, frame(CAMERA, Mac([1, 0, 0x5e, 0, 0, 0xfb]), home, [224, 0, 0, 251], 186));
    at(1_060, 4434, frame(CAMERA, ROUTER, home, server, 4420));
    at(1_070, 114, frame(CAMERA, ROUTER, home, server, 0));
    at(1_080, 114, [&ROUTER.0[..], &CAMERA.0, &[0x08, 0x06], &[0; 28]].concat());
    writer.finish().unwrap();

    let extracted = extract(&file.0, &[("camera".to_owned(), CAMERA)]).unwrap();
    assert!(extracted.damage.is_none());
    let expected = [
        event(10, Direction::Up, 1400),
        // The frame of 60 bytes is padded: the IP header says 40.
        event(20, Direction::Down, 40),
        // A merged packet with 4380 payload bytes consists of three segments.
        event(60, Direction::Up, 1500),
        event(60, Direction::Up, 1500),
        event(60, Direction::Up, 1500),
        event(70, Direction::Up, 100),
    ];
    assert_eq!(extracted.traces[0].packets, expected);
}

#[test]
fn a_damaged_capture_yields_the_packets_before_the_damage() {
    let file = TempFile::new("damaged.pcap");
    let mut writer = PcapWriter::create(&file.0, LinkType::Ethernet).unwrap();
    for ms in 0..10 {
        writer.packet(ms * 1_000_000, 514, &frame(CAMERA, ROUTER, [10, 0, 0, 1], [9, 9, 9, 9], 500)).unwrap();
    }
    writer.finish().unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    std::fs::write(&file.0, &bytes[..bytes.len() - 5]).unwrap();
    let extracted = extract(&file.0, &[("camera".to_owned(), CAMERA)]).unwrap();
    assert_eq!(extracted.traces[0].packets.len(), 9);
    assert!(extracted.damage.unwrap().to_string().contains("truncated"));
}

#[test]
fn a_written_trace_file_reads_back_unchanged() {
    let file = TempFile::new("plug.csv");
    let trace = DeviceKind::Hub.trace("hub", Nanos::from_secs(120), 5);
    write_csv(&trace, &file.0).unwrap();
    assert_eq!(read_csv(&file.0).unwrap().packets, trace.packets);
    for (text, expected) in [
        ("t,d,b\n", "line 1"),
        ("t_ns,direction,bytes\n5,up,100\n4,up,100\n", "line 3: times must not go backwards"),
        ("t_ns,direction,bytes\n5,across,100\n", "neither up nor down"),
        ("t_ns,direction,bytes\n5,up,27\n", "from 28 to 1500"),
        ("t_ns,direction,bytes\n5,up,100,1\n", "three fields"),
        ("t_ns,direction,bytes\n-5,up,100\n", "not a time"),
    ] {
        std::fs::write(&file.0, text).unwrap();
        let message = read_csv(&file.0).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn selects_an_excerpt_busier_than_nine_in_ten() {
    // Second k of the trace has k packets.
    let packets = (0..100u64)
        .flat_map(|second| (0..second).map(move |index| event(second * 1_000 + index, Direction::Up, 100)))
        .collect();
    let trace = Trace { device: "d".to_owned(), packets };
    let excerpt = busy_excerpt(std::slice::from_ref(&trace), Nanos::from_secs(1)).unwrap();
    assert!((85..=95).contains(&excerpt.packets), "{excerpt:?}");
    assert_eq!(trace.cut(excerpt.start, Nanos::from_secs(1)).packets.len(), excerpt.packets);
    assert_eq!(busy_excerpt(&[Trace { device: "d".to_owned(), packets: Vec::new() }], Nanos::from_secs(1)), None);
}

#[test]
fn the_same_seed_gives_the_same_synthetic_home() {
    let length = Nanos::from_secs(300);
    let (home, _) = HomeTrace::synthetic(length, 9);
    assert_eq!(home.devices, HomeTrace::synthetic(length, 9).0.devices);
    assert_ne!(home.devices, HomeTrace::synthetic(length, 10).0.devices);
    let bytes = |name: &str| {
        let trace = home.devices.iter().find(|trace| trace.device == name).unwrap();
        trace.bytes(Direction::Up) + trace.bytes(Direction::Down)
    };
    assert!(bytes("camera") > 10 * bytes("hub") && bytes("hub") > bytes("plug-desk"));
    for trace in &home.devices {
        assert!(!trace.packets.is_empty() && trace.packets.is_sorted_by_key(|event| event.time), "{}", trace.device);
        let legal =
            |event: &PacketRecord| (MIN_PACKET_BYTES..=MAX_PACKET_BYTES).contains(&event.bytes) && event.time < length;
        assert!(trace.packets.iter().all(legal), "{}", trace.device);
    }
    let day = home.repeated(Nanos::from_secs(750));
    let counts = |home: &HomeTrace| home.devices.iter().map(|trace| trace.packets.len()).sum::<usize>();
    assert!((2 * counts(&home)..=3 * counts(&home)).contains(&counts(&day)));
}

/// The home in the data folder matches the folder's README. Skipped without a data folder.
#[test]
fn reads_the_captured_home() {
    let Some(folder) = DataFolder::find() else {
        println!("skipped reads_the_captured_home: no data folder");
        return;
    };
    let (home, _) = HomeTrace::whole(&folder).unwrap();
    assert!(home.devices.len() >= 5, "{} devices", home.devices.len());
    assert!((40 * 60..48 * 60).contains(&(home.length.as_secs_f64() as u64)), "{:?}", home.length);
    let (excerpts, origins) = HomeTrace::of_busy_excerpts(&folder, Nanos::from_secs(120)).unwrap();
    assert_eq!((excerpts.devices.len(), origins.len()), (9, 9));
}
