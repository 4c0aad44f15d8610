//! A device: sends the "up" packets of its trace at their times, and receives the "down" packets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use argh::FromArgs;
use nix::sys::socket::{setsockopt, sockopt};

use crate::clock::{Span, await_span, now_ns, sleep_until};
use crate::journal::Journal;
use crate::message::{Direction, Header, Kind, tag};
use crate::trace::{self, FRAME_BYTES, Transport, ip_bytes, messages};

/// How long a device waits for its server's answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// file to create once the server has answered
    #[argh(option)]
    ready: PathBuf,
    /// file that will contain the times to start the trace and to stop receiving, CLOCK_REALTIME in nanoseconds
    #[argh(option)]
    start: PathBuf,
    /// seed of the payload
    #[argh(option)]
    seed: u64,
    /// file for the journal
    #[argh(option)]
    log: PathBuf,
}

impl Device {
    /// Runs until the end time in the file `start`; fails at once if the server does not answer.
    pub fn run(self) -> Result<(), String> {
        let packets = trace::read(&self.trace)?;
        let up = messages(&packets, Direction::Up, self.transport);
        let journal = Arc::new(Journal::default());
        let span = match self.transport {
            Transport::Udp => self.replay_udp(&up, &journal)?,
            Transport::Tcp => self.replay_tcp(&up, &journal)?,
        };
        sleep_until(span.end_ns);
        journal.write(&self.log)
    }

    fn replay_udp(&self, up: &[(u64, usize)], journal: &Arc<Journal>) -> Result<Span, String> {
        let failed = |err| self.unreachable(err);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
        socket.connect(self.server).map_err(failed)?;
        enlarge_receive_buffer(&socket).map_err(failed)?;
        self.say_hello(&socket).map_err(failed)?;
        let incoming = socket.try_clone().map_err(failed)?;
        incoming.set_read_timeout(None).map_err(failed)?;
        let (name, seed, received) = (self.name.clone(), self.seed, Arc::clone(journal));
        thread::spawn(move || {
            let mut buf = [0; 2048];
            // An ICMP error makes one `recv` fail; the next packet may still arrive.
            loop {
                if let Ok(len) = incoming.recv(&mut buf) {
                    handle_message(&received, &name, seed, &buf[..len], Transport::Udp);
                }
            }
        });
        self.replay(up, journal, |message| socket.send(message).map(|_| ()))
    }

    /// Sends hello until the server answers. The server must know the device's translated address before it sends
    /// packets.
    fn say_hello(&self, socket: &UdpSocket) -> std::io::Result<()> {
        let mut buf = [0; 2048];
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let start = Instant::now();
        while start.elapsed() < CONNECT_TIMEOUT {
            let _ = socket.send(&self.hello());
            if socket.recv(&mut buf).is_ok_and(|len| self.is_welcome(&buf[..len])) {
                return Ok(());
            }
        }
        Err(std::io::ErrorKind::TimedOut.into())
    }

    fn replay_tcp(&self, up: &[(u64, usize)], journal: &Arc<Journal>) -> Result<Span, String> {
        let failed = |err| self.unreachable(err);
        let mut stream = TcpStream::connect_timeout(&self.server, CONNECT_TIMEOUT).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT)).map_err(failed)?;
        write_frame(&mut stream, &self.hello()).map_err(failed)?;
        let mut buf = Vec::new();
        read_frame(&mut stream, &mut buf).map_err(failed)?;
        if !self.is_welcome(&buf) {
            return Err(format!("{}: the replay server {} did not answer with a welcome", self.name, self.server));
        }
        stream.set_read_timeout(None).map_err(failed)?;
        let mut incoming = stream.try_clone().map_err(failed)?;
        let (name, seed, received) = (self.name.clone(), self.seed, Arc::clone(journal));
        thread::spawn(move || {
            while read_frame(&mut incoming, &mut buf).is_ok() {
                handle_message(&received, &name, seed, &buf, Transport::Tcp);
            }
        });
        self.replay(up, journal, |message| write_frame(&mut stream, message))
    }

    /// Creates the file `ready`, waits for the start, and sends.
    fn replay(
        &self,
        up: &[(u64, usize)],
        journal: &Journal,
        send: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Span, String> {
        fs::write(&self.ready, "").map_err(|err| format!("writing {}: {err}", self.ready.display()))?;
        let span = await_span(&self.start)?;
        let replay = Replay { name: &self.name, direction: Direction::Up, transport: self.transport, seed: self.seed };
        if let Err(problem) = replay.send_all(up, span, journal, send) {
            journal.fault(&problem);
        }
        Ok(span)
    }

    fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        Header { kind: Kind::Hello, tag: tag(&self.name), seq: 0 }.emit(self.seed, 24, &mut hello);
        hello
    }

    fn is_welcome(&self, message: &[u8]) -> bool {
        Header::parse(self.seed, message).is_ok_and(|header| header.kind == Kind::Welcome)
    }

    fn unreachable(&self, err: std::io::Error) -> String {
        format!("{} cannot reach the replay server {}: {err}", self.name, self.server)
    }
}

/// One direction of one device's replay.
pub struct Replay<'a> {
    /// The device.
    pub name: &'a str,
    /// Direction of the messages.
    pub direction: Direction,
    /// Transport of the messages.
    pub transport: Transport,
    /// Seed of their bodies.
    pub seed: u64,
}

impl Replay<'_> {
    /// Sends every message at its time, until the span or the connection ends.
    pub fn send_all(
        &self,
        messages: &[(u64, usize)],
        span: Span,
        journal: &Journal,
        mut send: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let mut message = Vec::new();
        let tag = tag(self.name);
        for (seq, &(at_ns, len)) in (0..).zip(messages) {
            Header { kind: Kind::Data(self.direction), tag, seq }.emit(self.seed, len, &mut message);
            sleep_until(span.start_ns + at_ns);
            if now_ns() >= span.end_ns {
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

/// Adds a received message to the device's journal.
fn handle_message(journal: &Journal, name: &str, seed: u64, message: &[u8], transport: Transport) {
    match Header::parse(seed, message) {
        Ok(header) if header.kind == Kind::Data(Direction::Down) && header.tag == tag(name) => {
            journal.received(name, Direction::Down, header.seq, ip_bytes(message.len(), transport));
        }
        Ok(header) if header.kind == Kind::Welcome => {}
        Ok(header) => journal.fault(&format!("{name} received a message for another receiver: {header:?}")),
        Err(fault) => journal.fault(&format!("{name} down: a packet of {} bytes {fault}", message.len())),
    }
}

/// Gives a socket room for a burst that arrives while this process does not run: only the path may lose packets.
pub fn enlarge_receive_buffer(socket: &UdpSocket) -> std::io::Result<()> {
    Ok(setsockopt(socket, sockopt::RcvBufForce, &(8 << 20))?)
}

/// Writes a message, with its length in front, in one call.
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
