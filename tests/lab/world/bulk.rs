//! A bulk TCP transfer, as large as the path lets it be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

/// send or fetch for some seconds as fast as TCP goes
#[derive(FromArgs)]
#[argh(subcommand, name = "bulk")]
pub struct Bulk {
    /// address and port of the bulk server
    #[argh(option)]
    server: SocketAddr,
    /// up (send) or down (fetch)
    #[argh(option)]
    direction: Way,
    /// for how long
    #[argh(option)]
    seconds: u64,
}

/// take and give as fast as TCP goes
#[derive(FromArgs)]
#[argh(subcommand, name = "bulk-server")]
pub struct BulkServer {
    /// TCP port
    #[argh(option)]
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl FromStr for Way {
    type Err = String;
    fn from_str(name: &str) -> Result<Way, String> {
        match name {
            "up" => Ok(Way::Up),
            "down" => Ok(Way::Down),
            _ => Err(format!("direction {name}: neither up nor down")),
        }
    }
}

const PIECE: [u8; 16384] = [b'b'; 16384];

impl Bulk {
    /// Prints how many bytes went.
    pub fn run(self) -> Result<(), String> {
        let failed = |err| format!("bulk transfer with {}: {err}", self.server);
        let wait = Some(Duration::from_millis(500));
        let mut stream = TcpStream::connect_timeout(&self.server, Duration::from_secs(10)).map_err(failed)?;
        stream.set_write_timeout(wait).map_err(failed)?;
        stream.set_read_timeout(wait).map_err(failed)?;
        stream.write_all(if self.direction == Way::Up { b"U" } else { b"D" }).map_err(failed)?;
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let mut buf = [0; PIECE.len()];
        let mut bytes = 0;
        while Instant::now() < end {
            let moved = match self.direction {
                Way::Up => stream.write(&PIECE),
                Way::Down => stream.read(&mut buf),
            };
            match moved {
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
    let mut buf = [0; PIECE.len()];
    match stream.read(&mut buf[..1]) {
        Ok(1) if buf[0] == b'D' => while stream.write_all(&PIECE).is_ok() {},
        Ok(1) => while stream.read(&mut buf).is_ok_and(|len| len > 0) {},
        _ => {}
    }
}
