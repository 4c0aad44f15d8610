//! Both ends, the tunnel between them, and the packets of the home's devices, in one virtual time.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use millpond::config::model::Settings;
use millpond::daemon::{Clocks, RandomSources, VirtualDaemon};
use millpond::units::Nanos;
use millpond::wire::MAX_PACKET_BYTES;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::calendar::{self, Rates, START_S, ZONE};
use crate::end::End;
use crate::packet_account::{MIN_PACKET_BYTES, PacketAccount};
use crate::tunnel::Tunnel;

/// The addresses inside the tunnel, and a server on the Internet.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const SECOND: Nanos = Nanos::from_secs(1);
/// Packets in all take this part of what the cells carry, and in a burst more than they carry.
const LOAD: f64 = 0.3;
const BURST_LOAD: f64 = 4.0;
/// Index of the router, and of the packets to the endpoint.
pub const UP: usize = 0;
/// Index of the endpoint, and of the packets to the home.
pub const DOWN: usize = 1;

/// Everything that is simulated.
pub struct World {
    pub now: Nanos,
    pub ends: [End; 2],
    pub tunnel: Tunnel,
    pub accounts: [PacketAccount; 2],
    pub variant: usize,
    rates: Rates,
    /// Whether the devices send nothing.
    pub is_quiet: bool,
    /// Whether they send more than the cells carry.
    pub is_burst: bool,
    pub level_changes: u64,
    /// Bytes on the wire by the router's interface, sent and received.
    pub wire_bytes: u64,
    /// The monotonic clock at the start of the year.
    started: Nanos,
    next_packets: [Nanos; 2],
    next_tick: Nanos,
    usage_files: [PathBuf; 2],
    random: RandomSources,
    rng: ChaCha12Rng,
    packet: Vec<u8>,
    expected: Vec<u8>,
}

impl World {
    /// Both daemons have just started, on hosts that have been up for `uptime`.
    pub fn new(random: RandomSources, seed: u64, rates: Rates, uptime: Nanos, folder: &Path) -> World {
        let usage_files = ["router", "endpoint"].map(|name| folder.join(name));
        let clocks = Clocks { now: uptime, unix_s: START_S };
        let ends = [UP, DOWN].map(|end| {
            let settings = settings_of(end, 0, rates);
            let daemon = daemon(end, settings, &usage_files[end], random, clocks);
            End::new(daemon, uptime)
        });
        World {
            now: uptime,
            ends,
            tunnel: Tunnel::new(),
            accounts: [PacketAccount::new(ROUTER, SERVER), PacketAccount::new(SERVER, ROUTER)],
            variant: 0,
            rates,
            is_quiet: false,
            is_burst: false,
            level_changes: 0,
            wire_bytes: 0,
            started: uptime,
            next_packets: [uptime; 2],
            next_tick: uptime + SECOND,
            usage_files,
            random,
            rng: ChaCha12Rng::seed_from_u64(seed),
            packet: vec![0; MAX_PACKET_BYTES],
            expected: vec![0; MAX_PACKET_BYTES],
        }
    }

    /// The time by both clocks.
    pub fn clocks(&self) -> Clocks {
        Clocks { now: self.now, unix_s: START_S + ((self.now.0 - self.started.0) / SECOND.0) as i64 }
    }

    /// Runs everything up to the next second.
    pub fn run_second(&mut self) {
        let until = self.next_tick;
        while let Some(next) = self.next_event().filter(|next| *next < until) {
            // After a pause, what was due before is due now.
            self.now = self.now.max(next);
            self.handle_event();
        }
        self.now = until;
        self.next_tick = until + SECOND;
        self.handle_tick();
    }

    /// Lets both hosts stand still up to that time. Cells under way are lost.
    pub fn pause_until(&mut self, unix_s: i64) {
        for from in [UP, DOWN] {
            while !self.tunnel.under_way[from].is_empty() {
                let cell = self.tunnel.pop(from);
                self.tunnel.recycle(cell);
                self.tunnel.lost[from] += 1;
            }
        }
        self.now = Nanos(self.started.0 + (unix_s - START_S) as u64 * SECOND.0);
        self.next_tick = self.now + SECOND;
        self.next_packets = [self.now; 2];
    }

    /// Puts a variant of the settings into force at both ends.
    pub fn reload(&mut self, variant: usize) {
        self.variant = variant;
        let clocks = self.clocks();
        for (index, end) in self.ends.iter_mut().enumerate() {
            let settings = settings_of(index, variant, self.rates);
            end.daemon.reload(settings, clocks).expect("the settings suit the tunnel");
            end.follow(clocks.now);
        }
    }

