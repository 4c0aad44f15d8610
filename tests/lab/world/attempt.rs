//! What a device tries, beside its ordinary traffic, that could make its bytes leave the home by another way: through
//! programs on the router, with source addresses that are not of its network, by multicast or by broadcast. Each attempt
//! is in the device's journal, so that the judge looks for it in the capture.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;
use nix::sys::socket::{setsockopt, sockopt};

use crate::diary::Diary;
use crate::open::{connect_from, echo_request, ping};
use crate::places::{DOT_PORT, DOWNLOAD_PORT, ECHO_PORT, Family, HTTP_PORT, Kind, LINE_PORT, PROXIED_PORT, SOCKS_PORT};
use crate::places::{group, server};

/// Time between attempts.
const PERIOD: Duration = Duration::from_millis(500);
/// How long to wait for a connection or an answer.
const IO_TIMEOUT: Duration = Duration::from_millis(400);
/// The same for what must be answered, also through a tunnel that waits for a handshake.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A port on which nothing listens.
const CLOSED_PORT: u16 = 9;

/// try for some seconds to get past the router's guard
#[derive(FromArgs)]
#[argh(subcommand, name = "attempt")]
pub struct Attempt {
    /// what to try: proxied, http-proxy, socks-proxy, source, router-ping, last-hop, igmp, broadcast,
    /// download or dns-over-tls
    #[argh(option)]
    way: Way,
    /// the attempt's name in payloads and in the journal, to which 4 or 6 is added
    #[argh(option)]
    kind: String,
    /// name of the device
    #[argh(option)]
    name: String,
    /// number of the device
    #[argh(option)]
    number: u8,
    /// an address of the router; one per address family that is tried
    #[argh(option)]
    router: Vec<IpAddr>,
    /// source addresses of the device; default: those that the kernel chooses
    #[argh(option)]
    from: Vec<IpAddr>,
    /// the broadcast address and a host of the device's network, for the way broadcast
    #[argh(option)]
    neighbour: Vec<Ipv4Addr>,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
    /// the device's journal, to which this adds lines
    #[argh(option)]
    journal: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// TCP and UDP to a port that another program on the router redirects to itself.
    Proxied,
    /// A connection through the HTTP proxy at the router's address.
    HttpProxy,
    /// A connection through the SOCKS proxy at the router's address.
    SocksProxy,
    /// Everything that the router may answer or refuse.
    Source,
    /// Pings to the router.
    RouterPing,
    /// Packets whose TTL ends at the router.
    LastHop,
    /// Membership of a multicast group.
    Igmp,
    /// Datagrams to the whole network and to one host of it.
    Broadcast,
    /// One long download.
    Download,
    /// A connection to a resolver that the device has built in.
    DnsOverTls,
}

impl FromStr for Way {
    type Err = String;
    fn from_str(name: &str) -> Result<Way, String> {
        Ok(match name {
            "proxied" => Way::Proxied,
            "http-proxy" => Way::HttpProxy,
            "socks-proxy" => Way::SocksProxy,
            "source" => Way::Source,
            "router-ping" => Way::RouterPing,
            "last-hop" => Way::LastHop,
            "igmp" => Way::Igmp,
            "broadcast" => Way::Broadcast,
            "download" => Way::Download,
            "dns-over-tls" => Way::DnsOverTls,
            _ => return Err(format!("unknown way {name}; try --help")),
        })
    }
}

/// One attempt over one address family.
struct Round<'a> {
    attempt: &'a Attempt,
    family: Family,
    router: IpAddr,
    /// The source address; unspecified if the kernel chooses.
    from: IpAddr,
    text: String,
    end: Instant,
}

impl Attempt {
    /// Runs for the given time. Failures are expected: the router refuses most attempts.
    pub fn run(self) -> Result<(), String> {
        let diary = Diary::append(&self.journal)?;
        let end = Instant::now() + Duration::from_secs(self.seconds);
        thread::scope(|scope| {
            for &router in &self.router {
                let (attempt, diary) = (&self, &diary);
                scope.spawn(move || attempt.run_family(router, diary, end));
            }
        });
        Ok(())
    }

    fn run_family(&self, router: IpAddr, diary: &Diary, end: Instant) {
        let family = if router.is_ipv4() { Family::V4 } else { Family::V6 };
        let any = if router.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
        let from = self.from.iter().copied().find(|from| from.is_ipv4() == router.is_ipv4()).unwrap_or(any);
        let kind = format!("{}{}", self.kind, family.digit());
        for number in 0.. {
            let text = format!("leak-{} {kind} {number} ", self.name);
            diary.sent(&kind, number);
            let round = Round { attempt: self, family, router, from, text, end };
            if let Err(err) = round.run() {
                println!("{}: {err}", round.text);
            }
            if Instant::now() + PERIOD >= end {
                return;
            }
            thread::sleep(PERIOD);
        }
    }
}

