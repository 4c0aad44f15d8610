//! What a hostile provider and a hostile endpoint can do to a home, with the guard on a running kernel. Needs root and
//! the kernel modules veth, bridge, tun and nf_tables; prints a line if it is skipped.

#![allow(unsafe_code, reason = "to attach to mp0")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use common::namespace::shell;
use common::world::{World, can_run};
use millpond::config::example;
use millpond::config::model::Policy;
use millpond::sys::capture::{Capture, Layer, interface_index};
use millpond::sys::udp::CellSocket;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage};

const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
/// The router's address in the tunnel.
const TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// What no other packet in these tests contains.
const SECRET: &[u8] = b"from the endpoint's side";

/// A home whose router has `mp0`, through which everything leaves, as masquerading and routing of the tunnel arrange.
fn home_with_tun(test: &str) -> Option<(World, File)> {
    if !has_tun(test) {
        return None;
    }
    let mut world = World::new();
    world.router.enter();
    shell("ip tuntap add mp0 mode tun && ip addr add 10.77.0.2/32 dev mp0 && ip link set mp0 up");
    shell("ip rule add priority 910 iif br-lan lookup 28016; ip route add default dev mp0 table 28016");
    shell("ip rule add priority 911 fwmark 0x1000000/0x1000000 lookup 28016");
    shell("ip rule add priority 909 to 192.168.1.0/24 lookup main");
    shell("sysctl -qw net.ipv4.conf.mp0.rp_filter=2 net.ipv4.conf.br-lan.rp_filter=0 net.ipv4.conf.all.rp_filter=0");
    shell("nft 'table ip nat { chain c { type nat hook postrouting priority srcnat; oifname mp0 masquerade; }; }'");
    world.settings.devices[0].policy = Policy::Shape;
    world.install_guard();
    let tun = attach("mp0");
    Some((world, tun))
}

fn has_tun(test: &str) -> bool {
    let has_tun = std::path::Path::new("/dev/net/tun").exists();
    if !has_tun {
        println!("skipped {test}: no /dev/net/tun");
    }
    can_run(test) && has_tun
}

/// Opens a TUN interface of this namespace.
fn attach(name: &str) -> File {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let tun = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun").unwrap();
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    // IFF_TUN and IFF_NO_PI.
    request[16..18].copy_from_slice(&0x1001u16.to_ne_bytes());
    nix::ioctl_write_ptr_bad!(set_interface, 0x4004_54ca, [u8; 40]);
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes an ifreq of 40 bytes.
    unsafe { set_interface(tun.as_raw_fd(), &request) }.unwrap();
    tun
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = (20 + body.len()) as u16;
    let mut packet = vec![0x45, 0, (length >> 8) as u8, length as u8, 0, 1, 0, 0, 64, protocol, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(body);
    packet
}

fn udp(from: u16, to: u16, content: &[u8]) -> Vec<u8> {
    let words = [from, to, 8 + content.len() as u16, 0];
    words.into_iter().flat_map(u16::to_be_bytes).chain(content.iter().copied()).collect()
}

fn syn(from: u16, to: u16, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut segment: Vec<u8> = [from, to].into_iter().flat_map(u16::to_be_bytes).collect();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&source.octets()[..], &destination.octets(), &[0, 6, 0, 20], &segment].concat();
    let sum = checksum(&pseudo);
    segment[16..18].copy_from_slice(&sum);
    ipv4(source, destination, 6, &segment)
}

fn icmp(kind: u8, code: u8, rest: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], content].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

/// The packets that left the router by the interface so far.
fn sent(capture: &mut Capture) -> Vec<Vec<u8>> {
    std::thread::sleep(Duration::from_millis(100));
    let (mut packets, mut head) = (Vec::new(), [0; 1500]);
    while let Some(packet) = capture.receive(&mut head).unwrap() {
        if packet.outgoing && matches!(head[0] >> 4, 4 | 6) && !is_of_interface(&head) {
            packets.push(head[..packet.head].to_vec());
        }
    }
    packets
}

/// An interface's own traffic: multicast reports, and IPv6's router solicitations and neighbour discovery.
fn is_of_interface(packet: &[u8]) -> bool {
    match packet[0] >> 4 {
        4 => packet[9] == 2,
        _ => packet[6] == 0 || packet[6] == 58 && packet[40] >= 130,
    }
}

fn capture(interface: &str) -> Capture {
    Capture::open(interface_index(interface).unwrap(), Layer::Network, &[vec![]]).unwrap()
}

