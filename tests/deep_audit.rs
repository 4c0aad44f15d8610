//! The search for packets that the router sends outside the tunnel and that quote a confined device: on a running
//! kernel, and on captures of real homes. The kernel tests need root and the kernel modules veth, bridge and nf_tables;
//! a line says what is skipped.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use common::namespace::{Namespace, shell};
use millpond::config::model::{DnsMode, Settings};
use millpond::core::quotes::{Identifier, QuoteDetector, QuoteKind};
use millpond::daemon::QuoteMonitor;
use millpond::lab::capture::{Frame, Mac, read};
use millpond::lab::trace::DataFolder;
use millpond::sys::capture::Test;
use millpond::units::{DeviceId, Nanos};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn};
use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

fn can_run(name: &str) -> bool {
    let probe = "unshare -n sh -c 'ip link add veth0 type veth peer name veth1 && ip link add bridge0 type bridge && \
        nft \"table ip t { chain c { type nat hook postrouting priority srcnat; masquerade; }; }\"'";
    let can_run = nix::unistd::geteuid().is_root()
        && std::process::Command::new("sh").args(["-c", probe]).output().is_ok_and(|output| output.status.success());
    if !can_run {
        println!("skipped {name}: not root, or nftables, veth or bridge is missing here");
    }
    can_run
}

const CAMERA: &str = "18:b4:30:26:34:40";
const TELEPHONE: &str = "74:2f:68:81:69:42";
/// A host on the Internet, with three addresses: a server, a resolver, and one that the camera forges.
const SERVER: &str = "198.51.100.7";
const RESOLVER: &str = "198.51.100.53";
const FORGED: &str = "198.51.100.99";

/// A camera that is shaped, a telephone that is left alone, the router, and the Internet.
struct Home {
    camera: Namespace,
    telephone: Namespace,
    router: Namespace,
    outside: Namespace,
    settings: Settings,
}

impl Home {
    fn new() -> Home {
        let (outside, router) = (Namespace::new(), Namespace::new());
        let (camera, telephone) = (Namespace::new(), Namespace::new());
        outside.enter();
        shell("ip link set lo up; ip link add wan1 type veth peer name wan0; ip link set wan1 up");
        for address in [SERVER, RESOLVER, FORGED] {
            shell(&format!("ip addr add {address}/24 dev wan1"));
        }
        router.move_in("wan0");
        router.enter();
        shell("ip link set lo up; ip link set wan0 up; ip addr add 198.51.100.1/24 dev wan0");
        shell(&format!("ip route add default via {SERVER}; ip link add br-lan type bridge; ip link set br-lan up"));
        shell("ip addr add 192.168.1.1/24 dev br-lan; ip link add tv type veth peer name lan1");
        shell("ip link add port type veth peer name lan0; ip link set port master br-lan up");
        shell("ip link set tv master br-lan up; sysctl -qw net.ipv4.ip_forward=1");
        shell("for i in all default br-lan wan0; do sysctl -qw net.ipv4.conf.$i.rp_filter=0; done");
        shell(
            "nft 'table ip nat { chain c { type nat hook postrouting priority srcnat; oifname wan0 masquerade; }; }'",
        );
        for (device, interface, mac, address) in
            [(&camera, "lan0", CAMERA, "192.168.1.50"), (&telephone, "lan1", TELEPHONE, "192.168.1.60")]
        {
            router.enter();
            device.move_in(interface);
            device.enter();
            shell(&format!("ip link set lo up; ip link set {interface} address {mac} up"));
            shell(&format!("ip addr add {address}/24 dev {interface}; ip route add default via 192.168.1.1"));
        }
        camera.enter();
        shell(&format!("ip addr add {FORGED}/32 dev lan0; ip link set lan0 multicast off"));
        Home { camera, telephone, router, outside, settings: common::router([1; 32], [2; 32]) }
    }

