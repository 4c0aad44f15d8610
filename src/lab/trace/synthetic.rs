//! Generates synthetic traces from a seed, with the traffic patterns of real devices, for use without captures.
//!
//! The patterns follow captures of the kinds of devices in the paper: a camera streams at a variable bit rate with
//! bursts on motion; a voice assistant sends only keep-alives and now and then exchanges a few hundred packets; plugs
//! and sensors send small keep-alives and a handful of packets when something happens; hubs poll.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::{Direction, PacketRecord, Trace};
use crate::units::Nanos;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Ten video frames a second while it is watched, larger ones while something moves.
    Camera,
    /// A request about every minute: speech up, answer down.
    VoiceAssistant,
    /// Keep-alives, and a few packets when switched.
    Plug,
    /// Keep-alives, and a report when something moves.
    MotionSensor,
    /// Keep-alives and polls to several servers.
    Hub,
}

impl DeviceKind {
    /// Names and kinds of the devices in the synthetic home.
    pub const HOME: [(&'static str, DeviceKind); 7] = [
        ("camera", DeviceKind::Camera),
        ("voice-assistant", DeviceKind::VoiceAssistant),
        ("plug-kitchen", DeviceKind::Plug),
        ("plug-desk", DeviceKind::Plug),
        ("motion-sensor", DeviceKind::MotionSensor),
        ("hub", DeviceKind::Hub),
        ("bridge", DeviceKind::Hub),
    ];

    /// Generates a trace of `length`. The same kind, name, length and seed give the same trace.
    pub fn trace(self, device: &str, length: Nanos, seed: u64) -> Trace {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (index, byte) in device.bytes().enumerate() {
            key[8 + index % 24] = key[8 + index % 24].rotate_left(3) ^ byte;
        }
        let mut generator = TraceGenerator { rng: ChaCha8Rng::from_seed(key), length, packets: Vec::new() };
        match self {
            DeviceKind::Camera => generator.camera(),
            DeviceKind::VoiceAssistant => generator.voice_assistant(),
            DeviceKind::Plug => generator.plug(),
            DeviceKind::MotionSensor => generator.motion_sensor(),
            DeviceKind::Hub => generator.hub(),
        }
        generator.packets.retain(|packet| packet.time < length);
        generator.packets.sort();
        Trace { device: device.to_owned(), packets: generator.packets }
    }
}

struct TraceGenerator {
    rng: ChaCha8Rng,
    length: Nanos,
    packets: Vec<PacketRecord>,
}

impl TraceGenerator {
    fn camera(&mut self) {
        self.keepalive(20.0, 90, 74);
        let mut at = self.within(5.0, 20.0);
        while at < self.length {
            let watched_until = at + self.within(15.0, 40.0);
            let mut level = 1.0;
            while at < watched_until {
                // Motion starts and stops within about a second, so the level changes slowly.
                level = (level + self.rng.random_range(-0.15..0.15f64)).clamp(0.4, 2.5);
                let frame_bytes = (level * self.rng.random_range(600.0..2400.0)) as usize;
                self.burst(at, Direction::Up, frame_bytes, 1_300, 0.002);
                if self.rng.random_bool(0.2) {
                    self.push(at + Nanos::from_millis(30), Direction::Down, 52);
                }
                at = at + Nanos::from_millis(self.rng.random_range(90..110));
            }
            at = at + self.within(20.0, 90.0);
        }
    }

    fn voice_assistant(&mut self) {
        self.keepalive(30.0, 108, 72);
        let mut at = self.within(4.0, 15.0);
        while at < self.length {
            let mut speech_at = at;
            for _ in 0..self.rng.random_range(60..160) {
                let bytes = self.rng.random_range(180..700);
                self.push(speech_at, Direction::Up, bytes);
                if self.rng.random_bool(0.4) {
                    self.push(speech_at + Nanos::from_millis(25), Direction::Down, 52);
                }
                speech_at = speech_at + Nanos::from_millis(self.rng.random_range(10..45));
            }
            let answer_bytes = self.rng.random_range(30_000..80_000);
            self.burst(speech_at + Nanos::from_millis(400), Direction::Down, answer_bytes, 1_440, 0.02);
            at = at + self.within(35.0, 80.0);
        }
    }

    fn plug(&mut self) {
        self.keepalive(10.0, 93, 93);
        self.occasionally(20.0, 90.0, |generator, at| {
            generator.push(at, Direction::Down, 217);
            generator.push(at + Nanos::from_millis(40), Direction::Up, 52);
            generator.push(at + Nanos::from_millis(180), Direction::Up, 249);
            generator.push(at + Nanos::from_millis(230), Direction::Down, 52);
        });
    }

    fn motion_sensor(&mut self) {
        self.keepalive(30.0, 70, 70);
        self.occasionally(15.0, 60.0, |generator, at| {
            for turn in 0..5 {
                let bytes = generator.rng.random_range(60..420);
                generator.push(at + Nanos::from_millis(60 * turn), Direction::Up, bytes);
                generator.push(at + Nanos::from_millis(60 * turn + 35), Direction::Down, 64);
            }
        });
    }

    fn hub(&mut self) {
        self.keepalive(15.0, 126, 91);
        self.keepalive(31.0, 83, 83);
        self.occasionally(5.0, 25.0, |generator, at| {
            let bytes = generator.rng.random_range(400..1_600);
            generator.burst(at, Direction::Up, bytes, 1_440, 0.003);
            let answer_bytes = generator.rng.random_range(300..3_000);
            generator.burst(at + Nanos::from_millis(80), Direction::Down, answer_bytes, 1_440, 0.003);
        });
    }

    /// Adds a request and its answer about every `period_s` seconds.
    fn keepalive(&mut self, period_s: f64, up_bytes: u16, down_bytes: u16) {
        let mut at = self.within(0.0, period_s);
        while at < self.length {
            self.push(at, Direction::Up, up_bytes);
            let round_trip = Nanos::from_millis(self.rng.random_range(20..90));
            self.push(at + round_trip, Direction::Down, down_bytes);
            at = at + self.within(0.97 * period_s, 1.03 * period_s);
        }
    }

    fn occasionally(&mut self, min_s: f64, max_s: f64, mut happen: impl FnMut(&mut TraceGenerator, Nanos)) {
        let mut at = self.within(min_s / 4.0, min_s);
        while at < self.length {
            happen(self, at);
            at = at + self.within(min_s, max_s);
        }
    }

    /// Adds `bytes` of payload in packets with at most `max_bytes` of payload each, about `gap_s` apart.
    fn burst(&mut self, start: Nanos, direction: Direction, bytes: usize, max_bytes: usize, gap_s: f64) {
        let mut at = start;
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(max_bytes);
            self.push(at, direction, piece as u16 + 52);
            left -= piece;
            at = at + self.within(0.5 * gap_s, 1.5 * gap_s);
        }
    }

    fn push(&mut self, time: Nanos, direction: Direction, bytes: u16) {
        self.packets.push(PacketRecord { time, direction, bytes });
    }

    fn within(&mut self, min_s: f64, max_s: f64) -> Nanos {
        Nanos((self.rng.random_range(min_s..max_s) * 1e9) as u64)
    }
}
