//! A device that never falls silent: every way of talking at once, over IPv4 and IPv6, and a door that stands open.
//! What it says carries its name, so that even a stranger who asks on its behalf is recognised.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

use crate::diary::Diary;
use crate::dns::Question;
use crate::open::{echo_request, ping, with_timeout};
use crate::places::{DOOR_PORT, ECHO_PORT, Family, Kind, LINE_PORT, server};

/// How long an answer may take; a question without one is asked anew.
const IO_TIMEOUT: Duration = Duration::from_secs(1);
/// Between questions of one kind. Eighteen kinds on six devices, in an emulator.
const PERIOD: Duration = Duration::from_millis(1500);
/// How long a kept connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
const NTP_PORT: u16 = 123;

/// talk without pause, in every way
#[derive(FromArgs)]
#[argh(subcommand, name = "talk")]
pub struct Talk {
    /// name of the device
    #[argh(option)]
    name: String,
    /// its number, part of the addresses that only it talks to
    #[argh(option)]
    number: u8,
    /// the router's address
    #[argh(option)]
    router: Ipv4Addr,
    /// the router's address in the other family
    #[argh(option)]
    router6: Ipv6Addr,
    /// time between its datagrams
    #[argh(option)]
    period_ms: u64,
    /// where to write the journal
    #[argh(option)]
    journal: PathBuf,
}

/// One way of talking.
struct Voice {
    /// `NAME KIND`, the beginning of all that is said.
    prefix: String,
    kind: Kind,
    family: Family,
    /// Between datagrams over IPv4.
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
                let voice = self.voice(kind, family, &diary);
                thread::spawn(move || voice.speak());
            }
        }
        self.open_door(&diary)
    }

    fn voice(&self, kind: Kind, family: Family, diary: &Arc<Diary>) -> Voice {
        let server = match (kind, family) {
            (Kind::RouterUdp | Kind::RouterTcp, Family::V4) => self.router.into(),
            (Kind::RouterUdp | Kind::RouterTcp, Family::V6) => self.router6.into(),
            _ => server(self.number, kind, family),
        };
        let name = format!("{}{}", kind.name(), family.digit());
        let prefix = format!("leak-{} {name}", self.name);
        Voice {
            prefix,
            kind,
            family,
            period: Duration::from_millis(self.period_ms),
            name,
            server,
            diary: Arc::clone(diary),
        }
    }

    /// Lets in whoever comes, and says so.
    fn open_door(&self, diary: &Arc<Diary>) -> Result<(), String> {
        let failed = |err| format!("listening on port {DOOR_PORT}: {err}");
        let door = (Ipv6Addr::UNSPECIFIED, DOOR_PORT);
        let socket = UdpSocket::bind(door).map_err(failed)?;
        let listener = TcpListener::bind(door).map_err(failed)?;
        let greeting = format!("leak-{} is at home\n", self.name);
        let (answer, doorkeeper) = (greeting.clone(), Arc::clone(diary));
        thread::spawn(move || {
            let mut buf = [0; 1500];
            loop {
                if let Ok((_, from)) = socket.recv_from(&mut buf) {
                    doorkeeper.reached("udp", from.ip());
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
    let _ = with_timeout(&stream, IDLE_TIMEOUT);
    loop {
        diary.reached("tcp", from.ip());
        let spoken = stream.write_all(greeting.as_bytes());
        if spoken.is_err() || !stream.read(&mut buf).is_ok_and(|len| len > 0) {
            return;
        }
    }
}

impl Voice {
    fn speak(&self) {
        loop {
            // Whatever opening it failed for may be over in a moment.
            let problem = match self.kind {
                Kind::Udp if self.family == Family::V4 => self.run_sender(self.datagrams(ECHO_PORT), self.period),
                Kind::Udp => self.run_sender(self.datagrams(ECHO_PORT), PERIOD),
                Kind::Ntp => self.run_sender(self.datagrams(NTP_PORT), PERIOD),
                Kind::Icmp => self.run_sender(ping(None, self.server), PERIOD),
                Kind::Stream => self.run_conversation(PERIOD),
                Kind::Tcp | Kind::DnsUdp | Kind::DnsTcp | Kind::RouterUdp | Kind::RouterTcp => self.run_queries(PERIOD),
            };
            if let Err(err) = problem {
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

    /// One flow of datagrams or echo requests, whether or not they are answered.
    fn run_sender(&self, socket: io::Result<UdpSocket>, period: Duration) -> io::Result<()> {
        let socket = socket?;
        let mut next = Instant::now();
        let mut buf = [0; 1500];
        for number in 0.. {
            let text = format!("{} {number} ", self.prefix);
            self.diary.sent(&self.name, number);
            // A refusal shows here as an error; the next may well pass.
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
                    Ok(len) => self.hear(&String::from_utf8_lossy(&buf[..len])),
                    Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    Err(_) => thread::sleep(left.min(Duration::from_millis(20))),
                }
            }
        }
        Ok(())
    }

    /// Lines on one connection, until it is dead.
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
        let mut stream = self.line()?;
        let mut ear = BufReader::new(stream.try_clone()?);
        let mut heard = String::new();
        let mut last = Instant::now();
        loop {
            let text = format!("{} {number}\n", self.prefix);
            stream.write_all(text.as_bytes())?;
            match ear.read_line(&mut heard) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    self.hear(&heard);
                    heard.clear();
                    last = Instant::now();
                    thread::sleep(period);
                }
                Err(_) if last.elapsed() < IDLE_TIMEOUT => {}
                Err(err) => return Err(err),
            }
            *number += 1;
            self.diary.sent(&self.name, *number);
        }
    }

    /// A new connection, or a new socket, for each question.
    fn run_queries(&self, period: Duration) -> io::Result<()> {
        for number in 0.. {
            self.diary.sent(&self.name, number);
            let begun = Instant::now();
            match self.kind {
                Kind::Tcp => {
                    if let Ok(answer) = self.ask_line(number) {
                        self.hear(&answer);
                    }
                }
                _ => {
                    if let Ok(via) = self.ask_name(number) {
                        self.diary.answered(&self.name, number, via);
                    }
                }
            }
            thread::sleep(period.saturating_sub(begun.elapsed()));
        }
        Ok(())
    }

    fn ask_line(&self, number: u32) -> io::Result<String> {
        let mut stream = self.line()?;
        stream.write_all(format!("{} {number}\n", self.prefix).as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    }

    fn ask_name(&self, number: u32) -> io::Result<Option<IpAddr>> {
        let tcp = matches!(self.kind, Kind::DnsTcp | Kind::RouterTcp);
        let question = Question { server: self.server, tcp, aaaa: self.family == Family::V6, wait: IO_TIMEOUT };
        question.ask(&format!("{number}.{}.example", self.prefix.replace(' ', ".")))
    }

    fn line(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(self.server, LINE_PORT), IO_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        Ok(stream)
    }

    /// Notes an answer: what was said, and behind it the address that it was said from.
    fn hear(&self, text: &str) {
        let Some((_, rest)) = text.split_once(&self.prefix) else { return };
        let mut words = rest.split_whitespace();
        if let Some(number) = words.next().and_then(|word| word.parse().ok()) {
            self.diary.answered(&self.name, number, words.next().and_then(|word| word.parse().ok()));
        }
    }
}
