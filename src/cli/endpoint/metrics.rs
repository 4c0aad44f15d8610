//! `millpond endpoint metrics`: prints the daemon's metrics, or serves them to a monitoring system on this host. It
//! runs in a separate process, so that HTTP clients cannot disturb the cells.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

use super::config_file::EndpointConfig;
use crate::cli::client::{DaemonAddress, ask_for};
use crate::cli::exit::{Failure, OS_ERROR, USAGE};
use crate::cli::{CONFIG_PATH, control_socket};
use crate::daemon::request::Request;
use crate::plan::routing::Prefix;

/// Maximum bytes of a request head; Prometheus sends less.
const MAX_BYTES: usize = 4096;
/// Maximum time for a client to send its request, and again to receive the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of clients that are served at once; further ones wait.
const MAX_CLIENTS: usize = 8;

/// Print the daemon's metrics in Prometheus's text format: totals of all homes, or the numbers of one home.
#[derive(FromArgs)]
#[argh(subcommand, name = "metrics", example = "{command_name} --listen 127.0.0.1:9477")]
pub struct MetricsCommand {
    /// the home's name; without it totals of all homes
    #[argh(option)]
    home: Option<String>,
    /// serve the metrics over HTTP at this address, such as 127.0.0.1:9477, until killed
    #[argh(option)]
    listen: Option<SocketAddr>,
    /// a network that may read the metrics, such as 10.42.0.0/16; repeat for several (default: this host only)
    #[argh(option)]
    allow: Vec<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl MetricsCommand {
    /// Prints the metrics once, or serves them forever.
    pub fn execute(self) -> Result<(), Failure> {
        let Some(address) = self.listen else {
            print!("{}", self.text()?);
            return Ok(());
        };
        let readers = Readers::parse(&self.allow)?;
        if !address.ip().is_loopback() && self.allow.is_empty() {
            let text = format!(
                "listening at {address}: not a loopback address: use one such as 127.0.0.1:9477, \
                 or name the networks of the clients with --allow"
            );
            return Err(Failure::new(USAGE, text));
        }
        let failed =
            |error: io::Error| Failure::new(OS_ERROR, format!("listening at {address}: {error}: choose a free port"));
        let listener = TcpListener::bind(address).map_err(failed)?;
        let serve_forever = || {
            for client in listener.incoming() {
                // Continue after a client that disconnects or cannot be answered.
                let allowed = |client: &TcpStream| client.peer_addr().is_ok_and(|peer| readers.may_read(peer.ip()));
                _ = client.and_then(|client| if allowed(&client) { self.serve(&client) } else { Ok(()) });
            }
        };
        thread::scope(|scope| {
            let threads = (1..MAX_CLIENTS).map(|_| thread::Builder::new().spawn_scoped(scope, serve_forever));
            threads.collect::<io::Result<Vec<_>>>().map_err(failed)?;
            serve_forever();
            Ok(())
        })
    }

    fn text(&self) -> Result<String, Failure> {
        let home = match &self.home {
            Some(name) => Some(EndpointConfig::open(&self.config)?.home(name)?.1.address),
            None => None,
        };
        let address = DaemonAddress { socket: Some(self.socket.clone()), ubus: None };
        ask_for(&address, Request::Metrics { home })
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let request = receive(&mut TimedClient::new(client))?;
        let (status, body) = match request.split_whitespace().collect::<Vec<_>>()[..] {
            ["GET", "/metrics", ..] => match self.text() {
                Ok(text) => ("200 OK", text),
                Err(failure) => ("503 Service Unavailable", failure.text + "\n"),
            },
            ["GET", ..] => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
            _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        TimedClient::new(client).write_all(answer.as_bytes())
    }
}

/// The clients that may read the metrics: this host, and those in the networks.
struct Readers(Vec<Prefix>);

impl Readers {
    fn parse(networks: &[String]) -> Result<Readers, Failure> {
        let parse = |text: &String| {
            let invalid = || format!("--allow {text}: want a network such as 10.42.0.0/16, or an address");
            Prefix::parse(text).ok_or_else(|| Failure::new(USAGE, invalid()))
        };
        networks.iter().map(parse).collect::<Result<_, _>>().map(Readers)
    }

    fn may_read(&self, client: IpAddr) -> bool {
        // A listener at [::] sees IPv4 clients by their mapped addresses.
        let client = client.to_canonical();
        client.is_loopback() || self.0.iter().any(|network| network.contains(client))
    }
}

/// A client with [`CLIENT_TIMEOUT`] for everything that it sends or receives. A time-out for each call would let a
/// client stay that sends a byte from time to time.
struct TimedClient<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl TimedClient<'_> {
    fn new(stream: &TcpStream) -> TimedClient<'_> {
        TimedClient { stream, deadline: Instant::now() + CLIENT_TIMEOUT }
    }

    fn time_left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for TimedClient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.time_left()?)?;
        self.stream.read(buf)
    }
}

impl Write for TimedClient<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.time_left()?)?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Reads the head of a request and returns its first line.
fn receive(client: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut bytes = [0; 512];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_BYTES {
        match client.read(&mut bytes)? {
            0 => break,
            length => head.extend(&bytes[..length]),
        }
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}
