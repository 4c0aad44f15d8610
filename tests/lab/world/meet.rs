//! The servers of talking devices. Each answers from the address that received the request, and includes the request's
//! source address.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use argh::FromArgs;

use crate::dns::{answer_with_source, read_framed, write_framed};
use crate::open::set_user_timeout;
use crate::places::{
    DOT_PORT, DOWNLOAD_PORT, ECHO_PORT, Family, Kind, LINE_PORT, PROXIED_PORT, common_resolvers, server,
};

/// A server soon drops a connection without acknowledgements, so that its retransmissions do not look like the
/// device's.
const IO_TIMEOUT: Duration = Duration::from_millis(1500);
/// A download survives an interruption of the home's network.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(6);

/// run the servers of devices that talk without pause
#[derive(FromArgs)]
#[argh(subcommand, name = "meet")]
pub struct Meet {
    /// number of devices; they are numbered from 1
    #[argh(option)]
    devices: u8,
}

impl Meet {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        for family in Family::ALL {
            for resolver in common_resolvers(family) {
                answer_datagrams(SocketAddr::new(resolver, 53), answer_with_source)?;
                answer_tcp_queries(SocketAddr::new(resolver, 53))?;
            }
            for device in 1..=self.devices {
                let at = |kind, port| SocketAddr::new(server(device, kind, family), port);
                answer_datagrams(at(Kind::Udp, ECHO_PORT), echo)?;
                answer_datagrams(at(Kind::Ntp, 123), echo)?;
                answer_datagrams(at(Kind::Tcp, PROXIED_PORT), echo)?;
                answer_datagrams(at(Kind::DnsUdp, 53), answer_with_source)?;
                answer_tcp_queries(at(Kind::DnsTcp, 53))?;
            }
        }
        serve_each(DOWNLOAD_PORT, repeat_line)?;
        serve_each(PROXIED_PORT, answer_lines)?;
        serve_each(DOT_PORT, answer_lines)?;
        let last = serve_each(LINE_PORT, answer_lines)?;
        last.join().map_err(|_| "the thread that accepts connections panicked".to_owned())
    }
}

fn echo(text: &[u8], from: IpAddr) -> Option<Vec<u8>> {
    let mut answer = text.to_vec();
    answer.extend_from_slice(from.to_canonical().to_string().as_bytes());
    Some(answer)
}

fn answer_datagrams(at: SocketAddr, answer: fn(&[u8], IpAddr) -> Option<Vec<u8>>) -> Result<(), String> {
    let socket = UdpSocket::bind(at).map_err(|err| format!("listening on {at}: {err}"))?;
    thread::spawn(move || {
        let mut buf = [0; 1500];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buf) else { continue };
            if let Some(answer) = answer(&buf[..len], from.ip()) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

fn answer_tcp_queries(at: SocketAddr) -> Result<(), String> {
    let listener = listen(at)?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = set_user_timeout(&stream, IO_TIMEOUT).and(stream.set_read_timeout(Some(IO_TIMEOUT)));
                let Ok(from) = stream.peer_addr() else { return };
                let answer = read_framed(&mut stream).ok().and_then(|query| answer_with_source(&query, from.ip()));
                if let Some(answer) = answer {
                    let _ = write_framed(&mut stream, &answer);
                }
            });
        }
    });
    Ok(())
}

/// Serves each connection to the port in a thread of its own.
fn serve_each(port: u16, serve: fn(TcpStream)) -> Result<thread::JoinHandle<()>, String> {
    let listener = listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))?;
    Ok(thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    }))
}

/// Repeats the device's line until the connection ends, a little faster than the tunnel's rate.
fn repeat_line(mut stream: TcpStream) {
    let _ = set_user_timeout(&stream, DOWNLOAD_TIMEOUT).and(stream.set_nodelay(true));
    let Ok(reader) = stream.try_clone() else { return };
    let mut line = String::new();
    if BufReader::new(reader).read_line(&mut line).is_err() {
        return;
    }
    let text = line.repeat(1000 / line.len().max(1));
    while stream.write_all(text.as_bytes()).is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
}

fn answer_lines(stream: TcpStream) {
    let _ = set_user_timeout(&stream, IO_TIMEOUT).and(stream.set_nodelay(true));
    let (Ok(from), Ok(mut writer)) = (stream.peer_addr(), stream.try_clone()) else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if writer.write_all(format!("{line} {}\n", from.ip().to_canonical()).as_bytes()).is_err() {
            return;
        }
    }
}

fn listen(at: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(at).map_err(|err| format!("listening on {at}: {err}"))
}
