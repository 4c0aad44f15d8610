//! The home's traffic: a thousand devices' connections and datagrams, all by one thread, and a sparse stream among them.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use millpond::sys::timer::{now, wall_clock};
use millpond::units::Nanos;
use nix::cmsg_space;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::place::{Place, SERVER, device};

/// Ports of the server: connections, datagrams and the sparse stream.
const TCP_PORT: u16 = 443;
const UDP_PORT: u16 = 443;
const PROBE_PORT: u16 = 5_000;
/// Bytes of a datagram's payload, and how many one call sends at most.
const DATAGRAM_BYTES: usize = 1_200;
const MAX_DATAGRAMS: usize = 8;
/// What one call writes to a connection.
const WRITE_BYTES: usize = 32_768;
/// The share of the bytes that is in datagrams.
const DATAGRAM_SHARE: f64 = 1.0 / 3.0;
/// Traffic that could not be sent for this long is forgotten.
const MAX_DEBT_SECONDS: f64 = 0.02;
/// Payload of a sparse packet, which makes it 100 bytes long, and the mean time between two.
const PROBE_BYTES: usize = 72;
const PROBE_INTERVAL: Nanos = Nanos::from_millis(8);
/// Packets on the way arrive within this time after the last one was sent.
const DRAIN: Nanos = Nanos::from_millis(100);
/// How often a device tries to reach the server while the line comes up.
const MAX_HELLOS: usize = 100;

/// The kinds of traffic.
const STREAM: usize = 0;
const DATAGRAMS: usize = 1;

/// What the traffic was, payload alone; up first.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub seconds: f64,
    pub bytes: [u64; 2],
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    pub probes_sent: u64,
    /// Delay of each sparse packet in microseconds.
    pub probe_us: [Vec<f64>; 2],
}

/// The sockets of all devices and of their servers.
pub struct Traffic {
    devices: Vec<Device>,
    server: UdpSocket,
    /// The sparse stream's sockets, of a device and of the server.
    probes: [UdpSocket; 2],
    probe_peer: SocketAddr,
    poll: Epoll,
    rng: ChaCha12Rng,
    buffer: Vec<u8>,
    /// The device that sends next, by direction and kind.
    next: [[usize; 2]; 2],
}

/// A device: a connection, which those with even numbers upload by, and a socket for datagrams.
struct Device {
    /// The device's end and the server's.
    stream: [TcpStream; 2],
    datagrams: UdpSocket,
    /// Where the server sees the socket: behind the router's address translation.
    seen_at: SocketAddr,
}

/// A socket that has something to read.
enum Ready {
    Server,
    Stream(usize, usize),
    Datagrams(usize),
}