    /// Starts to watch on the router. The tunnel is UDP to port 51820.
    fn monitor(&self) -> QuoteMonitor {
        self.router.enter();
        let test = |at, size, value| Test { at, size, mask: u32::MAX, value };
        let tunnel = vec![vec![test(0, 1, 0x45), test(9, 1, 17), test(22, 2, 51820)]];
        QuoteMonitor::open(&self.settings, tunnel).unwrap()
    }

    fn udp(&self, place: &Namespace, from: &str) -> UdpSocket {
        place.enter();
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket
    }

    /// Sends a ping from an address.
    fn ping(&self, place: &Namespace, from: &str, to: &str, content: &[u8]) {
        place.enter();
        let flags = SockFlag::empty();
        let socket = socket::socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp).unwrap();
        let end = |address: &str| {
            SockaddrIn::from(
                SocketAddr::new(address.parse().unwrap(), 0).to_string().parse::<std::net::SocketAddrV4>().unwrap(),
            )
        };
        socket::bind(socket.as_raw_fd(), &end(from)).unwrap();
        let mut message = [&[8, 0, 0, 0, 0x12, 0x34, 0, 1], content].concat();
        let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b)));
        let sum: u32 = words.sum();
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        socket::sendto(socket.as_raw_fd(), &message, &end(to), MsgFlags::empty()).unwrap();
    }

    /// The router's program opens a connection to the server and sends these bytes.
    fn router_sends(&self, bytes: &[u8]) {
        self.outside.enter();
        let server = TcpListener::bind((SERVER, 8443)).unwrap();
        self.router.enter();
        let mut stream = TcpStream::connect((SERVER, 8443)).unwrap();
        stream.write_all(bytes).unwrap();
        server.accept().unwrap().0.read_exact(&mut vec![0; bytes.len()]).unwrap();
    }
}

