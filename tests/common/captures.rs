//! Captures made in code: the packets of a device or of a line, in whatever tools and lines wrap packets.

use std::path::{Path, PathBuf};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Address of the device in [`Flow::of_camera`].
pub const CAMERA: &str = "18:b4:30:26:34:40";
const CAMERA_BYTES: [u8; 6] = [0x18, 0xb4, 0x30, 0x26, 0x34, 0x40];
const GATEWAY_BYTES: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RADIOTAP: u32 = 127;
/// Time between the first packets and 2023 in nanoseconds.
const START_NS: u64 = 1_700_000_000_000_000_000;
const SEED: u64 = 7;

/// A folder that is deleted on drop.
pub struct TempFolder(PathBuf);

/// What carries IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    Ethernet,
    Vlan,
    /// The file's link type says that frames end with four bytes of check sequence, counted in words or in bytes.
    FcsOfTwoWords,
    FcsOfFourBytes,
    Pppoe,
    PppoeInVlan,
    LinuxCooked,
    LinuxCooked2,
    RawIp,
    DsLite,
    /// With the header that Linux puts before the inner packet by default.
    DsLiteWithLimit,
}

/// The packets of a device or of a line.
pub struct Flow {
    packets: Vec<FlowPacket>,
}

struct FlowPacket {
    ns: u64,
    up: bool,
    ip: Vec<u8>,
}

/// Packets as they are in a file.
pub struct CapturedFlow {
    pub packets: Vec<CapturedPacket>,
}

#[derive(Clone)]
pub struct CapturedPacket {
    ns: u64,
    link: u32,
    data: Vec<u8>,
}

