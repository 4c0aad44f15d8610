//! A device: sends the "up" packets of its trace at their times, and takes the "down" ones.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argh::FromArgs;

use crate::clock::{now_ns, sleep_until};
use crate::journal::Journal;
use crate::message::{Direction, Head, Kind, tag};
use crate::trace::{self, FRAME_BYTES, Transport, ip_bytes, messages};

/// replay a device's side of a trace
#[derive(FromArgs)]
#[argh(subcommand, name = "device")]
pub struct Device {
    /// name of the device
    #[argh(option)]
    name: String,
    /// its trace
    #[argh(option)]
    trace: PathBuf,
    /// address and port of the replay server
    #[argh(option)]
    server: SocketAddr,
    /// udp or tcp
    #[argh(option)]
    transport: Transport,
    /// when the trace starts, CLOCK_REALTIME in nanoseconds
    #[argh(option)]
    start_ns: u64,
    /// when to stop listening and write the journal
    #[argh(option)]
    end_ns: u64,
    /// seed of the payload
    #[argh(option)]
    seed: u64,
    /// where to write the journal
    #[argh(option)]
    log: PathBuf,
}

impl Device {
    /// Runs until `end_ns`; what goes wrong on the way is in the journal.
    pub fn run(self) -> Result<(), String> {
        let packets = trace::read(&self.trace)?;
        let up = messages(&packets, Direction::Up, self.transport);
        let journal = Arc::new(Journal::default());
        let (end_ns, log) = (self.end_ns, self.log.clone());
        let met = match self.transport {
            Transport::Udp => self.replay_udp(up, &journal),
            Transport::Tcp => self.replay_tcp(up, &journal),
        };
        if let Err(problem) = met {
            journal.fault(&problem);
        }
        sleep_until(end_ns);
        journal.write(&log)
    }

    fn replay_udp(self, up: Vec<(u64, usize)>, journal: &Arc<Journal>) -> Result<(), String> {
        let failed = |err| format!("{} cannot reach the replay server {}: {err}", self.name, self.server);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
        socket.connect(self.server).map_err(failed)?;
        self.greet(&socket)?;
        let incoming = socket.try_clone().map_err(failed)?;
        incoming.set_read_timeout(None).map_err(failed)?;
        let (name, seed, ear) = (self.name.clone(), self.seed, Arc::clone(journal));
        thread::spawn(move || {
            let mut buf = [0; 2048];
            // A refusal (ICMP) shows here as an error once; the next packet may well come.
            loop {
                if let Ok(len) = incoming.recv(&mut buf) {
                    take(&ear, &name, seed, &buf[..len], Transport::Udp);
                }
            }
        });
        self.send_all(up, journal, |message| socket.send(message).map(|_| ()))
    }

    /// Says hello until the server answers: it must know this device's translated address before its first packet.
    fn greet(&self, socket: &UdpSocket) -> Result<(), String> {
        let mut hello = Vec::new();
        Head { kind: Kind::Hello, tag: tag(&self.name), seq: 0 }.emit(self.seed, 24, &mut hello);
        let mut buf = [0; 2048];
        let timeout = Some(Duration::from_millis(500));
        socket.set_read_timeout(timeout).map_err(|err| format!("{}: {err}", self.name))?;
        while now_ns() < self.start_ns {
            let _ = socket.send(&hello);
            if let Ok(len) = socket.recv(&mut buf) {
                if Head::parse(self.seed, &buf[..len]).is_ok_and(|head| head.kind == Kind::Welcome) {
                    return Ok(());
                }
            }
        }
        Err(format!("{}: no answer from the replay server {} before the start", self.name, self.server))
    }

    fn replay_tcp(self, up: Vec<(u64, usize)>, journal: &Arc<Journal>) -> Result<(), String> {
        let failed = |err| format!("{} cannot connect to the replay server {}: {err}", self.name, self.server);
        let span = Duration::from_nanos(self.start_ns.saturating_sub(now_ns()).max(1_000_000));
        let mut stream = TcpStream::connect_timeout(&self.server, span).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut hello = Vec::new();
        Head { kind: Kind::Hello, tag: tag(&self.name), seq: 0 }.emit(self.seed, 24, &mut hello);
        write_frame(&mut stream, &hello).map_err(failed)?;
        let mut incoming = stream.try_clone().map_err(failed)?;
        let (name, seed, ear) = (self.name.clone(), self.seed, Arc::clone(journal));
        thread::spawn(move || {
            let mut buf = Vec::new();
            while read_frame(&mut incoming, &mut buf).is_ok() {
                take(&ear, &name, seed, &buf, Transport::Tcp);
            }
        });
        self.send_all(up, journal, |message| write_frame(&mut stream, message))
    }

    fn send_all(
        &self,
        up: Vec<(u64, usize)>,
        journal: &Journal,
        send: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let script = Script { name: &self.name, direction: Direction::Up, transport: self.transport, seed: self.seed };
        script.play(&up, self.start_ns, self.end_ns, journal, send)
    }
}

/// One direction of one device's replay.
pub struct Script<'a> {
    /// The device.
    pub name: &'a str,
    /// Which way these messages go.
    pub direction: Direction,
    /// How they travel.
    pub transport: Transport,
    /// Seed of their bodies.
    pub seed: u64,
}

impl Script<'_> {
    /// Sends every message at its time; stops at `end_ns` or where the connection ends.
    pub fn play(
        &self,
        messages: &[(u64, usize)],
        start_ns: u64,
        end_ns: u64,
        journal: &Journal,
        mut send: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let mut message = Vec::new();
        let tag = tag(self.name);
        for (seq, &(at_ns, len)) in (0..).zip(messages) {
            Head { kind: Kind::Data(self.direction), tag, seq }.emit(self.seed, len, &mut message);
            sleep_until(start_ns + at_ns);
            if now_ns() >= end_ns {
                break;
            }
            journal.sent(self.name, self.direction, seq, ip_bytes(len, self.transport));
            if let Err(err) = send(&message) {
                if self.transport == Transport::Tcp {
                    return Err(format!("{} {} {seq}: connection lost: {err}", self.name, self.direction.name()));
                }
            }
        }
        Ok(())
    }
}

/// Judges an arrived message of a device.
fn take(journal: &Journal, name: &str, seed: u64, message: &[u8], transport: Transport) {
    match Head::parse(seed, message) {
        Ok(head) if head.kind == Kind::Data(Direction::Down) && head.tag == tag(name) => {
            journal.received(name, Direction::Down, head.seq, ip_bytes(message.len(), transport));
        }
        Ok(head) if head.kind == Kind::Welcome => {}
        Ok(head) => journal.fault(&format!("{name} received what was not for it: {head:?}")),
        Err(fault) => journal.fault(&format!("{name} down: a packet of {} bytes {fault}", message.len())),
    }
}

/// Writes a message with its length before it, in one piece.
pub fn write_frame(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let mut frame = Vec::with_capacity(FRAME_BYTES + message.len());
    frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
    frame.extend_from_slice(message);
    stream.write_all(&frame)
}

/// Reads the next message of a stream into `buf`.
pub fn read_frame(stream: &mut TcpStream, buf: &mut Vec<u8>) -> std::io::Result<()> {
    let mut len = [0; FRAME_BYTES];
    stream.read_exact(&mut len)?;
    buf.resize(usize::from(u16::from_be_bytes(len)), 0);
    stream.read_exact(buf)
}
