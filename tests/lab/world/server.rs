//! The servers of all devices in one: sends the "down" packets of every trace, and receives the "up" packets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, thread};

use argh::FromArgs;

use crate::clock::{Span, await_span, sleep_until};
use crate::device::{Replay, enlarge_receive_buffer, read_frame, write_frame};
use crate::journal::Journal;
use crate::message::{Direction, Header, Kind, tag};
use crate::trace::{self, Packet, Transport, ip_bytes, messages};

/// replay the servers' side of all traces in a folder
#[derive(FromArgs)]
#[argh(subcommand, name = "server")]
pub struct Server {
    /// address and port to listen on, UDP and TCP
    #[argh(option)]
    listen: SocketAddr,
    /// folder of traces, NAME.csv
    #[argh(option)]
    traces: PathBuf,
    /// file that will contain the times to start the traces and to stop receiving, CLOCK_REALTIME in nanoseconds
    #[argh(option)]
    start: PathBuf,
    /// seed of the payload
    #[argh(option)]
    seed: u64,
    /// file for the journal
    #[argh(option)]
    log: PathBuf,
}

/// The way to reach a device that has sent its hello.
enum Peer {
    Udp(SocketAddr),
    Tcp(TcpStream),
}

/// The state that all threads share.
struct Shared {
    names: BTreeMap<u16, String>,
    peers: Mutex<BTreeMap<u16, Peer>>,
    journal: Journal,
    socket: UdpSocket,
    seed: u64,
}

impl Server {
    /// Runs until the end time in the file `start`. Faults during the replay are in the journal.
    pub fn run(self) -> Result<(), String> {
        let failed = |err| format!("listening on {}: {err}", self.listen);
        let traces = self.traces()?;
        let names: BTreeMap<u16, String> = traces.iter().map(|(name, _)| (tag(name), name.clone())).collect();
        if names.len() != traces.len() {
            return Err("two devices have the same tag (a hash of the name); rename one".to_string());
        }
        let socket = UdpSocket::bind(self.listen).map_err(failed)?;
        enlarge_receive_buffer(&socket).map_err(failed)?;
        let listener = TcpListener::bind(self.listen).map_err(failed)?;
        let shared =
            Arc::new(Shared { names, peers: Mutex::default(), journal: Journal::default(), socket, seed: self.seed });
        let (datagrams, streams) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || datagrams.serve_datagrams());
        thread::spawn(move || streams.serve_streams(&listener));
        let span = await_span(&self.start)?;
        for (name, packets) in traces {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.replay(&name, &packets, span));
        }
        sleep_until(span.end_ns);
        shared.journal.write(&self.log)
    }

    fn traces(&self) -> Result<Vec<(String, Vec<Packet>)>, String> {
        let failed = |err| format!("reading traces in {}: {err}", self.traces.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.traces).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
        paths.sort();
        let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        paths.iter().map(|path| Ok((name(path), trace::read(path)?))).collect()
    }
}

impl Shared {
    fn serve_datagrams(&self) {
        let mut buf = [0; 2048];
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut buf) else { continue };
            let Some(header) = self.handle_message(&buf[..len], Transport::Udp) else { continue };
            if header.kind == Kind::Hello {
                self.add_peer(header.tag, Peer::Udp(from));
                let _ = self.socket.send_to(&self.welcome(header), from);
            }
        }
    }

    fn serve_streams(self: &Arc<Self>, listener: &TcpListener) {
        for mut stream in listener.incoming().flatten() {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut buf = Vec::new();
                while read_frame(&mut stream, &mut buf).is_ok() {
                    if let Some(header) = shared.handle_message(&buf, Transport::Tcp) {
                        if let (Kind::Hello, Ok(mut writer)) = (header.kind, stream.try_clone()) {
                            let _ = write_frame(&mut writer, &shared.welcome(header));
                            shared.add_peer(header.tag, Peer::Tcp(writer));
                        }
                    }
                }
            });
        }
    }

    /// Adds a received message to the journal; returns its header if it is from a known device.
    fn handle_message(&self, message: &[u8], transport: Transport) -> Option<Header> {
        let header = match Header::parse(self.seed, message) {
            Ok(header) => header,
            Err(fault) => {
                self.journal.fault(&format!("up: a packet of {} bytes {fault}", message.len()));
                return None;
            }
        };
        let Some(name) = self.names.get(&header.tag) else {
            self.journal.fault(&format!("up: a packet from an unknown device: {header:?}"));
            return None;
        };
        match header.kind {
            Kind::Hello => {}
            Kind::Data(Direction::Up) => {
                self.journal.received(name, Direction::Up, header.seq, ip_bytes(message.len(), transport));
            }
            _ => self.journal.fault(&format!("up: {name} sent a message that only servers send: {header:?}")),
        }
        Some(header)
    }

    fn welcome(&self, hello: Header) -> Vec<u8> {
        let mut welcome = Vec::new();
        Header { kind: Kind::Welcome, ..hello }.emit(self.seed, 24, &mut welcome);
        welcome
    }

    fn add_peer(&self, tag: u16, peer: Peer) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, peer);
    }

    fn replay(&self, name: &str, packets: &[Packet], span: Span) {
        let peer = self.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&tag(name));
        // Only some devices of the folder take part in a run.
        let Some(peer) = peer else { return };
        let replay = |transport| Replay { name, direction: Direction::Down, transport, seed: self.seed };
        let down = |transport| messages(packets, Direction::Down, transport);
        let result = match peer {
            Peer::Udp(to) => {
                let send = |message: &[u8]| self.socket.send_to(message, to).map(|_| ());
                replay(Transport::Udp).send_all(&down(Transport::Udp), span, &self.journal, send)
            }
            Peer::Tcp(mut stream) => {
                let send = |message: &[u8]| write_frame(&mut stream, message);
                replay(Transport::Tcp).send_all(&down(Transport::Tcp), span, &self.journal, send)
            }
        };
        if let Err(problem) = result {
            self.journal.fault(&problem);
        }
    }
}