impl TempFolder {
    pub fn new(name: &str) -> TempFolder {
        let path = std::env::temp_dir().join(format!("millpond-captures-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        TempFolder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a pcap file, or a pcapng file if there are several link types.
    pub fn write(&self, flow: &CapturedFlow) -> PathBuf {
        let count = std::fs::read_dir(&self.0).unwrap().count();
        let path = self.path(&format!("capture-{count}"));
        std::fs::write(&path, flow.file()).unwrap();
        path
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Encapsulation {
    pub const ALL: [Encapsulation; 11] = [
        Encapsulation::Ethernet,
        Encapsulation::Vlan,
        Encapsulation::FcsOfTwoWords,
        Encapsulation::FcsOfFourBytes,
        Encapsulation::Pppoe,
        Encapsulation::PppoeInVlan,
        Encapsulation::LinuxCooked,
        Encapsulation::LinuxCooked2,
        Encapsulation::RawIp,
        Encapsulation::DsLite,
        Encapsulation::DsLiteWithLimit,
    ];

    /// Bytes of IP headers around the packet.
    pub fn outer_ip_bytes(self) -> usize {
        match self {
            Encapsulation::DsLite => 40,
            Encapsulation::DsLiteWithLimit => 48,
            _ => 0,
        }
    }

    fn link(self) -> u32 {
        match self {
            Encapsulation::FcsOfTwoWords => 0x2400_0001,
            Encapsulation::FcsOfFourBytes => 0x4400_0001,
            Encapsulation::LinuxCooked => 113,
            Encapsulation::LinuxCooked2 => 276,
            Encapsulation::RawIp => 101,
            _ => 1,
        }
    }

    fn wrap(self, up: bool, ip: &[u8]) -> Vec<u8> {
        let (source, destination) = if up { (CAMERA_BYTES, GATEWAY_BYTES) } else { (GATEWAY_BYTES, CAMERA_BYTES) };
        let ethernet = |rest: &[u8]| [&destination[..], &source, rest, ip].concat();
        let session = |tag: &[u8]| {
            let [high, low] = (ip.len() as u16 + 2).to_be_bytes();
            ethernet(&[tag, &[0x88, 0x64, 0x11, 0, 0, 0x77, high, low, 0, 0x21]].concat())
        };
        let six = |next: u8, options: &[u8]| {
            let [high, low] = ((ip.len() + options.len()) as u16).to_be_bytes();
            let host = |last| [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
            let (from, to) = if up { (host(2), host(1)) } else { (host(1), host(2)) };
            ethernet(&[&[0x86, 0xdd, 0x60, 0, 0, 0, high, low, next, 64][..], &from, &to, options].concat())
        };
        let kind = if up { 0 } else { 4 };
        match self {
            Encapsulation::Ethernet => ethernet(&[8, 0]),
            Encapsulation::Vlan => ethernet(&[0x81, 0, 0, 5, 8, 0]),
            Encapsulation::FcsOfTwoWords | Encapsulation::FcsOfFourBytes => [ethernet(&[8, 0]), vec![0xaa; 4]].concat(),
            Encapsulation::Pppoe => session(&[]),
            Encapsulation::PppoeInVlan => session(&[0x81, 0, 0, 7]),
            Encapsulation::LinuxCooked => [&[0, kind, 0, 1, 0, 6][..], &source, &[0, 0, 8, 0], ip].concat(),
            Encapsulation::LinuxCooked2 => {
                [&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, kind, 6][..], &source, &[0, 0], ip].concat()
            }
            Encapsulation::RawIp => ip.to_vec(),
            Encapsulation::DsLite => six(4, &[]),
            Encapsulation::DsLiteWithLimit => six(60, &[4, 0, 4, 1, 4, 1, 0, 0]),
        }
    }
}

impl Flow {
    /// Datagrams of 88 and 120 bytes between [`CAMERA`] and a server.
    pub fn of_camera(count: usize) -> Flow {
        Flow::new(count, ([192, 168, 1, 20], 5_000), ([52, 1, 2, 3], 443), |up| if up { 88 } else { 120 })
    }

    /// Cells of 508 bytes between a router and its endpoint, which the port tells apart.
    pub fn of_line(count: usize) -> Flow {
        Flow::new(count, ([203, 0, 113, 9], 40_000), ([198, 51, 100, 7], 51_820), |_| 508)
    }

    fn new(count: usize, home: ([u8; 4], u16), server: ([u8; 4], u16), bytes: fn(bool) -> usize) -> Flow {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut ns = START_NS;
        let mut packet = |number: usize| {
            ns += if number == 0 { 0 } else { rng.random_range(5_000_000..45_000_000) };
            let up = number == 0 || rng.random_bool(0.5);
            let (from, to) = if up { (home, server) } else { (server, home) };
            let bytes = bytes(up);
            let half = |value: usize| (value as u16).to_be_bytes();
            let mut ip = [&[0x45, 0][..], &half(bytes), &half(number), &[0, 0, 64, 17, 0, 0], &from.0, &to.0].concat();
            ip.extend([from.1, to.1].map(u16::to_be_bytes).concat());
            ip.extend([half(bytes - 20), [0, 0]].concat());
            ip.extend([&[4, 0, 0, 0, 1, 0, 0, 0][..], &(number as u64).to_le_bytes()].concat());
            ip.resize(bytes, 0x5a);
            FlowPacket { ns, up, ip }
        };
        Flow { packets: (0..count).map(&mut packet).collect() }
    }

    /// Changes the address of the home's side from packet `first` on.
    pub fn moving(mut self, first: usize) -> Flow {
        for packet in &mut self.packets[first..] {
            packet.ip[if packet.up { 15 } else { 19 }] = 77;
        }
        self
    }

    /// The lines of its trace file.
    pub fn trace_lines(&self) -> Vec<String> {
        let way = |up| if up { "up" } else { "down" };
        let line = |packet: &FlowPacket| format!("{},{},{}", packet.ns - START_NS, way(packet.up), packet.ip.len());
        self.packets.iter().map(line).collect()
    }

    pub fn captured(&self, encapsulation: Encapsulation) -> CapturedFlow {
        let wrapped = |packet: &FlowPacket| CapturedPacket {
            ns: packet.ns,
            link: encapsulation.link(),
            data: encapsulation.wrap(packet.up, &packet.ip),
        };
        CapturedFlow { packets: self.packets.iter().map(wrapped).collect() }
    }
}

impl CapturedFlow {
    /// Takes the packets of one flow from several encapsulations of it in turn.
    pub fn interleaved(flows: &[CapturedFlow]) -> CapturedFlow {
        let count = flows[0].packets.len();
        CapturedFlow { packets: (0..count).map(|index| flows[index % flows.len()].packets[index].clone()).collect() }
    }

    /// Adds frames of a radio in monitor mode.
    pub fn with_monitor_mode(mut self, count: usize) -> CapturedFlow {
        let last = self.packets[self.packets.len() - 1].clone();
        self.packets.extend(std::iter::repeat_n(CapturedPacket { link: RADIOTAP, ..last }, count));
        self
    }

    /// Adds a copy after each packet.
    pub fn copied(self, after_ns: u64) -> CapturedFlow {
        let twice = |packet: CapturedPacket| [packet.clone(), CapturedPacket { ns: packet.ns + after_ns, ..packet }];
        CapturedFlow { packets: self.packets.into_iter().flat_map(twice).collect() }
    }

    /// Repeats every packet whose number is a multiple of `every`.
    pub fn repeating(self, every: usize, after_ns: u64) -> CapturedFlow {
        let maybe = |(number, packet): (usize, CapturedPacket)| {
            let again = CapturedPacket { ns: packet.ns + after_ns, ..packet.clone() };
            [packet].into_iter().chain((number % every == 0).then_some(again))
        };
        CapturedFlow { packets: self.packets.into_iter().enumerate().flat_map(maybe).collect() }
    }

    /// Moves all packets so that the first one is at a time in seconds of Unix time.
    pub fn starting_at(mut self, seconds: u64) -> CapturedFlow {
        for packet in &mut self.packets {
            packet.ns = packet.ns - START_NS + seconds * 1_000_000_000;
        }
        self
    }

    /// Lets the clock jump before packet `first`.
    pub fn stepping(mut self, first: usize, seconds: i64) -> CapturedFlow {
        for packet in &mut self.packets[first..] {
            packet.ns = packet.ns.checked_add_signed(seconds * 1_000_000_000).unwrap();
        }
        self
    }

    fn file(&self) -> Vec<u8> {
        let mut links: Vec<u32> = self.packets.iter().map(|packet| packet.link).collect();
        links.sort_unstable();
        links.dedup();
        match links.as_slice() {
            [link] => self.pcap(*link),
            links => self.pcapng(links),
        }
    }

    fn pcap(&self, link: u32) -> Vec<u8> {
        let header = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, link];
        let mut bytes = header.map(u32::to_le_bytes).concat();
        for packet in &self.packets {
            let (seconds, fraction) = (packet.ns / 1_000_000_000, packet.ns % 1_000_000_000);
            let length = packet.data.len() as u32;
            bytes.extend([seconds as u32, fraction as u32, length, length].map(u32::to_le_bytes).concat());
            bytes.extend(&packet.data);
        }
        bytes
    }

    fn pcapng(&self, links: &[u32]) -> Vec<u8> {
        let block = |kind: u32, body: &[u8]| {
            let length = (body.len().next_multiple_of(4) as u32 + 12).to_le_bytes();
            let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
            [&kind.to_le_bytes()[..], &length, body, &padding, &length].concat()
        };
        let mut bytes = block(0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
        for link in links {
            // Timestamps in nanoseconds.
            let options = [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(block(1, &[&link.to_le_bytes()[..], &[0; 4], &options].concat()));
        }
        for packet in &self.packets {
            let interface = links.iter().position(|link| *link == packet.link).unwrap() as u32;
            let length = packet.data.len() as u32;
            let words = [interface, (packet.ns >> 32) as u32, packet.ns as u32, length, length];
            bytes.extend(block(6, &[&words.map(u32::to_le_bytes).concat()[..], &packet.data].concat()));
        }
        bytes
    }
}

/// A path as a command's argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
