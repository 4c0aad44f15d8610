//! `millpond endpoint metrics`: prints the daemon's metrics, or serves them to a monitoring system on this host. It
//! runs in a separate process, so that HTTP clients cannot disturb the cells.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::config_file::EndpointConfig;
use crate::cli::client::{DaemonAddress, ask_for};
use crate::cli::exit::{Failure, OS_ERROR, USAGE};
use crate::cli::{CONFIG_PATH, SOCKET_PATH};
use crate::daemon::request::Request;

/// Maximum bytes of a request head; Prometheus sends less.
const MAX_BYTES: usize = 4096;
/// Maximum time to wait for a client to send or receive.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Print the daemon's metrics in Prometheus's text format: totals of all homes, or the numbers of one home.
#[derive(FromArgs)]
#[argh(subcommand, name = "metrics")]
pub struct MetricsCommand {
    /// the home's name; without it totals of all homes
    #[argh(option)]
    home: Option<String>,
    /// serve the metrics over HTTP at this loopback address, such as 127.0.0.1:9477, until killed
    #[argh(option)]
    listen: Option<SocketAddr>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: PathBuf,
}

impl MetricsCommand {
    /// Prints the metrics once, or serves them forever.
    pub fn execute(self) -> Result<(), Failure> {
        let Some(address) = self.listen else {
            print!("{}", self.text()?);
            return Ok(());
        };
        if !address.ip().is_loopback() {
            let text = format!(
                "listening at {address}: not a loopback address: use one such as 127.0.0.1:9477, \
                 and a proxy for remote clients"
            );
            return Err(Failure::new(USAGE, text));
        }
        let failed =
            |error: io::Error| Failure::new(OS_ERROR, format!("listening at {address}: {error}: choose a free port"));
        let listener = TcpListener::bind(address).map_err(failed)?;
        for client in listener.incoming() {
            // Continue after a client that disconnects or cannot be answered.
            _ = client.and_then(|client| self.serve(client));
        }
        Ok(())
    }

    fn text(&self) -> Result<String, Failure> {
        let home = match &self.home {
            Some(name) => Some(EndpointConfig::open(&self.config)?.home(name)?.1.address),
            None => None,
        };
        let address = DaemonAddress { socket: Some(self.socket.clone()), ubus: None };
        ask_for(&address, Request::Metrics { home })
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
        client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
        let request = receive(&mut client)?;
        let (status, body) = match request.split_whitespace().collect::<Vec<_>>()[..] {
            ["GET", "/metrics", ..] => match self.text() {
                Ok(text) => ("200 OK", text),
                Err(failure) => ("503 Service Unavailable", failure.text + "\n"),
            },
            ["GET", ..] => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
            _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
        };
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// Reads the head of a request and returns its first line.
fn receive(client: &mut TcpStream) -> io::Result<String> {
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
