//! An intruder who tries to reach a device from outside, through the router's forwarded ports and at the device's IPv6
//! address. An established connection stays open and in use.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use argh::FromArgs;

use crate::open::{connect_from, echo_request, ping};
use crate::places::{DEVICE_PORT, Family, intruder};

const PERIOD: Duration = Duration::from_millis(1500);
const IO_TIMEOUT: Duration = Duration::from_millis(1500);
const PAYLOAD: &[u8] = b"anybody at home?\n";

/// try to reach a device from outside, without pause
#[derive(FromArgs)]
#[argh(subcommand, name = "knock")]
pub struct Knock {
    /// number of the device
    #[argh(option)]
    number: u8,
    /// a possible WAN address of the home's router; may be repeated
    #[argh(option)]
    wan: Vec<Ipv4Addr>,
    /// the device's IPv6 address
    #[argh(option)]
    device6: Ipv6Addr,
}

impl Knock {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let forwarded = DEVICE_PORT + u16::from(self.number);
        let mut targets: Vec<SocketAddr> = self.wan.iter().map(|&wan| SocketAddr::new(wan.into(), forwarded)).collect();
        targets.push(SocketAddr::new(self.device6.into(), DEVICE_PORT));
        for &target in &targets {
            let from = self.source(target.ip());
            thread::spawn(move || run_connections(from, target));
        }
        let failed = |err: io::Error| format!("opening sockets of intruder {}: {err}", self.number);
        let mut sockets = Vec::new();
        for &target in &targets {
            let socket = UdpSocket::bind((self.source(target.ip()), 0)).map_err(failed)?;
            sockets.push((socket, target));
        }
        let device6 = IpAddr::V6(self.device6);
        let icmp = ping(Some(self.source(device6)), device6).map_err(failed)?;
        for number in 0.. {
            // Errors are ignored: most targets refuse most of the time.
            for (socket, target) in &sockets {
                let _ = socket.send_to(PAYLOAD, target);
            }
            let _ = icmp.send(&echo_request(device6, number, PAYLOAD));
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    fn source(&self, to: IpAddr) -> IpAddr {
        intruder(self.number, if to.is_ipv4() { Family::V4 } else { Family::V6 })
    }
}

fn run_connections(from: IpAddr, target: SocketAddr) {
    loop {
        let _ = run_connection(from, target);
        thread::sleep(PERIOD);
    }
}

/// Connects, and talks until the device stops answering.
fn run_connection(from: IpAddr, target: SocketAddr) -> io::Result<()> {
    let mut stream = connect_from(from, target, IO_TIMEOUT)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    let mut buf = [0; 1500];
    loop {
        if stream.read(&mut buf)? == 0 {
            return Ok(());
        }
        thread::sleep(PERIOD);
        stream.write_all(PAYLOAD)?;
    }
}
