//! Those outside who try to get in to a device: through the ports that the router forwards, and by its IPv6 address.
//! A connection that stands is kept and used.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use argh::FromArgs;

use crate::open::{connect_from, echo_request, ping};
use crate::places::{DOOR_PORT, Family, intruder};

const PERIOD: Duration = Duration::from_millis(1500);
const IO_TIMEOUT: Duration = Duration::from_millis(1500);
const WORDS: &[u8] = b"anybody at home?\n";

/// try to get in to a device, without pause
#[derive(FromArgs)]
#[argh(subcommand, name = "knock")]
pub struct Knock {
    /// number of the device
    #[argh(option)]
    number: u8,
    /// an address that the home's router may have, any number of times
    #[argh(option)]
    wan: Vec<Ipv4Addr>,
    /// the device's own address
    #[argh(option)]
    device6: Ipv6Addr,
}

impl Knock {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let forwarded = DOOR_PORT + u16::from(self.number);
        let mut doors: Vec<SocketAddr> = self.wan.iter().map(|&wan| SocketAddr::new(wan.into(), forwarded)).collect();
        doors.push(SocketAddr::new(self.device6.into(), DOOR_PORT));
        for &door in &doors {
            let from = self.source(door.ip());
            thread::spawn(move || run_connections(from, door));
        }
        let failed = |err: io::Error| format!("opening sockets of intruder {}: {err}", self.number);
        let mut sockets = Vec::new();
        for &door in &doors {
            let socket = UdpSocket::bind((self.source(door.ip()), 0)).map_err(failed)?;
            sockets.push((socket, door));
        }
        let device6 = IpAddr::V6(self.device6);
        let bell = ping(Some(self.source(device6)), device6).map_err(failed)?;
        for number in 0.. {
            // Refusals show as errors; that is what knocking is for.
            for (socket, door) in &sockets {
                let _ = socket.send_to(WORDS, door);
            }
            let _ = bell.send(&echo_request(device6, number, WORDS));
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    fn source(&self, to: IpAddr) -> IpAddr {
        intruder(self.number, if to.is_ipv4() { Family::V4 } else { Family::V6 })
    }
}

fn run_connections(from: IpAddr, door: SocketAddr) {
    loop {
        let _ = stay(from, door);
        thread::sleep(PERIOD);
    }
}

/// Connects, and talks for as long as somebody answers.
fn stay(from: IpAddr, door: SocketAddr) -> io::Result<()> {
    let mut stream = connect_from(from, door, IO_TIMEOUT)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    let mut buf = [0; 1500];
    loop {
        if stream.read(&mut buf)? == 0 {
            return Ok(());
        }
        thread::sleep(PERIOD);
        stream.write_all(WORDS)?;
    }
}
