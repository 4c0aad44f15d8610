//! Casting between two networks of the home: a telephone looks for a speaker by multicast, a reflector on the router
//! repeats what both say, the telephone connects to the speaker, and the speaker connects back.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};

/// Group and port of mDNS (RFC 6762).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// TCP ports of the speaker, and of the telephone, to which the speaker connects back.
const SPEAKER_PORT: u16 = 8009;
const PHONE_PORT: u16 = 8010;
const QUESTION: &str = "who-casts?";
const ANSWER: &str = "speaker-at ";
const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// repeat multicast discovery between networks, as avahi's reflector does
#[derive(FromArgs)]
#[argh(subcommand, name = "reflect")]
pub struct Reflect {
    /// an interface and its address, as NAME=ADDRESS
    #[argh(option)]
    interface: Vec<Interface>,
}

/// answer discovery, and play what telephones send
#[derive(FromArgs)]
#[argh(subcommand, name = "speaker")]
pub struct Speaker {
    /// name of the device
    #[argh(option)]
    name: String,
    /// its interface and address, as NAME=ADDRESS
    #[argh(option)]
    interface: Interface,
}

/// find the speaker and send it some lines; fails if one is not answered
#[derive(FromArgs)]
#[argh(subcommand, name = "cast")]
pub struct Cast {
    /// name of the device
    #[argh(option)]
    name: String,
    /// its interface and address, as NAME=ADDRESS
    #[argh(option)]
    interface: Interface,
    /// number of lines
    #[argh(option)]
    lines: u32,
    /// time limit of the search, in seconds
    #[argh(option)]
    seconds: u64,
}

struct Interface {
    name: String,
    address: Ipv4Addr,
}

impl FromStr for Interface {
    type Err = String;
    fn from_str(text: &str) -> Result<Interface, String> {
        let (name, address) = text.split_once('=').ok_or("an interface is NAME=ADDRESS")?;
        let address = address.parse().map_err(|err| format!("{address}: {err}"))?;
        Ok(Interface { name: name.to_owned(), address })
    }
}

impl Interface {
    /// A socket that hears the group on this interface alone, and not itself.
    fn open(&self) -> Result<UdpSocket, String> {
        let open = || -> io::Result<UdpSocket> {
            let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&fd, sockopt::ReuseAddr, &true)?;
            setsockopt(&fd, sockopt::BindToDevice, &self.name.clone().into())?;
            bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)))?;
            let socket = UdpSocket::from(fd);
            socket.set_multicast_loop_v4(false)?;
            socket.join_multicast_v4(&GROUP, &self.address)?;
            Ok(socket)
        };
        open().map_err(|err| format!("listening to {GROUP} on {}: {err}", self.name))
    }
}

impl Reflect {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let mut sockets = Vec::new();
        for interface in &self.interface {
            sockets.push((interface, interface.open()?));
        }
        println!("listening");
        thread::scope(|scope| {
            for (from, socket) in &sockets {
                let others: Vec<_> = sockets.iter().filter(|(other, _)| other.name != from.name).collect();
                scope.spawn(move || {
                    let mut buf = [0; 1500];
                    loop {
                        let Ok((len, _)) = socket.recv_from(&mut buf) else { continue };
                        for (to, socket) in &others {
                            match socket.send_to(&buf[..len], (GROUP, PORT)) {
                                Ok(_) => println!("{} to {}", from.name, to.name),
                                Err(err) => println!("{} to {}: {err}", from.name, to.name),
                            }
                        }
                    }
                });
            }
        });
        Ok(())
    }
}

impl Speaker {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let socket = self.interface.open()?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, SPEAKER_PORT))
            .map_err(|err| format!("listening on port {SPEAKER_PORT}: {err}"))?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || play(stream).unwrap_or_else(|err| println!("playing: {err}")));
            }
        });
        println!("listening");
        let mut buf = [0; 1500];
        loop {
            let Ok((len, _)) = socket.recv_from(&mut buf) else { continue };
            if String::from_utf8_lossy(&buf[..len]).contains(QUESTION) {
                let answer = format!("leak-{} {ANSWER}{} ", self.name, self.interface.address);
                let _ = socket.send_to(answer.as_bytes(), (GROUP, PORT));
            }
        }
    }
}

/// Answers each line, and after the first one connects back.
fn play(mut stream: TcpStream) -> io::Result<()> {
    let phone = stream.peer_addr()?.ip();
    let reader = BufReader::new(stream.try_clone()?);
    for (number, line) in reader.lines().enumerate() {
        let line = line?;
        if number == 0 {
            let back = TcpStream::connect_timeout(&SocketAddr::new(phone, PHONE_PORT), IO_TIMEOUT);
            writeln!(back?, "{line}")?;
        }
        writeln!(stream, "{line}")?;
    }
    Ok(())
}

impl Cast {
    /// Runs once.
    pub fn run(self) -> Result<(), String> {
        let start = Instant::now();
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PHONE_PORT))
            .map_err(|err| format!("listening on port {PHONE_PORT}: {err}"))?;
        let (speaker, found) = (self.find_speaker()?, start.elapsed());
        let heard_back = thread::spawn(move || -> io::Result<String> {
            let mut line = String::new();
            BufReader::new(listener.accept()?.0).read_line(&mut line)?;
            Ok(line)
        });
        self.send_lines(speaker).map_err(|err| format!("casting to {speaker}: {err}"))?;
        if !heard_back.is_finished() {
            return Err(format!("the speaker {speaker} does not connect back"));
        }
        println!("{} lines to {speaker}, found after {} ms, and it connected back", self.lines, found.as_millis());
        Ok(())
    }

    fn find_speaker(&self) -> Result<IpAddr, String> {
        let socket = self.interface.open()?;
        let failed = |err: io::Error| format!("searching: {err}");
        socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(failed)?;
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let mut buf = [0; 1500];
        while Instant::now() < end {
            let question = format!("leak-{} {QUESTION} ", self.name);
            socket.send_to(question.as_bytes(), (GROUP, PORT)).map_err(failed)?;
            while let Ok((len, _)) = socket.recv_from(&mut buf) {
                let text = String::from_utf8_lossy(&buf[..len]).into_owned();
                let address =
                    text.split_once(ANSWER).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
                if let Some(address) = address {
                    return Ok(address);
                }
            }
        }
        Err(format!("no speaker answered within {} s", self.seconds))
    }

    fn send_lines(&self, speaker: IpAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(speaker, SPEAKER_PORT), IO_TIMEOUT)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        for number in 0..self.lines {
            let (line, mut answer) = (format!("leak-{} cast {number}\n", self.name), String::new());
            stream.write_all(line.as_bytes())?;
            reader.read_line(&mut answer)?;
            if answer != line {
                return Err(io::Error::other(format!("{answer:?} for {line:?}")));
            }
        }
        Ok(())
    }
}
