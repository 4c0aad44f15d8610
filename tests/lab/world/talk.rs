//! A device that talks without pause: every kind of traffic at once, over IPv4 and IPv6, and an open port for UDP and
//! TCP. Its payload contains its name, so that a capture shows its traffic even if another host, such as a resolver,
//! forwards it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

use crate::diary::Diary;
use crate::dns::Resolver;
use crate::open::{echo_request, ping, set_user_timeout};
use crate::places::{DEVICE_PORT, ECHO_PORT, Family, Kind, LINE_PORT, server};

/// How long to wait for an answer before the next request.
const IO_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between requests of one kind. An emulator can run eighteen kinds on six devices at this rate.
const PERIOD: Duration = Duration::from_millis(1500);
/// How long a persistent connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
const NTP_PORT: u16 = 123;

/// talk without pause, with every kind of traffic
#[derive(FromArgs)]
#[argh(subcommand, name = "talk")]
pub struct Talk {
    /// name of the device
    #[argh(option)]
    name: String,
    /// number of the device, part of its servers' addresses
    #[argh(option)]
    number: u8,
    /// the router's IPv4 address
    #[argh(option)]
    router: Ipv4Addr,
    /// the router's IPv6 address
    #[argh(option)]
    router6: Ipv6Addr,
    /// time between datagrams over IPv4, in milliseconds
    #[argh(option)]
    period_ms: u64,
    /// file for the journal
    #[argh(option)]
    journal: PathBuf,
}

/// One kind of traffic over one address family.
struct Talker {
    /// `leak-DEVICE KIND`, the start of every payload.
    prefix: String,
    kind: Kind,
    family: Family,
    /// Time between datagrams over IPv4.
    period: Duration,
    /// Kind and family, as in the journal.
    name: String,
    server: IpAddr,
    diary: Arc<Diary>,
}