impl Traffic {
    /// Connects all devices through the line.
    pub fn connect(place: &Place, count: usize, seed: u64) -> Result<Traffic, String> {
        let limit = (4 * count + 1_000) as u64;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("reading a limit: {error}"))?;
        setrlimit(Resource::RLIMIT_NOFILE, limit, most.max(limit))
            .map_err(|error| format!("allowing {limit} open files: {error}"))?;
        place.servers.enter()?;
        let listener = TcpListener::bind((SERVER, TCP_PORT)).map_err(failed("listening"))?;
        let (server, probe_server) = (udp(SERVER, UDP_PORT)?, udp(SERVER, PROBE_PORT)?);
        place.devices.enter()?;
        let probe = udp(device(0), 0)?;
        let mut traffic = Traffic {
            probe_peer: hello(&probe, &probe_server)?,
            devices: Vec::with_capacity(count),
            server,
            probes: [probe, probe_server],
            poll: Epoll::new(EpollCreateFlags::empty()).map_err(|error| format!("polling: {error}"))?,
            rng: ChaCha12Rng::seed_from_u64(seed),
            buffer: vec![0; 1 << 17],
            next: [[0, 0], [1, 0]],
        };
        for number in 0..count {
            let near = connect(device(number)).map_err(failed("connecting a device"))?;
            let (far, _) = listener.accept().map_err(failed("accepting a device"))?;
            let datagrams = udp(device(number), 0)?;
            let seen_at = hello(&datagrams, &traffic.server)?;
            let device = Device { stream: [near, far], datagrams, seen_at };
            device.stream.iter().try_for_each(|end| end.set_nonblocking(true)).map_err(failed("connecting"))?;
            traffic.watch(&device.stream[0], Ready::Stream(number, 0))?;
            traffic.watch(&device.stream[1], Ready::Stream(number, 1))?;
            traffic.watch(&device.datagrams, Ready::Datagrams(number))?;
            traffic.devices.push(device);
        }
        traffic.watch(&traffic.server, Ready::Server)?;
        let sockets = traffic.devices.iter().map(|device| &device.datagrams).chain([&traffic.server]);
        for socket in sockets.chain(&traffic.probes) {
            socket.set_nonblocking(true).map_err(failed("preparing a socket"))?;
        }
        for socket in &traffic.probes {
            setsockopt(socket, sockopt::ReceiveTimestampns, &true).map_err(|error| format!("time stamps: {error}"))?;
        }
        Ok(traffic)
    }

    fn watch(&self, socket: &impl AsFd, ready: Ready) -> Result<(), String> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, ready.number());
        self.poll.add(socket, event).map_err(|error| format!("watching a socket: {error}"))
    }

    /// Offers so many bits a second each way for that long, and receives them.
    pub fn run(&mut self, bits_per_second: f64, length: Nanos) -> Result<Carried, String> {
        let mut carried = Carried { seconds: length.as_secs_f64(), ..Carried::default() };
        let rates = [1.0 - DATAGRAM_SHARE, DATAGRAM_SHARE].map(|share| share * bits_per_second / 8.0);
        // Bytes that may be sent, by direction and kind.
        let mut credit = [[0.0f64; 2]; 2];
        let start = now();
        let (mut last, mut next_probe) = (start, [start; 2]);
        loop {
            let at = now();
            if at >= start + length + DRAIN {
                return Ok(carried);
            }
            let passed = at.saturating_since(last).as_secs_f64();
            last = at;
            for way in (0..2).filter(|_| at < start + length) {
                if at >= next_probe[way] {
                    next_probe[way] = at + Nanos(self.rng.random_range(0..2 * PROBE_INTERVAL.0));
                    carried.probes_sent += u64::from(self.send_probe(way));
                }
                for kind in [STREAM, DATAGRAMS] {
                    let most = (rates[kind] * MAX_DEBT_SECONDS).max(2.0 * DATAGRAM_BYTES as f64);
                    let credit = &mut credit[way][kind];
                    *credit = (*credit + rates[kind] * passed).min(most);
                    // A device that cannot send leaves its turn to the next one.
                    let mut turns = self.devices.len();
                    while *credit >= DATAGRAM_BYTES as f64 && turns > 0 {
                        *credit -= self.send(way, kind, *credit as usize, &mut carried) as f64;
                        turns -= 1;
                    }
                }
            }
            self.receive(&mut carried)?;
        }
    }

    /// Lets the next device, or its server, send up to so many bytes. Returns how many it sent.
    fn send(&mut self, way: usize, kind: usize, bytes: usize, carried: &mut Carried) -> usize {
        let count = self.devices.len();
        let next = &mut self.next[way][kind];
        let device = &mut self.devices[*next % count];
        // Of the connections every other one carries uploads.
        *next += if kind == STREAM { 2 } else { 1 };
        if kind == STREAM {
            return device.stream[way].write(&self.buffer[..bytes.min(WRITE_BYTES)]).unwrap_or(0);
        }
        let datagrams = (bytes / DATAGRAM_BYTES).min(MAX_DATAGRAMS);
        let (socket, to) = match way {
            0 => (&device.datagrams, server(UDP_PORT)),
            _ => (&self.server, device.seen_at),
        };
        let sent = socket.send_to(&self.buffer[..datagrams * DATAGRAM_BYTES], to).unwrap_or(0);
        carried.datagrams_sent += (sent / DATAGRAM_BYTES) as u64;
        sent
    }

    fn send_probe(&self, way: usize) -> bool {
        let mut probe = [0; PROBE_BYTES];
        probe[..16].copy_from_slice(&wall_clock().as_nanos().to_be_bytes());
        let to = if way == 0 { server(PROBE_PORT) } else { self.probe_peer };
        self.probes[way].send_to(&probe, to).is_ok()
    }

    /// Reads what has arrived, or waits up to a millisecond for it.
    fn receive(&mut self, carried: &mut Carried) -> Result<(), String> {
        let mut events = [EpollEvent::empty(); 256];
        let count = self.poll.wait(&mut events, 1u8).map_err(|error| format!("polling: {error}"))?;
        for event in &events[..count] {
            match Ready::of(event.data()) {
                Ready::Stream(number, side) => {
                    // The server's end receives what goes up.
                    let read = self.devices[number].stream[side].read(&mut self.buffer).unwrap_or(0);
                    carried.bytes[1 - side] += read as u64;
                }
                Ready::Datagrams(number) => {
                    read_datagrams(&self.devices[number].datagrams, 1, &mut self.buffer, carried)
                }
                Ready::Server => read_datagrams(&self.server, 0, &mut self.buffer, carried),
            }
        }
        for (way, socket) in [(0, &self.probes[1]), (1, &self.probes[0])] {
            while let Some(delay) = receive_probe(socket) {
                carried.probe_us[way].push(delay.as_secs_f64() * 1e6);
            }
        }
        Ok(())
    }
}

