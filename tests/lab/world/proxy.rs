//! Proxies as other programs run them on a router. Each opens connections in clear for the device that asks.

use std::io::{self, BufRead, BufReader, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use argh::FromArgs;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn6, SockaddrStorage, bind,
    getsockopt, listen, recvmsg, setsockopt, socket, sockopt,
};

const IO_TIMEOUT: Duration = Duration::from_secs(1);

/// run a proxy on the router
#[derive(FromArgs)]
#[argh(subcommand, name = "proxy")]
pub struct Proxy {
    /// http, socks, redirected (nftables' redirect) or transparent (nftables' tproxy)
    #[argh(option)]
    way: Way,
    /// port
    #[argh(option)]
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Http,
    Socks,
    Redirected,
    Transparent,
}

impl FromStr for Way {
    type Err = String;
    fn from_str(name: &str) -> Result<Way, String> {
        Ok(match name {
            "http" => Way::Http,
            "socks" => Way::Socks,
            "redirected" => Way::Redirected,
            "transparent" => Way::Transparent,
            _ => return Err(format!("unknown proxy {name}; use http, socks, redirected or transparent")),
        })
    }
}

impl Proxy {
    /// Runs until it is killed, and prints whom it serves.
    pub fn run(self) -> Result<(), String> {
        let failed = |err: io::Error| format!("listening on port {}: {err}", self.port);
        if self.way == Way::Transparent {
            let datagrams = self.open(SockType::Datagram).map_err(failed)?;
            thread::spawn(move || forward_datagrams(&UdpSocket::from(datagrams)));
        }
        let listener = self.open(SockType::Stream).map_err(failed)?;
        listen(&listener, Backlog::new(64).map_err(|err| failed(err.into()))?).map_err(|err| failed(err.into()))?;
        for stream in TcpListener::from(listener).incoming().flatten() {
            let way = self.way;
            thread::spawn(move || {
                let from = stream.peer_addr();
                match serve(stream, way) {
                    Ok(server) => println!("served {from:?} at {server}"),
                    Err(err) => println!("{from:?}: {err}"),
                }
            });
        }
        Ok(())
    }

    fn open(&self, kind: SockType) -> io::Result<std::os::fd::OwnedFd> {
        let fd = socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        if self.way == Way::Transparent {
            setsockopt(&fd, sockopt::IpTransparent, &true)?;
        }
        if kind == SockType::Datagram {
            setsockopt(&fd, sockopt::Ipv4OrigDstAddr, &true)?;
            setsockopt(&fd, sockopt::Ipv6OrigDstAddr, &true)?;
        }
        bind(fd.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, self.port, 0, 0)))?;
        Ok(fd)
    }
}

/// Connects to the server that the device wants, and repeats one line in each direction.
fn serve(mut device: TcpStream, way: Way) -> io::Result<SocketAddr> {
    device.set_read_timeout(Some(IO_TIMEOUT))?;
    let mut reader = BufReader::new(device.try_clone()?);
    let to = match way {
        Way::Http => http_target(&mut reader, &mut device)?,
        Way::Socks => socks_target(&mut reader, &mut device)?,
        Way::Redirected => redirected_target(&device)?,
        Way::Transparent => canonical(device.local_addr()?),
    };
    let mut server = TcpStream::connect_timeout(&to, IO_TIMEOUT)?;
    server.set_read_timeout(Some(IO_TIMEOUT))?;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    server.write_all(line.as_bytes())?;
    line.clear();
    BufReader::new(server).read_line(&mut line)?;
    device.write_all(line.as_bytes())?;
    Ok(to)
}

fn http_target(reader: &mut impl BufRead, device: &mut impl Write) -> io::Result<SocketAddr> {
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let target = request.split_whitespace().nth(1).and_then(|target| target.parse().ok());
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    device.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    target.ok_or_else(|| io::Error::other("no target in the request"))
}

/// Reads a request to connect (RFC 1928) and confirms it.
fn socks_target(reader: &mut impl Read, device: &mut impl Write) -> io::Result<SocketAddr> {
    reader.read_exact(&mut [0; 3])?;
    device.write_all(&[5, 0])?;
    let mut head = [0; 4];
    reader.read_exact(&mut head)?;
    let host: IpAddr = match head[3] {
        1 => read_array::<4>(reader)?.into(),
        4 => read_array::<16>(reader)?.into(),
        _ => return Err(io::Error::other("no address in the request")),
    };
    let port = u16::from_be_bytes(read_array(reader)?);
    device.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(SocketAddr::new(host, port))
}

fn read_array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn redirected_target(device: &TcpStream) -> io::Result<SocketAddr> {
    Ok(match device.peer_addr()?.ip().to_canonical() {
        IpAddr::V4(_) => {
            let to = getsockopt(device, sockopt::OriginalDst)?;
            let host = Ipv4Addr::from(u32::from_be(to.sin_addr.s_addr));
            SocketAddrV4::new(host, u16::from_be(to.sin_port)).into()
        }
        IpAddr::V6(_) => {
            let to = getsockopt(device, sockopt::Ip6tOriginalDst)?;
            SocketAddrV6::new(to.sin6_addr.s6_addr.into(), u16::from_be(to.sin6_port), 0, 0).into()
        }
    })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Sends each datagram on to the server that the device addressed.
fn forward_datagrams(socket: &UdpSocket) {
    loop {
        let mut buf = [0; 1500];
        match receive(socket, &mut buf) {
            Ok((len, Some(to))) => {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let sent = UdpSocket::bind(any).and_then(|out| out.send_to(&buf[..len], to));
                println!("served a datagram to {to}: {sent:?}");
            }
            Ok((_, None)) => println!("a datagram without its first destination"),
            Err(err) => println!("receiving a datagram: {err}"),
        }
    }
}

/// Receives a datagram and its original destination.
fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
    let mut control = nix::cmsg_space!(libc::sockaddr_in6, libc::sockaddr_in);
    let mut slices = [IoSliceMut::new(buf)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
    let to = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4OrigDstAddr(to) => {
            let host = Ipv4Addr::from(u32::from_be(to.sin_addr.s_addr));
            Some(SocketAddr::new(host.into(), u16::from_be(to.sin_port)))
        }
        ControlMessageOwned::Ipv6OrigDstAddr(to) => {
            Some(SocketAddr::new(IpAddr::from(to.sin6_addr.s6_addr).to_canonical(), u16::from_be(to.sin6_port)))
        }
        _ => None,
    });
    Ok((message.bytes, to))
}