/// What was found, as (device, kind, service), after everything that has passed.
fn found(monitor: &mut QuoteMonitor) -> Vec<(String, QuoteKind, String)> {
    std::thread::sleep(Duration::from_millis(200));
    while monitor.handle_packets().unwrap() {}
    monitor.findings().into_iter().map(|found| (found.device, found.kind, found.service)).collect()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    println!("seed {seed}");
    let mut bytes = vec![0; length];
    ChaCha12Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn camera(kind: QuoteKind, service: &str) -> Vec<(String, QuoteKind, String)> {
    vec![("camera".to_owned(), kind, service.to_owned())]
}

/// Its echo reply leaves by the WAN, and a refusal quotes the camera's header there.
#[test]
fn answers_to_a_forged_address_are_found() {
    if !can_run("answers_to_a_forged_address_are_found") {
        return;
    }
    let home = Home::new();
    let mut monitor = home.monitor();
    home.ping(&home.camera, FORGED, "192.168.1.1", &[0; 48]);
    assert_eq!(found(&mut monitor), camera(QuoteKind::Answer, "ICMP"));
    let mut monitor = home.monitor();
    // Nobody listens: port unreachable, with the header and four bytes.
    home.udp(&home.camera, &format!("{FORGED}:0")).send_to(&[0; 4], "192.168.1.1:9").unwrap();
    assert_eq!(found(&mut monitor), camera(QuoteKind::Header, "ICMP"));
}

#[test]
fn a_resolver_and_a_proxy_on_the_router_are_found() {
    if !can_run("a_resolver_and_a_proxy_on_the_router_are_found") {
        return;
    }
    let mut home = Home::new();
    let resolver = home.udp(&home.router, "192.168.1.1:53");
    let upstream = home.udp(&home.router, "0.0.0.0:0");
    for (mode, expected) in [(DnsMode::Tunnel, camera(QuoteKind::Name, "UDP port 53")), (DnsMode::Router, vec![])] {
        home.settings.dns.mode = mode;
        let mut monitor = home.monitor();
        let name = question("device-7a31.example.com");
        home.udp(&home.camera, "192.168.1.50:0").send_to(&name, "192.168.1.1:53").unwrap();
        let mut query = [0; 128];
        let length = resolver.recv(&mut query).unwrap();
        // A resolver uses a number of its own.
        query[0] ^= 0x55;
        upstream.send_to(&query[..length], (RESOLVER, 53)).unwrap();
        assert_eq!(found(&mut monitor), expected, "{mode:?}");
    }
    let mut monitor = home.monitor();
    home.router.enter();
    let proxy = TcpListener::bind("192.168.1.1:3128").unwrap();
    home.camera.enter();
    let mut stream = TcpStream::connect("192.168.1.1:3128").unwrap();
    stream.write_all(&noise(1, 517)).unwrap();
    let mut hello = vec![0; 517];
    proxy.accept().unwrap().0.read_exact(&mut hello).unwrap();
    home.router_sends(&[b"a header of the proxy's own: ", &hello[..]].concat());
    assert_eq!(found(&mut monitor), camera(QuoteKind::Content, "TCP port 8443"));
}

/// Also if masquerading hides whose packet it was.
#[test]
fn a_forwarded_packet_is_found_behind_address_translation() {
    if !can_run("a_forwarded_packet_is_found_behind_address_translation") {
        return;
    }
    let home = Home::new();
    let mut monitor = home.monitor();
    home.udp(&home.camera, "192.168.1.50:0").send_to(&[0; 4], (SERVER, 32100)).unwrap();
    assert_eq!(found(&mut monitor), camera(QuoteKind::Connection, "UDP port 32100"));
}

/// Everybody's traffic passes as it should: the camera's packets end at the router or in the tunnel, and the telephone
/// uses the same servers, names and texts as the camera.
#[test]
fn a_correct_router_is_not_accused() {
    if !can_run("a_correct_router_is_not_accused") {
        return;
    }
    let home = Home::new();
    home.router.enter();
    shell(&format!(
        "nft 'table inet g {{ chain c {{ type filter hook forward priority 0; ether saddr {CAMERA} drop; }}; }}'"
    ));
    let mut monitor = home.monitor();
    let request = b"POST /v1/status HTTP/1.1\r\nHost: api.example.com\r\nAccept-Encoding: gzip, deflate\r\n\r\n{}";
    let secret = noise(2, 300);
    let resolver = home.udp(&home.router, "192.168.1.1:53");
    let upstream = home.udp(&home.router, "0.0.0.0:0");
    let tunnel = home.udp(&home.router, "0.0.0.0:0");
    for round in 0..5u8 {
        for (place, address) in [(&home.telephone, "192.168.1.60:0"), (&home.camera, "192.168.1.50:0")] {
            let device = home.udp(place, address);
            device.send_to(&question("pool.ntp.org"), "192.168.1.1:53").unwrap();
            device.send_to(request, (SERVER, 8080)).unwrap();
            device.send_to(&[0; 48], (SERVER, 123)).unwrap();
        }
        home.udp(&home.camera, "192.168.1.50:0").send_to(&secret, (SERVER, 443)).unwrap();
        // Both questions have arrived.
        (0..2).for_each(|_| assert!(resolver.recv(&mut [0; 64]).unwrap() > 12));
        // The telephone's question goes on; the camera's gets no answer here.
        upstream.send_to(&question("pool.ntp.org"), (RESOLVER, 53)).unwrap();
        home.ping(&home.camera, "192.168.1.50", "192.168.1.1", &(0x10..0x38).collect::<Vec<u8>>());
        // The router's own ping has the same pattern; its cells are not looked at.
        home.ping(&home.router, "198.51.100.1", SERVER, &(0x10..0x38).collect::<Vec<u8>>());
        tunnel.send_to(&secret, (SERVER, 51820)).unwrap();
        home.router_sends(&[request, &[round][..]].concat());
        assert_eq!(found(&mut monitor), [], "round {round}");
    }
    home.ping(&home.camera, FORGED, "192.168.1.1", &[0; 48]);
    assert_eq!(found(&mut monitor).len(), 1, "the monitor has stopped to see");
}

/// One device of a capture of a whole home is confined, the others are not; their packets leave with the router's
/// address. Nothing may be found. Then the confined device's own packets leave so, by another connection each.
#[test]
fn devices_of_a_real_home_are_not_mistaken_for_each_other() {
    let Some(data) = DataFolder::find() else {
        println!("skipped devices_of_a_real_home_are_not_mistaken_for_each_other: no captures");
        return;
    };
    let mut captures = data.matching("smart-home-firewall/all-devices/*/*.pcap").unwrap();
    captures.retain(|path| path.file_name().is_some_and(|name| name != "wan.pcap"));
    if captures.is_empty() {
        println!("skipped devices_of_a_real_home_are_not_mistaken_for_each_other: no capture of a whole home");
        return;
    }
    let mut packets: Vec<_> = captures.iter().flat_map(|path| packets_out(path)).collect();
    packets.sort_by_key(|(at, ..)| *at);
    let mut of_device: BTreeMap<Mac, usize> = BTreeMap::new();
    packets.iter().for_each(|(_, mac, _)| *of_device.entry(*mac).or_default() += 1);
    of_device.retain(|_, count| *count >= 200);
    assert!(of_device.len() >= 3, "{of_device:?}");
    let (mut judged, mut wrong, mut seen) = (0u64, BTreeMap::new(), Vec::new());
    for confined in of_device.keys() {
        let detector = || QuoteDetector::new([(Identifier::Mac(confined.0), DeviceId(1))]);
        let (mut others, mut own) = (detector(), detector());
        let mut leaks = 0;
        for (at, mac, packet) in &packets {
            if mac == confined {
                others.note_confined(*at, DeviceId(1), packet, true);
                own.note_confined(*at, DeviceId(1), packet, true);
                let copy = translated(packet, true);
                leaks += u32::from(own.judge(*at + Nanos::from_millis(5), &copy).is_some());
            } else {
                others.note_other(packet);
                judged += 1;
                if let Some(quote) = others.judge(*at + Nanos::from_millis(5), &translated(packet, false)) {
                    *wrong.entry((*confined, quote.kind.name(), quote.service)).or_insert(0u64) += 1;
                }
            }
        }
        seen.push((*confined, leaks, of_device[confined]));
    }
    println!("{judged} packets judged, of {} devices; taken for another's: {wrong:?}; own: {seen:?}", of_device.len());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(seen.iter().all(|(_, leaks, _)| *leaks > 0), "{seen:?}");
}

/// The IP packets that a capture's devices send to the Internet, with their times and senders.
fn packets_out(path: &std::path::Path) -> Vec<(Nanos, Mac, Vec<u8>)> {
    let mut packets = Vec::new();
    let reading = read(path, |captured| {
        let frame = Frame::parse(captured.link, captured.data).ok_or("no frame")?;
        let (Some(sender), Some(ip)) = (frame.source, frame.ip()) else { return Err("no sender, or no IP") };
        let is_home = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unique_local() || v6.is_multicast(),
        };
        if is_home(ip.source) && !is_home(ip.destination) {
            packets.push((Nanos(captured.time_ns), sender, frame.payload.to_vec()));
        }
        Ok(())
    });
    reading.unwrap();
    packets
}

/// The packet with the router's own address, as IPv4 leaves a home; with `other_connection` also with other ports.
fn translated(packet: &[u8], other_connection: bool) -> Vec<u8> {
    let mut copy = packet.to_vec();
    if copy[0] >> 4 == 4 {
        copy[12..16].copy_from_slice(&[198, 51, 100, 1]);
    }
    if other_connection && copy.len() > 24 {
        copy[20] ^= 0x55;
    }
    copy
}
