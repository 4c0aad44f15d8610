//! The other side of all devices: sends the "down" packets of every trace, and takes the "up" ones.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, thread};

use argh::FromArgs;

use crate::clock::{Span, await_span, sleep_until};
use crate::device::{Script, deepen, read_frame, write_frame};
use crate::journal::Journal;
use crate::message::{Direction, Head, Kind, tag};
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
    /// file that will say when the traces start and when to stop listening, CLOCK_REALTIME in nanoseconds
    #[argh(option)]
    start: PathBuf,
    /// seed of the payload
    #[argh(option)]
    seed: u64,
    /// where to write the journal
    #[argh(option)]
    log: PathBuf,
}

/// How a device is reached, once it has said hello.
enum Peer {
    Udp(SocketAddr),
    Tcp(TcpStream),
}

/// What all threads share.
struct Hall {
    names: BTreeMap<u16, String>,
    peers: Mutex<BTreeMap<u16, Peer>>,
    journal: Journal,
    socket: UdpSocket,
    seed: u64,
}

impl Server {
    /// Runs until the end that `start` names; what goes wrong on the way is in the journal.
    pub fn run(self) -> Result<(), String> {
        let failed = |err| format!("listening on {}: {err}", self.listen);
        let traces = self.traces()?;
        let names: BTreeMap<u16, String> = traces.iter().map(|(name, _)| (tag(name), name.clone())).collect();
        if names.len() != traces.len() {
            return Err("two devices have the same tag; rename one".to_string());
        }
        let socket = UdpSocket::bind(self.listen).map_err(failed)?;
        deepen(&socket).map_err(failed)?;
        let listener = TcpListener::bind(self.listen).map_err(failed)?;
        let hall =
            Arc::new(Hall { names, peers: Mutex::default(), journal: Journal::default(), socket, seed: self.seed });
        let (datagrams, streams) = (Arc::clone(&hall), Arc::clone(&hall));
        thread::spawn(move || datagrams.serve_datagrams());
        thread::spawn(move || streams.serve_streams(&listener));
        let span = await_span(&self.start)?;
        for (name, packets) in traces {
            let hall = Arc::clone(&hall);
            thread::spawn(move || hall.play(&name, &packets, span));
        }
        sleep_until(span.end_ns);
        hall.journal.write(&self.log)
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

impl Hall {
    fn serve_datagrams(&self) {
        let mut buf = [0; 2048];
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut buf) else { continue };
            let Some(head) = self.take(&buf[..len], Transport::Udp) else { continue };
            if head.kind == Kind::Hello {
                self.meet(head.tag, Peer::Udp(from));
                let _ = self.socket.send_to(&self.welcome(head), from);
            }
        }
    }

    fn serve_streams(self: &Arc<Self>, listener: &TcpListener) {
        for mut stream in listener.incoming().flatten() {
            let hall = Arc::clone(self);
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut buf = Vec::new();
                while read_frame(&mut stream, &mut buf).is_ok() {
                    if let Some(head) = hall.take(&buf, Transport::Tcp) {
                        if let (Kind::Hello, Ok(mut back)) = (head.kind, stream.try_clone()) {
                            let _ = write_frame(&mut back, &hall.welcome(head));
                            hall.meet(head.tag, Peer::Tcp(back));
                        }
                    }
                }
            });
        }
    }

    /// Judges an arrived message; returns its head if it is a device's.
    fn take(&self, message: &[u8], transport: Transport) -> Option<Head> {
        let head = match Head::parse(self.seed, message) {
            Ok(head) => head,
            Err(fault) => {
                self.journal.fault(&format!("up: a packet of {} bytes {fault}", message.len()));
                return None;
            }
        };
        let Some(name) = self.names.get(&head.tag) else {
            self.journal.fault(&format!("up: a packet of no known device: {head:?}"));
            return None;
        };
        match head.kind {
            Kind::Hello => {}
            Kind::Data(Direction::Up) => {
                self.journal.received(name, Direction::Up, head.seq, ip_bytes(message.len(), transport));
            }
            _ => self.journal.fault(&format!("up: {name} sent what only servers send: {head:?}")),
        }
        Some(head)
    }

    fn welcome(&self, hello: Head) -> Vec<u8> {
        let mut welcome = Vec::new();
        Head { kind: Kind::Welcome, ..hello }.emit(self.seed, 24, &mut welcome);
        welcome
    }

    fn meet(&self, tag: u16, peer: Peer) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, peer);
    }

    fn play(&self, name: &str, packets: &[Packet], span: Span) {
        let peer = self.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&tag(name));
        // Not every device of the folder takes part in every run.
        let Some(peer) = peer else { return };
        let script = |transport| Script { name, direction: Direction::Down, transport, seed: self.seed };
        let down = |transport| messages(packets, Direction::Down, transport);
        let played = match peer {
            Peer::Udp(to) => {
                let send = |message: &[u8]| self.socket.send_to(message, to).map(|_| ());
                script(Transport::Udp).play(&down(Transport::Udp), span, &self.journal, send)
            }
            Peer::Tcp(mut stream) => {
                let send = |message: &[u8]| write_frame(&mut stream, message);
                script(Transport::Tcp).play(&down(Transport::Tcp), span, &self.journal, send)
            }
        };
        if let Err(problem) = played {
            self.journal.fault(&problem);
        }
    }
}
