//! A flood of datagrams or pings, whether or not they arrive.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

use super::open::{echo_request, ping};

/// send datagrams or pings at a steady rate
#[derive(FromArgs)]
#[argh(subcommand, name = "flood")]
pub struct Flood {
    /// address and port to send to
    #[argh(option)]
    target: SocketAddr,
    /// packets a second
    #[argh(option)]
    rate: u32,
    /// bytes in each packet
    #[argh(option, default = "1000")]
    bytes: usize,
    /// send pings; the port does not matter
    #[argh(switch)]
    ping: bool,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
}

impl Flood {
    /// Ignores errors of single packets, which a flood has to expect.
    pub fn run(self) -> Result<(), String> {
        let socket = self.socket().map_err(|err| format!("opening a socket: {err}"))?;
        let mut payload = vec![0x66; self.bytes.clamp(1, 1400)];
        if self.ping {
            payload = echo_request(self.target.ip(), 1, &payload);
        }
        let interval = Duration::from_secs(1) / self.rate.max(1);
        let start = Instant::now();
        let mut next = start;
        while start.elapsed() < Duration::from_secs(self.seconds) {
            _ = socket.send_to(&payload, self.target);
            next += interval;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        if self.ping {
            return ping(None, self.target.ip());
        }
        // Not connected: refused datagrams would make every second one fail.
        UdpSocket::bind(if self.target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
    }
}