impl Ready {
    fn number(&self) -> u64 {
        match self {
            Ready::Server => 3,
            Ready::Stream(number, side) => (4 * number + side) as u64,
            Ready::Datagrams(number) => 4 * *number as u64 + 2,
        }
    }

    fn of(number: u64) -> Ready {
        match (number as usize / 4, number % 4) {
            (number, 2) => Ready::Datagrams(number),
            (_, 3) => Ready::Server,
            (number, side) => Ready::Stream(number, side as usize),
        }
    }
}

fn read_datagrams(socket: &UdpSocket, way: usize, buffer: &mut [u8], carried: &mut Carried) {
    while let Ok(bytes) = socket.recv(buffer) {
        carried.bytes[way] += bytes as u64;
        carried.datagrams_received += bytes.div_ceil(DATAGRAM_BYTES) as u64;
    }
}

/// The delay of the next sparse packet, from the call that sent it to its arrival at the receiver's interface.
fn receive_probe(socket: &UdpSocket) -> Option<Duration> {
    let (mut probe, mut control) = ([0; PROBE_BYTES], cmsg_space!(TimeSpec));
    let mut parts = [IoSliceMut::new(&mut probe)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = socket::recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let arrived = received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    })?;
    let sent = u128::from_be_bytes(*probe.first_chunk()?);
    arrived.checked_sub(Duration::from_nanos(u64::try_from(sent).ok()?))
}

fn server(port: u16) -> SocketAddr {
    SocketAddrV4::new(SERVER, port).into()
}

fn udp(address: Ipv4Addr, port: u16) -> Result<UdpSocket, String> {
    let socket = UdpSocket::bind((address, port)).map_err(failed("opening a socket for datagrams"))?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(failed("opening a socket for datagrams"))?;
    setsockopt(&socket, sockopt::UdpGsoSegment, &(DATAGRAM_BYTES as i32))
        .and_then(|()| setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20)))
        .map_err(|error| format!("preparing a socket for datagrams: {error}"))?;
    Ok(socket)
}

/// Lets `server` learn where it sees `device`.
fn hello(device: &UdpSocket, server: &UdpSocket) -> Result<SocketAddr, String> {
    let to = server.local_addr().map_err(failed("reading an address"))?;
    for _ in 0..MAX_HELLOS {
        device.send_to(b"hello", to).map_err(failed("sending a first datagram"))?;
        if let Ok((_, from)) = server.recv_from(&mut [0; 8]) {
            return Ok(from);
        }
    }
    Err("no datagram passes the line: do cells pass?".to_owned())
}

/// A connection of the device with that address.
fn connect(from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(SERVER, TCP_PORT)))?;
    Ok(TcpStream::from(socket))
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}
