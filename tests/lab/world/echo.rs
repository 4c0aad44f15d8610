//! A UDP echo server.

use std::net::{IpAddr, UdpSocket};

use argh::FromArgs;

/// send every datagram back
#[derive(FromArgs)]
#[argh(subcommand, name = "echo")]
pub struct Echo {
    /// address to listen on
    #[argh(option)]
    address: IpAddr,
    /// UDP port
    #[argh(option, default = "7")]
    port: u16,
}

impl Echo {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let socket = UdpSocket::bind((self.address, self.port))
            .map_err(|err| format!("listening on {} port {}: {err}", self.address, self.port))?;
        let mut buf = [0; 65536];
        loop {
            if let Ok((len, from)) = socket.recv_from(&mut buf) {
                let _ = socket.send_to(&buf[..len], from);
            }
        }
    }
}