    /// Stops a daemon and starts it again.
    pub fn restart(&mut self, end: usize) {
        let clocks = self.clocks();
        self.ends[end].daemon.stop().expect("the data usage is written");
        let settings = settings_of(end, self.variant, self.rates);
        let daemon = daemon(end, settings, &self.usage_files[end], self.random, clocks);
        self.ends[end].restart(daemon, self.now);
        self.tunnel.forget_keys();
    }

    /// Gives the router another peer in WireGuard for three seconds, as when the endpoint's address changes.
    pub fn change_peer(&mut self) {
        self.ends[UP].daemon.pause_cells(self.now);
        self.ends[UP].follow(self.now);
        self.tunnel.forget_keys();
        (0..3).for_each(|_| self.run_second());
        self.ends[UP].daemon.resume_cells(self.now);
        self.ends[UP].follow(self.now);
    }

    fn next_event(&self) -> Option<Nanos> {
        let departures = self.ends.iter().filter_map(|end| end.daemon.next_timeout());
        let arrivals = [UP, DOWN].map(|from| self.tunnel.arrival(from));
        let packets = self.next_packets.iter().copied().filter(|_| !self.is_quiet);
        departures.chain(arrivals).chain(packets).min()
    }

    fn handle_event(&mut self) {
        let Clocks { now, unix_s } = self.clocks();
        for from in [UP, DOWN] {
            if self.tunnel.arrival(from) <= now {
                return self.handle_arrival(from);
            }
        }
        for from in [UP, DOWN] {
            if self.ends[from].daemon.next_timeout().is_some_and(|next| next <= now) {
                let World { ends, tunnel, wire_bytes, .. } = self;
                let size = ends[UP].daemon.level().2;
                return ends[from].handle_timeout(now, |cell| {
                    tunnel.send(from, cell, now, unix_s);
                    if from == UP {
                        *wire_bytes += (size.wire_bytes - size.payload_bytes + cell.len()) as u64;
                    }
                });
            }
        }
        for from in [UP, DOWN] {
            if self.next_packets[from] <= now && !self.is_quiet {
                return self.send_packet(from);
            }
        }
    }

    fn handle_arrival(&mut self, from: usize) {
        let cell = self.tunnel.pop(from);
        let World { ends, accounts, packet, expected, .. } = self;
        let to = &mut ends[1 - from];
        to.handle_cell(self.now, &cell, packet, |packet| accounts[from].note_delivered(packet, expected));
        if from == DOWN {
            let size = ends[UP].daemon.level().2;
            self.wire_bytes += (size.wire_bytes - size.payload_bytes + cell.len()) as u64;
        }
        self.tunnel.recycle(cell);
    }

    fn send_packet(&mut self, from: usize) {
        let size = self.ends[UP].daemon.level().2;
        let bytes = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(600..=MAX_PACKET_BYTES),
            _ => self.rng.random_range(MIN_PACKET_BYTES..300),
        };
        let device = if from == UP { self.rng.random_range(0..8) } else { 0 };
        let packet = &mut self.packet[..bytes];
        self.accounts[from].write_next(device, packet);
        let is_taken = self.ends[from].handle_packet(self.now, packet);
        self.accounts[from].note_sent(is_taken);
        // An endpoint that has not been asked yet has a pace, too; it takes no packets.
        let mean_s = self.ends[from].daemon.departures().0.mean.as_secs_f64();
        let load = if self.is_burst { BURST_LOAD } else { LOAD };
        let wait_s = bytes as f64 / size.block_bytes as f64 * mean_s / load;
        let wait_s = wait_s * -self.rng.random_range(1e-9..1.0f64).ln();
        self.next_packets[from] = self.now + Nanos((wait_s * 1e9) as u64 + 1);
    }

    fn handle_tick(&mut self) {
        let clocks = self.clocks();
        self.tunnel.poll_handshake(clocks.now, clocks.unix_s);
        for end in [UP, DOWN] {
            let is_changed = self.ends[end].handle_tick(clocks);
            self.level_changes += u64::from(is_changed && end == UP);
        }
        let router = &mut self.ends[UP];
        if router.daemon.holds_cells(clocks.now) {
            router.daemon.note_handshake(self.tunnel.handshake_s, clocks.now);
            router.follow(clocks.now);
        }
    }
}

fn settings_of(end: usize, variant: usize, rates: Rates) -> Settings {
    if end == UP { calendar::router(variant, rates) } else { calendar::endpoint(variant) }
}

fn daemon(end: usize, settings: Settings, usage: &Path, random: RandomSources, clocks: Clocks) -> VirtualDaemon {
    let peer = if end == UP { ENDPOINT } else { ROUTER };
    VirtualDaemon::start(settings, peer, ZONE, usage, random, clocks).expect("the settings suit the tunnel")
}
