//! A flood of datagrams, whether or not they arrive.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

/// send datagrams at a steady rate
#[derive(FromArgs)]
#[argh(subcommand, name = "flood")]
pub struct Flood {
    /// address and port to send to
    #[argh(option)]
    target: SocketAddr,
    /// datagrams a second
    #[argh(option)]
    rate: u32,
    /// bytes of each datagram
    #[argh(option, default = "1000")]
    bytes: usize,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
}

impl Flood {
    /// Ignores errors of single datagrams, which a flood has to expect.
    pub fn run(self) -> Result<(), String> {
        let any = if self.target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).map_err(|err| format!("opening a socket: {err}"))?;
        let payload = vec![0x66; self.bytes.clamp(1, 1400)];
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
}