/// What comes out of the tunnel unasked gets no further than the tunnel: not to the router's services, not to the
/// home, and nothing answers, towards the tunnel or the Internet.
#[test]
fn an_endpoint_reaches_neither_the_router_nor_the_home_unasked() {
    let Some((world, mut tun)) = home_with_tun("an_endpoint_reaches_neither_the_router_nor_the_home_unasked") else {
        return;
    };
    world.router.enter();
    let _pages = TcpListener::bind("0.0.0.0:8080").unwrap();
    let resolver = UdpSocket::bind("0.0.0.0:53").unwrap();
    resolver.set_nonblocking(true).unwrap();
    // From now on mp0 carries packets, so that answers would show.
    ask(&world, &mut tun);
    std::thread::sleep(Duration::from_millis(100));
    while tun.read(&mut [0; 1500]).is_ok() {}
    world.router.enter();
    let (mut lan, mut wan) = (capture("br-lan"), capture("wan0"));
    sent(&mut lan);
    let neighbour = Ipv4Addr::new(192, 168, 1, 60);
    let everybody = [Ipv4Addr::new(192, 168, 1, 255), Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 251)];
    let wan_address = Ipv4Addr::new(198, 51, 100, 1);
    for source in [SERVER, neighbour, ROUTER, TUNNEL, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        for destination in [ROUTER, TUNNEL, wan_address, DEVICE, neighbour, SERVER].into_iter().chain(everybody) {
            let quoted = ipv4(destination, SERVER, 17, &udp(40_000, 443, &[]));
            for packet in [
                syn(40_000, 8080, source, destination),
                ipv4(source, destination, 17, &udp(40_000, 53, SECRET)),
                ipv4(source, destination, 17, &udp(9347, 9347, SECRET)),
                ipv4(source, destination, 1, &icmp(8, 0, [0; 4], SECRET)),
                // Port unreachable, "fragmentation needed" and a redirect for a connection that nobody has.
                ipv4(source, destination, 1, &icmp(3, 3, [0; 4], &quoted)),
                ipv4(source, destination, 1, &icmp(3, 4, [0, 0, 0, 68], &quoted)),
                ipv4(source, destination, 1, &icmp(5, 1, [192, 168, 1, 60], &quoted)),
                ipv4(source, destination, 2, &[0x11, 1, 0, 0, 0, 0, 0, 0]),
                ipv4(source, destination, 47, SECRET),
            ] {
                // The kernel refuses some of these itself.
                _ = tun.write(&packet);
            }
        }
    }
    assert_eq!(sent(&mut lan), Vec::<Vec<u8>>::new(), "the home");
    assert_eq!(sent(&mut wan), Vec::<Vec<u8>>::new(), "the Internet");
    let mut answer = [0; 1500];
    while let Ok(length) = tun.read(&mut answer) {
        assert_eq!(answer[0] >> 4, 6, "an answer: {:02x?}", &answer[..length]);
    }
    assert_eq!(resolver.recv(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The same packet as an answer: the control experiment for the tests of this file.
#[test]
fn an_answer_out_of_the_tunnel_reaches_the_device() {
    let Some((world, mut tun)) = home_with_tun("an_answer_out_of_the_tunnel_reaches_the_device") else { return };
    let (device, port) = ask(&world, &mut tun);
    tun.write_all(&ipv4(SERVER, TUNNEL, 17, &udp(443, port, SECRET))).unwrap();
    let mut answer = [0; 64];
    let length = device.recv(&mut answer).unwrap();
    assert_eq!(&answer[..length], SECRET);
    // Another server, or another port, is no answer.
    tun.write_all(&ipv4(Ipv4Addr::new(203, 0, 113, 81), TUNNEL, 17, &udp(443, port, SECRET))).unwrap();
    tun.write_all(&ipv4(SERVER, TUNNEL, 17, &udp(444, port, SECRET))).unwrap();
    assert_eq!(device.recv(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
    // The firewall's software offloading would send what follows by the route that the answer's mark has now.
    world.router.enter();
    shell("ip rule del priority 911");
    tun.write_all(&ipv4(SERVER, TUNNEL, 17, &udp(443, port, SECRET))).unwrap();
    assert_eq!(device.recv(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The device sends a datagram to the server. Returns its socket and the source port on `mp0`.
fn ask(world: &World, tun: &mut File) -> (UdpSocket, u16) {
    world.device.enter();
    let device = UdpSocket::bind("192.168.1.50:0").unwrap();
    device.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut packet = [0; 1500];
    let found = (0..50).find_map(|_| {
        // Again, until the interface has its carrier.
        device.send_to(b"question", (SERVER, 443)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let length = tun.read(&mut packet).ok()?;
        (packet[9] == 17 && length >= 28).then(|| u16::from_be_bytes([packet[20], packet[21]]))
    });
    (device, found.expect("the question in mp0"))
}

/// Cells go by the tunnel's interface and come from it, whatever routes DHCP or a router advertisement sets.
#[test]
fn routes_of_the_provider_do_not_move_cells() {
    if !has_tun("routes_of_the_provider_do_not_move_cells") {
        return;
    }
    let world = World::new();
    world.router.enter();
    shell("ip tuntap add mpwg0 mode tun && ip addr add 10.77.0.2/32 dev mpwg0 && ip link set mpwg0 up");
    let _tun = attach("mpwg0");
    shell("ip route add 10.77.0.1/32 dev mpwg0 metric 50; sysctl -qw net.ipv4.conf.all.rp_filter=0");
    // DHCP option 121 (RFC 3442) can name any route.
    for route in ["10.77.0.1/32", "10.77.0.0/16", "0.0.0.0/1", "128.0.0.0/1"] {
        shell(&format!("ip route add {route} via 198.51.100.7 dev wan0"));
    }
    let (mut tunnel, mut wan) = (capture("mpwg0"), capture("wan0"));
    let socket = CellSocket::open("mpwg0", 9347, 0).unwrap();
    // Until the interface has its carrier.
    let sends = |_| {
        socket.send(SECRET, SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 9347)).unwrap();
        sent(&mut tunnel).len() == 1
    };
    assert!((0..20).any(sends));
    assert_eq!(sent(&mut wan), Vec::<Vec<u8>>::new());
    // A cell from outside the tunnel, with the peer's address and port.
    world.outside.enter();
    shell("ip addr add 10.77.0.1/32 dev wan1; ip route add 10.77.0.2/32 via 198.51.100.1 src 10.77.0.1");
    UdpSocket::bind("10.77.0.1:9347").unwrap().send_to(SECRET, "10.77.0.2:9347").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(socket.receive(&mut [0; 64]).unwrap(), None);
}

/// A route to the device by the WAN, as DHCP option 121 can set it, loses answers and shows none.
#[test]
fn routes_of_the_provider_catch_no_answer() {
    let Some((world, mut tun)) = home_with_tun("routes_of_the_provider_catch_no_answer") else { return };
    let (_device, port) = ask(&world, &mut tun);
    world.router.enter();
    for hijack in ["ip route add 192.168.1.50/32 via 198.51.100.7 dev wan0", "ip link set br-lan down"] {
        shell(hijack);
        let mut wan = capture("wan0");
        for _ in 0..5 {
            tun.write_all(&ipv4(SERVER, TUNNEL, 17, &udp(443, port, SECRET))).unwrap();
        }
        assert_eq!(sent(&mut wan), Vec::<Vec<u8>>::new(), "{hijack}");
    }
}

/// Packets that may be fragmented, as WireGuard's, stay whole: a forged report that a link is narrow has no effect,
/// whether it quotes the tunnel or a ping that nobody sent.
#[test]
fn forged_reports_of_a_narrow_link_split_no_tunnel_packet() {
    if !can_run("forged_reports_of_a_narrow_link_split_no_tunnel_packet") {
        return;
    }
    let [router, provider] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 7)];
    let [router6, provider6]: [Ipv6Addr; 2] = ["2001:db8::1", "2001:db8::7"].map(|address| address.parse().unwrap());
    let header6 = |protocol: u8| {
        [&[0x60, 0, 0, 0, 5, 0x50, protocol, 64][..], &router6.octets(), &provider6.octets(), &udp(51820, 51820, &[])]
            .concat()
    };
    let echo = [0, 0, 0, 0, 0, 1, 0, 1];
    for settings in [None, Some(example::endpoint())] {
        let mut world = World::new();
        world.settings = settings.unwrap_or(world.settings);
        world.install_guard();
        let [tunnel, tunnel6] =
            [router.into(), router6.into()].map(|own: IpAddr| UdpSocket::bind((own, 51820)).unwrap());
        for (protocol, quoted) in [(17, udp(51820, 51820, &[])), (1, echo.to_vec())] {
            let forged = icmp(3, 4, [0, 0, 0, 68], &ipv4(router, provider, protocol, &quoted));
            let lengths = lengths_after(&world, &tunnel, provider.into(), 972, &forged);
            assert_eq!(lengths, [1000], "{:?}, protocol {protocol}", world.settings.role);
        }
        for protocol in [17, 58] {
            let forged = icmp(2, 0, [0, 0, 5, 0], &header6(protocol));
            let lengths = lengths_after(&world, &tunnel6, provider6.into(), 1352, &forged);
            assert_eq!(lengths, [1400], "{:?}, protocol {protocol}", world.settings.role);
        }
    }
}

/// Lengths of the IP packets that carry a datagram of the tunnel after the provider's ICMP message `forged`.
fn lengths_after(world: &World, tunnel: &UdpSocket, provider: IpAddr, bytes: usize, forged: &[u8]) -> Vec<usize> {
    world.router.enter();
    let mut wan = capture("wan0");
    world.outside.enter();
    let (family, protocol) = match provider {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket::socket(family, SockType::Raw, SockFlag::empty(), protocol).unwrap();
    let to = SockaddrStorage::from(SocketAddr::new(tunnel.local_addr().unwrap().ip(), 0));
    socket::sendto(socket.as_raw_fd(), forged, &to, MsgFlags::empty()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    tunnel.send_to(&vec![0; bytes], (provider, 51820)).unwrap();
    let carries = |packet: &&Vec<u8>| matches!((packet[0] >> 4, packet[9], packet[6]), (4, 17, _) | (6, _, 17 | 44));
    sent(&mut wan).iter().filter(carries).map(Vec::len).collect()
}