impl Round<'_> {
    fn run(&self) -> io::Result<()> {
        match self.attempt.way {
            Way::Proxied => {
                let server = SocketAddr::new(self.server(), PROXIED_PORT);
                self.datagram(server, None).and(self.exchange_line(self.connect(server)?))
            }
            Way::HttpProxy => {
                let mut proxy = self.connect(SocketAddr::new(self.router, HTTP_PORT))?;
                let server = SocketAddr::new(self.server(), LINE_PORT);
                write!(proxy, "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n")?;
                let mut line = String::new();
                let mut reader = BufReader::new(proxy.try_clone()?);
                while reader.read_line(&mut line)? > 2 {
                    line.clear();
                }
                self.exchange_line(proxy)
            }
            Way::SocksProxy => {
                let mut proxy = self.connect(SocketAddr::new(self.router, SOCKS_PORT))?;
                proxy.write_all(&[5, 1, 0])?;
                proxy.read_exact(&mut [0; 2])?;
                let mut request = vec![5, 1, 0];
                match self.server() {
                    IpAddr::V4(server) => request.extend([&[1][..], &server.octets()].concat()),
                    IpAddr::V6(server) => request.extend([&[4][..], &server.octets()].concat()),
                }
                request.extend_from_slice(&LINE_PORT.to_be_bytes());
                proxy.write_all(&request)?;
                proxy.read_exact(&mut [0; 10])?;
                self.exchange_line(proxy)
            }
            Way::Source => self.provoke(),
            Way::RouterPing => self.ping(self.router, None),
            Way::LastHop => {
                self.datagram(SocketAddr::new(self.server(), ECHO_PORT), Some(1)).and(self.ping(self.server(), Some(1)))
            }
            Way::Igmp => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                socket.join_multicast_v4(&group(self.attempt.number), &Ipv4Addr::UNSPECIFIED)?;
                // The kernel reports the membership at once, and its end when the socket closes.
                thread::sleep(PERIOD);
                Ok(())
            }
            Way::Broadcast => self.attempt.neighbour.iter().try_for_each(|&host| {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                socket.set_broadcast(true)?;
                socket.send_to(self.text.as_bytes(), (host, CLOSED_PORT)).map(|_| ())
            }),
            Way::Download => self.download(),
            Way::DnsOverTls => {
                let resolver = SocketAddr::new(self.server(), DOT_PORT);
                let stream = TcpStream::connect_timeout(&resolver, ANSWER_TIMEOUT)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                self.exchange_line(stream)
            }
        }
    }

    /// Sends everything that the router may answer, refuse or forward.
    fn provoke(&self) -> io::Result<()> {
        let to = |host, port| SocketAddr::new(host, port);
        let (router, server) = (self.router, self.server());
        let mut result = Ok(());
        for target in [to(router, CLOSED_PORT), to(router, 53), to(router, 123), to(server, ECHO_PORT), to(server, 53)]
        {
            result = result.and(self.datagram(target, None));
        }
        result = result.and(self.ping(router, None)).and(self.ping(server, None));
        for target in [to(router, CLOSED_PORT), to(router, 53), to(server, LINE_PORT)] {
            let connection = connect_from(self.from, target, IO_TIMEOUT);
            _ = connection.and_then(|mut stream| stream.write_all(self.text.as_bytes()));
        }
        result
    }

    fn server(&self) -> IpAddr {
        server(self.attempt.number, Kind::Tcp, self.family)
    }

    fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&to, IO_TIMEOUT)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        Ok(stream)
    }

    fn exchange_line(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(format!("{}\n", self.text).as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        println!("answer: {}", answer.trim_end());
        Ok(())
    }

    fn datagram(&self, to: SocketAddr, hops: Option<i32>) -> io::Result<()> {
        let socket = UdpSocket::bind((self.from, 0))?;
        set_hops(&socket, hops)?;
        socket.send_to(self.text.as_bytes(), to).map(|_| ())
    }

    fn ping(&self, to: IpAddr, hops: Option<i32>) -> io::Result<()> {
        let socket = ping(Some(self.from), to)?;
        set_hops(&socket, hops)?;
        socket.send(&echo_request(to, 1, self.text.as_bytes())).map(|_| ())
    }

    /// Reads until the attempt ends, also while nothing arrives.
    fn download(&self) -> io::Result<()> {
        let mut stream = self.connect(SocketAddr::new(self.server(), DOWNLOAD_PORT))?;
        stream.write_all(format!("{}\n", self.text).as_bytes())?;
        let (mut buf, mut is_first) = ([0; 4096], true);
        while Instant::now() < self.end {
            match stream.read(&mut buf) {
                Ok(0) => break,
                Ok(_) if is_first => {
                    println!("{}arrives", self.text);
                    is_first = false;
                }
                Ok(_) => {}
                Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}

/// Sets the TTL or hop limit of a socket; `None` leaves the kernel's.
fn set_hops(socket: &UdpSocket, hops: Option<i32>) -> io::Result<()> {
    let Some(hops) = hops else { return Ok(()) };
    match socket.local_addr()?.ip() {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4Ttl, &hops)?,
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6Ttl, &hops)?,
    }
    Ok(())
}