impl Talk {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let diary = Arc::new(Diary::create(&self.journal)?);
        for family in Family::ALL {
            for kind in Kind::ALL {
                let talker = self.talker(kind, family, &diary);
                thread::spawn(move || talker.run());
            }
        }
        self.accept_intruders(&diary)
    }

    fn talker(&self, kind: Kind, family: Family, diary: &Arc<Diary>) -> Talker {
        let server = match (kind, family) {
            (Kind::RouterUdp | Kind::RouterTcp, Family::V4) => self.router.into(),
            (Kind::RouterUdp | Kind::RouterTcp, Family::V6) => self.router6.into(),
            _ => server(self.number, kind, family),
        };
        let name = format!("{}{}", kind.name(), family.digit());
        let prefix = format!("leak-{} {name}", self.name);
        Talker {
            prefix,
            kind,
            family,
            period: Duration::from_millis(self.period_ms),
            name,
            server,
            diary: Arc::clone(diary),
        }
    }

    /// Accepts and records all traffic from outside.
    fn accept_intruders(&self, diary: &Arc<Diary>) -> Result<(), String> {
        let failed = |err| format!("listening on port {DEVICE_PORT}: {err}");
        let address = (Ipv6Addr::UNSPECIFIED, DEVICE_PORT);
        let socket = UdpSocket::bind(address).map_err(failed)?;
        let listener = TcpListener::bind(address).map_err(failed)?;
        let greeting = format!("leak-{} is at home\n", self.name);
        let (answer, udp_diary) = (greeting.clone(), Arc::clone(diary));
        thread::spawn(move || {
            let mut buf = [0; 1500];
            loop {
                if let Ok((_, from)) = socket.recv_from(&mut buf) {
                    udp_diary.reached("udp", from.ip());
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        for stream in listener.incoming().flatten() {
            let (greeting, diary) = (greeting.clone(), Arc::clone(diary));
            thread::spawn(move || receive(stream, &greeting, &diary));
        }
        Ok(())
    }
}

fn receive(mut stream: TcpStream, greeting: &str, diary: &Diary) {
    let Ok(from) = stream.peer_addr() else { return };
    let mut buf = [0; 1500];
    let _ = set_user_timeout(&stream, IDLE_TIMEOUT);
    loop {
        diary.reached("tcp", from.ip());
        let sent = stream.write_all(greeting.as_bytes());
        if sent.is_err() || !stream.read(&mut buf).is_ok_and(|len| len > 0) {
            return;
        }
    }
}

impl Talker {
    fn run(&self) {
        loop {
            // Opening a socket may fail for a moment, so this tries again.
            let result = match self.kind {
                Kind::Udp if self.family == Family::V4 => self.run_sender(self.datagrams(ECHO_PORT), self.period),
                Kind::Udp => self.run_sender(self.datagrams(ECHO_PORT), PERIOD),
                Kind::Ntp => self.run_sender(self.datagrams(NTP_PORT), PERIOD),
                Kind::Icmp => self.run_sender(ping(None, self.server), PERIOD),
                Kind::Stream => self.run_conversation(PERIOD),
                Kind::Tcp | Kind::DnsUdp | Kind::DnsTcp | Kind::RouterUdp | Kind::RouterTcp => self.run_queries(PERIOD),
            };
            if let Err(err) = result {
                eprintln!("{}: {err}", self.prefix);
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn datagrams(&self, port: u16) -> io::Result<UdpSocket> {
        let any: IpAddr = match self.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((self.server, port))?;
        Ok(socket)
    }

    /// Sends one flow of datagrams or echo requests, whether or not they are answered.
    fn run_sender(&self, socket: io::Result<UdpSocket>, period: Duration) -> io::Result<()> {
        let socket = socket?;
        let mut next = Instant::now();
        let mut buf = [0; 1500];
        for number in 0.. {
            let text = format!("{} {number} ", self.prefix);
            self.diary.sent(&self.name, number);
            // An ICMP error makes one `send` fail; the next may succeed.
            let _ = match self.kind {
                Kind::Icmp => socket.send(&echo_request(self.server, number, text.as_bytes())),
                _ => socket.send(text.as_bytes()),
            };
            next = (next + period).max(Instant::now());
            loop {
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut buf) {
                    Ok(len) => self.record_answer(&String::from_utf8_lossy(&buf[..len])),
                    Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    Err(_) => thread::sleep(left.min(Duration::from_millis(20))),
                }
            }
        }
        Ok(())
    }

    /// Sends lines on one connection until that fails, and then opens the next one.
    fn run_conversation(&self, period: Duration) -> io::Result<()> {
        let mut number = 0;
        loop {
            if let Err(err) = self.talk_on_one_connection(&mut number, period) {
                if !matches!(err.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                    thread::sleep(period);
                }
            }
        }
    }

    fn talk_on_one_connection(&self, number: &mut u32, period: Duration) -> io::Result<()> {
        self.diary.sent(&self.name, *number);
        let mut stream = self.connect()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut answer = String::new();
        let mut last_answer = Instant::now();
        loop {
            let text = format!("{} {number}\n", self.prefix);
            stream.write_all(text.as_bytes())?;
            match reader.read_line(&mut answer) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    self.record_answer(&answer);
                    answer.clear();
                    last_answer = Instant::now();
                    thread::sleep(period);
                }
                Err(_) if last_answer.elapsed() < IDLE_TIMEOUT => {}
                Err(err) => return Err(err),
            }
            *number += 1;
            self.diary.sent(&self.name, *number);
        }
    }

    /// Sends requests, each on a new connection or socket.
    fn run_queries(&self, period: Duration) -> io::Result<()> {
        for number in 0.. {
            self.diary.sent(&self.name, number);
            let start = Instant::now();
            match self.kind {
                Kind::Tcp => {
                    if let Ok(answer) = self.exchange_line(number) {
                        self.record_answer(&answer);
                    }
                }
                _ => {
                    if let Ok(via) = self.resolve(number) {
                        self.diary.answered(&self.name, number, via);
                    }
                }
            }
            thread::sleep(period.saturating_sub(start.elapsed()));
        }
        Ok(())
    }

    fn exchange_line(&self, number: u32) -> io::Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(format!("{} {number}\n", self.prefix).as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    }

    fn resolve(&self, number: u32) -> io::Result<Option<IpAddr>> {
        let tcp = matches!(self.kind, Kind::DnsTcp | Kind::RouterTcp);
        let resolver = Resolver { server: self.server, tcp, aaaa: self.family == Family::V6, timeout: IO_TIMEOUT };
        resolver.resolve(&format!("{number}.{}.example", self.prefix.replace(' ', ".")))
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(self.server, LINE_PORT), IO_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        Ok(stream)
    }

    /// Records an answer, which contains the request's text and after it the request's source address.
    fn record_answer(&self, text: &str) {
        let Some((_, rest)) = text.split_once(&self.prefix) else { return };
        let mut words = rest.split_whitespace();
        if let Some(number) = words.next().and_then(|word| word.parse().ok()) {
            self.diary.answered(&self.name, number, words.next().and_then(|word| word.parse().ok()));
        }
    }
}
