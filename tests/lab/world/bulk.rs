//! A bulk TCP transfer, as fast as the path allows.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

/// send or receive for some seconds as fast as TCP allows
#[derive(FromArgs)]
#[argh(subcommand, name = "bulk")]
pub struct Bulk {
    /// address and port of the bulk server
    #[argh(option)]
    server: SocketAddr,
    /// up (send) or down (receive)
    #[argh(option)]
    direction: Direction,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
}

/// receive and send as fast as TCP allows
#[derive(FromArgs)]
#[argh(subcommand, name = "bulk-server")]
pub struct BulkServer {
    /// TCP port
    #[argh(option)]
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl FromStr for Direction {
    type Err = String;
    fn from_str(name: &str) -> Result<Direction, String> {
        match name {
            "up" => Ok(Direction::Up),
            "down" => Ok(Direction::Down),
            _ => Err(format!("unknown direction {name}; use up or down")),
        }
    }
}

const CHUNK: [u8; 16384] = [b'b'; 16384];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IO_TIMEOUT: Duration = Duration::from_millis(500);

impl Bulk {
    /// Prints how many bytes were transferred.
    pub fn run(self) -> Result<(), String> {
        let failed = |err| format!("bulk transfer with {}: {err}", self.server);
        let mut stream = TcpStream::connect_timeout(&self.server, CONNECT_TIMEOUT).map_err(failed)?;
        stream.set_write_timeout(Some(IO_TIMEOUT)).map_err(failed)?;
        stream.set_read_timeout(Some(IO_TIMEOUT)).map_err(failed)?;
        stream.write_all(if self.direction == Direction::Up { b"U" } else { b"D" }).map_err(failed)?;
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let mut buf = [0; CHUNK.len()];
        let mut bytes = 0;
        while Instant::now() < end {
            let transferred = match self.direction {
                Direction::Up => stream.write(&CHUNK),
                Direction::Down => stream.read(&mut buf),
            };
            match transferred {
                Ok(len) => bytes += len,
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(failed(err)),
            }
        }
        println!("{bytes} bytes");
        Ok(())
    }
}

impl BulkServer {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port))
            .map_err(|err| format!("listening on port {}: {err}", self.port))?;
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
        Ok(())
    }
}

fn serve(mut stream: TcpStream) {
    let mut buf = [0; CHUNK.len()];
    match stream.read(&mut buf[..1]) {
        Ok(1) if buf[0] == b'D' => while stream.write_all(&CHUNK).is_ok() {},
        Ok(1) => while stream.read(&mut buf).is_ok_and(|len| len > 0) {},
        _ => {}
    }
}
