//! The running kernel: both roles in two connected network namespaces. Needs root and the modules wireguard, sch_htb,
//! sch_prio, tun, nf_tables and veth, so a plain `cargo test` does not include it: the laboratory's scenario `kernel`
//! runs it.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use millpond::apply::{Kernel, apply, apply_guard};
use millpond::plan::ownership::CELL_PORT;
use millpond::plan::qdisc_tree::{COVER_PRIORITY, DATA_PRIORITY, ShaperLimits};
use millpond::plan::routing::Prefix;
use millpond::plan::{Desired, Facts, Forwarding, Op, Snapshot, guard_table};
use millpond::sys::Tun;
use millpond::sys::kernel::LinuxKernel;
use millpond::sys::udp::{CellSocket, ReceiveBuffer};
use millpond::units::BitsPerSec;

use common::namespace::{Namespace, shell};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};

const ROUTER_PRIVATE: &str = "a08419c817139a96094fe46219610143794f5ef74983d6cd78bda5efd454ae66";
const ROUTER_PUBLIC: &str = "b693e6d220ca1ea4a664292bea1e20d39bd5b39f8b03592d82a81c688b34d363";
const ENDPOINT_PRIVATE: &str = "18f2b53300150af1c184b22aaf44e8bcce8f7cad072b0d806cf7bb7300ed4367";
const ENDPOINT_PUBLIC: &str = "2b610cf6a44a0a9c84ea60f0476dd4a1b07626018acc69643b6f69b57017c409";

fn key(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn limits() -> ShaperLimits {
    ShaperLimits { data_limit: 16, cover_limit: 16, ..common::limits() }
}

fn router(facts: &Facts, limits: &ShaperLimits) -> Desired {
    let settings = common::router(key(ROUTER_PRIVATE), key(ENDPOINT_PUBLIC));
    Desired::from_settings(&settings, facts, limits).unwrap()
}

fn facts(kernel: &mut LinuxKernel, settings: &millpond::config::model::Settings) -> Facts {
    let facts = kernel.facts(settings, &Facts::default(), false).unwrap();
    Facts { tunnel: common::facts().tunnel, ..facts }
}

/// Installs the router's guard without a tunnel. A second application must find nothing to do.
fn set_guard(kernel: &mut LinuxKernel, facts: &Facts) {
    let wanted = guard_table(&common::router(key(ROUTER_PRIVATE), key(ENDPOINT_PUBLIC)), facts);
    apply_guard(kernel, Some(&wanted)).unwrap();
    assert_eq!(apply_guard(kernel, Some(&wanted)).unwrap().ops, []);
}

fn endpoint() -> Desired {
    let settings = common::endpoint(key(ENDPOINT_PRIVATE), key(ROUTER_PUBLIC));
    Desired::from_settings(&settings, &Facts::default(), &limits()).unwrap()
}

/// Checks that all of millpond's objects are removed and that the host's forwarding is as before.
fn assert_removed(kernel: &mut LinuxKernel, before: &Snapshot) {
    assert_eq!(kernel.snapshot().unwrap(), *before);
    for command in ["ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all", "nft list tables"]
    {
        let found = shell(command);
        assert!(
            !found.contains("28016") && !found.contains("mp0") && !found.contains("millpond"),
            "{command}: {found}"
        );
    }
}

fn receive(socket: &CellSocket) -> Option<(usize, SocketAddrV4)> {
    let mut buffer = [0; 2048];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if let Some(received) = socket.receive(&mut buffer).unwrap() {
            return Some(received);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn both_ends_are_set_up_carry_only_cells_and_leave_nothing() {
    let (far, near) = (Namespace::new(), Namespace::new());
    let mut home = wire_up(&far, &near);
    let facts = facts(&mut home, &common::router([0; 32], [0; 32]));
    assert_eq!(facts.lan.iter().map(|lan| lan.name.as_str()).collect::<Vec<_>>(), ["br-lan"]);
    let home_before = home.snapshot().unwrap();
    let desired = router(&facts, &limits());
    let applied = apply(&mut home, &desired).unwrap();
    assert!(!applied.ops.is_empty());
    assert_eq!(apply(&mut home, &desired).unwrap().ops, []);
    let home_tun = home.take_tun().unwrap();
    show();
    let home_socket = CellSocket::open("mpwg0", CELL_PORT, DATA_PRIORITY).unwrap();

    far.enter();
    let mut server = LinuxKernel::open().unwrap();
    let server_before = server.snapshot().unwrap();
    apply(&mut server, &endpoint()).unwrap();
    assert_eq!(apply(&mut server, &endpoint()).unwrap().ops, []);
    let server_tun = server.take_tun().unwrap();
    show();
    let server_socket = CellSocket::open("mpwg0", CELL_PORT, DATA_PRIORITY).unwrap();
    let (at_home, at_server) = ("10.77.0.2:9347".parse().unwrap(), "10.77.0.1:9347".parse().unwrap());

    // Strays are dropped before WireGuard sees them, before the first handshake and after it, so none reaches the wire.
    near.enter();
    let quiet = wire_packets();
    strays();
    assert_eq!(wire_packets(), quiet, "a stray reached the wire");

    home_socket.send(&[7; 420], at_server).unwrap();
    assert_eq!(receive(&server_socket), Some((420, at_home)), "data cell up");
    server_socket.send(&[8; 420], at_home).unwrap();
    assert_eq!(receive(&home_socket), Some((420, at_server)), "data cell down");
    near.enter();
    CellSocket::open("mpwg0", 0, COVER_PRIORITY).unwrap().send(&[7; 420], at_server).unwrap();
    assert_eq!(receive(&server_socket).map(|(length, _)| length), Some(420), "cover cell up");
    assert!(home.peers().unwrap()[0].last_handshake_s > 0);
    let busy = wire_packets();
    strays();
    assert_eq!(wire_packets(), busy, "a stray reached the wire beside the cells");

    // Without the qdisc tree the same strays reach the wire: the counts above can detect them.
    shell("tc qdisc del dev mpwg0 root");
    strays();
    assert!(wire_packets() > busy, "the control experiment shows nothing");
    while server_socket.receive(&mut [0; 2048]).unwrap().is_some() {}
    apply(&mut home, &desired).unwrap();

    // A new rate and a new limit change exactly two objects.
    let faster = ShaperLimits { rate: BitsPerSec::from_kbit(1280), cover_limit: 3, ..limits() };
    let applied = apply(&mut home, &router(&facts, &faster)).unwrap();
    let ops: Vec<String> = applied.ops.iter().map(|op| op.to_string()).collect();
    assert!(ops.len() == 2 && ops[0].starts_with("tc class change") && ops[1].ends_with("limit 3"), "{ops:?}");

    // The paper's method: HTB paces by bytes on the wire. 160 kbit/s is one cell of 508 bytes every 25.4 ms. The first
    // two of ten cells may leave at once, because the bucket is full.
    let pacer = ShaperLimits { rate: BitsPerSec::from_kbit(160), burst_cells: 1, ..limits() };
    apply(&mut home, &router(&facts, &pacer)).unwrap();
    let start = Instant::now();
    for _ in 0..10 {
        home_socket.send(&[7; 420], at_server).unwrap();
    }
    (0..10).for_each(|cell| assert!(receive(&server_socket).is_some(), "cell {cell}"));
    let took = start.elapsed();
    assert!(took > Duration::from_micros(7 * 25_400), "HTB let ten cells through in {took:?}");

    assert_repairs(&mut home, &router(&facts, &faster));
    drop(home_tun);
    apply(&mut home, &Desired::nothing()).unwrap();
    assert_removed(&mut home, &home_before);
    far.enter();
    drop(server_tun);
    apply(&mut server, &Desired::nothing().restoring_forwarding(&Forwarding::of(&server_before))).unwrap();
    assert_removed(&mut server, &server_before);
}

/// WireGuard gets a segment list as one packet and cuts it: on the wire are the same sizes as with one datagram for
/// each cell, and WireGuard's counters ascend. The cells arrive in their order, joined or not.
#[test]
fn wireguard_sends_a_segment_list_as_its_cells() {
    let (far, near) = (Namespace::new(), Namespace::new());
    let mut home = wire_up(&far, &near);
    let facts = facts(&mut home, &common::router([0; 32], [0; 32]));
    let wide = ShaperLimits { data_limit: 128, burst_cells: 256, ..limits() };
    apply(&mut home, &router(&facts, &wide)).unwrap();
    let socket = CellSocket::open("mpwg0", CELL_PORT, DATA_PRIORITY).unwrap();
    far.enter();
    let mut server = LinuxKernel::open().unwrap();
    apply(&mut server, &endpoint()).unwrap();
    let receiver = CellSocket::open("mpwg0", CELL_PORT, DATA_PRIORITY).unwrap();
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let tap = socket::socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll).unwrap();
    let to = "10.77.0.1:9347".parse().unwrap();
    socket.send(&[0; 420], to).unwrap();
    assert!(receive(&receiver).is_some(), "the first handshake");
    let mut buffer = ReceiveBuffer::default();
    for (has_lists, joins) in [(true, true), (true, false), (false, true), (false, false)] {
        if !has_lists {
            socket.disable_segments();
        }
        receiver.join_arrivals(joins);
        assert!(!has_lists || socket.has_segments(), "the kernel takes lists");
        wireguard_counters(&tap);
        for train in [64, 45, 2] {
            let sent: Vec<u8> = (0..train * 420).map(|byte| (byte / 420 + byte % 251) as u8).collect();
            socket.send_train(&sent, 420, to).unwrap();
            let (mut received, mut calls, start) = (Vec::new(), 0, Instant::now());
            while received.len() < sent.len() && start.elapsed() < Duration::from_secs(10) {
                calls += usize::from(receiver.receive_train(&mut buffer).unwrap());
                while let Some((cell, _)) = buffer.next_cell() {
                    received.extend_from_slice(cell);
                }
            }
            assert!(received == sent, "{train} cells, lists {has_lists}, joined {joins}: {}", received.len() / 420);
            let on_wire = wireguard_counters(&tap);
            println!("{train} cells, lists {has_lists}, joined {joins}: {calls} calls, {on_wire:?}");
            assert_eq!(on_wire.len(), train);
            assert!(on_wire.iter().all(|(bytes, _)| *bytes == 508), "one size: {on_wire:?}");
            assert!(on_wire.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "in order: {on_wire:?}");
        }
    }
}

/// Length and counter of each WireGuard data message that has passed this end of the wire (its paper, section 5.4.6).
fn wireguard_counters(tap: &OwnedFd) -> Vec<(usize, u64)> {
    let mut buffer = [0; 65_536];
    let mut seen = Vec::new();
    while let Ok(length) = socket::recv(tap.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        let is_data = buffer[0] == 0x45 && buffer[9] == 17 && buffer[28..32] == [4, 0, 0, 0];
        if is_data {
            seen.push((length, u64::from_le_bytes(buffer[36..44].try_into().unwrap())));
        }
    }
    seen
}

/// A kernel drops the IPv6 addresses of an interface that goes down.
#[test]
fn ends_with_ipv6_leave_nothing() {
    let (far, near) = (Namespace::new(), Namespace::new());
    let mut kernel = wire_up(&far, &near);
    let before = kernel.snapshot().unwrap();
    let router = common::router(key(ROUTER_PRIVATE), key(ENDPOINT_PUBLIC));
    for mut settings in [router, common::endpoint(key(ENDPOINT_PRIVATE), key(ROUTER_PUBLIC))] {
        settings.address6 = "fd77::2".parse().ok();
        let facts = facts(&mut kernel, &settings);
        apply(&mut kernel, &Desired::from_settings(&settings, &facts, &limits()).unwrap()).unwrap();
        assert!(shell("ip -6 addr").contains("fd77::2"));
        drop(kernel.take_tun());
        apply(&mut kernel, &Desired::nothing().restoring_forwarding(&Forwarding::of(&before))).unwrap();
        assert_removed(&mut kernel, &before);
    }
}

#[test]
fn what_is_gone_needs_no_removal() {
    let _namespace = Namespace::new();
    let mut kernel = LinuxKernel::open().unwrap();
    shell("ip link add mpwg0 type dummy && ip link set mpwg0 up");
    let address = Prefix { address: "fd77::2".parse().unwrap(), length: 128 };
    for dev in ["mpwg0", "nowhere"] {
        kernel.run(&Op::DeleteAddress { dev: dev.into(), address }).unwrap();
    }
    kernel.run(&Op::DeleteLink { name: "nowhere".into() }).unwrap();
    assert!(kernel.run(&Op::SetUp { name: "nowhere".into(), up: true }).is_err());
}

/// The next packet that the kernel routes into mp0.
fn next_routed(tun: &Tun) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        match tun.receive(&mut buffer).unwrap() {
            Some((length, _)) => return Some(buffer[..length].to_vec()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    None
}

/// Source, destination, DSCP and UDP destination port of an IPv4 packet without IP options.
fn summary(packet: &[u8]) -> (Ipv4Addr, Ipv4Addr, u8, u16) {
    let address = |i: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[i..i + 4]).unwrap());
    (address(12), address(16), packet[1] >> 2, u16::from_be_bytes([packet[22], packet[23]]))
}

/// Checks that a connection is rejected by ICMP instead of timing out.
fn assert_rejected(server: &str) {
    let error = TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(10)).unwrap_err();
    let unreachable = [Some(libc::ENETUNREACH), Some(libc::EHOSTUNREACH)];
    assert!(unreachable.contains(&error.raw_os_error()), "{server}: {error}");
}

#[test]
fn shaped_devices_reach_the_tunnel_and_nothing_else() {
    let (far, near, device) = (Namespace::new(), Namespace::new(), Namespace::new());
    let mut home = wire_up(&far, &near);
    device.move_in("lan0");
    shell(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip addr add fd00:77::1/64 dev br-lan nodad",
    );
    let settings = common::router(key(ROUTER_PRIVATE), key(ENDPOINT_PUBLIC));
    let facts = facts(&mut home, &settings);
    set_guard(&mut home, &facts);
    apply(&mut home, &router(&facts, &limits())).unwrap();
    let tun = home.take_tun().unwrap();

    device.enter();
    shell("ip link set lo up; ip link set lan0 address 18:b4:30:26:34:40; ip link set lan0 up");
    shell("ip addr add 192.168.1.50/24 dev lan0; ip route add default via 192.168.1.1");
    shell("ip addr add fd00:77::50/64 dev lan0 nodad; ip -6 route add default via fd00:77::1");
    let here: Ipv4Addr = [10, 77, 0, 2].into();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(b"hello", "198.51.100.7:7").unwrap();
    assert_eq!(
        next_routed(&tun).map(|p| summary(&p)),
        Some((here, [198, 51, 100, 7].into(), 1, 7)),
        "the first device"
    );
    // DNS queries to any server, also to the router, go to the chosen server.
    for server in ["192.168.1.1:53", "192.0.2.53:53"] {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"query", server).unwrap();
        assert_eq!(next_routed(&tun).map(|p| summary(&p)), Some((here, [9, 9, 9, 9].into(), 1, 53)), "{server}");
    }
    // IPv6 is rejected, so that the device falls back to IPv4 at once.
    assert_rejected("[2001:db8::7]:7");

    // Without mp0 the device receives an ICMP error, and nothing reaches the wire.
    near.enter();
    drop(tun);
    let quiet = wire_packets();
    device.enter();
    assert_rejected("198.51.100.8:7");
    near.enter();
    assert_eq!(wire_packets(), quiet);

    // Even without the rules, the guard confines the device. A device that the settings do not name reaches the wire.
    shell("ip rule del priority 910");
    device.enter();
    UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"hello", "198.51.100.8:7").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    near.enter();
    assert_eq!(wire_packets(), quiet);
    device.enter();
    shell("ip link set lan0 down; ip link set lan0 address 02:00:00:00:00:77; ip link set lan0 up");
    shell("ip route add default via 192.168.1.1");
    UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"hello", "198.51.100.7:7").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    near.enter();
    assert!(wire_packets() > quiet, "the control experiment shows nothing");
}

/// Connects the two namespaces, and creates a LAN and a default route in `near`. Ends in `near`.
///
/// Neighbour entries are permanent and IPv6 is off between the namespaces, so that only the tunnel sends there.
fn wire_up(far: &Namespace, near: &Namespace) -> LinuxKernel {
    far.enter();
    shell("ip link set lo up; ip link add wan1 type veth peer name wan0");
    shell("sysctl -qw net.ipv6.conf.wan1.disable_ipv6=1; ip link set wan1 address 02:00:00:00:00:01");
    shell("ip addr add 203.0.113.9/24 dev wan1; ip link set wan1 up");
    shell("ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:02 dev wan1 nud permanent");
    near.move_in("wan0");
    near.enter();
    shell(
        "ip link set lo up; sysctl -qw net.ipv6.conf.wan0.disable_ipv6=1; ip link set wan0 address 02:00:00:00:00:02",
    );
    shell("ip addr add 203.0.113.1/24 dev wan0; ip link set wan0 up; ip route add default via 203.0.113.9");
    shell("ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:01 dev wan0 nud permanent");
    shell(
        "ip link add br-lan type bridge; ip link add port type veth peer name lan0; ip link set port master br-lan up",
    );
    shell("ip addr add 192.168.1.1/24 dev br-lan; ip link set br-lan up");
    LinuxKernel::open().unwrap()
}

/// Sends packets that are not cells into the tunnel: from sockets like those of the cells with ordinary priorities, and
/// from an ordinary socket.
fn strays() {
    let other = UdpSocket::bind("10.77.0.2:0").unwrap();
    for priority in [0, 6, 15] {
        let like_cells = CellSocket::open("mpwg0", 0, priority).unwrap();
        like_cells.send(&[9; 420], "10.77.0.1:9347".parse().unwrap()).unwrap();
        other.send_to(&[9; 100], "10.77.0.1:9").unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
}

/// Prints the output of the usual tools, for runs with `--nocapture`.
fn show() {
    for command in [
        "tc qdisc show dev mpwg0; tc class show dev mpwg0",
        "wg show mpwg0 allowed-ips; ip -br addr; ip rule; ip -6 rule",
        "ip route show table all | grep -v 'table local'; ip -6 route show table 28016 || true",
        "nft list ruleset; sysctl net.ipv4.ip_forward net.ipv4.conf.mpwg0.rp_filter net.ipv6.conf.mpwg0.disable_ipv6",
    ] {
        println!("# {command}\n{}", shell(command));
    }
}

/// Number of packets that the home's WAN interface has sent.
fn wire_packets() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("wan0:")).unwrap();
    line.split_whitespace().nth(9).unwrap().parse().unwrap()
}

/// Checks that objects that other programs remove or change are restored.
fn assert_repairs(kernel: &mut LinuxKernel, desired: &Desired) {
    for damage in [
        "ip rule del priority 910",
        "ip -6 rule del priority 910",
        "ip route del unreachable default table 28016",
        "ip route del 10.77.0.1/32 dev mpwg0",
        "ip addr del 10.77.0.2/32 dev mpwg0",
        "tc qdisc del dev mpwg0 root",
        "tc qdisc del dev mpwg0 parent 10:3",
        "tc qdisc replace dev mpwg0 root handle 9: pfifo limit 5",
        "wg set mpwg0 peer $(wg show mpwg0 peers) remove",
        "nft flush ruleset",
        "nft flush chain inet millpond_tunnel select",
        "nft delete element inet millpond_tunnel shape_mac '{ 18:b4:30:26:34:40 }'",
        "ip link set mpwg0 down",
        "ip link set mpwg0 mtu 1300",
        "sysctl -qw net.ipv4.conf.mpwg0.rp_filter=1",
        "ip link del mpwg0",
    ] {
        shell(damage);
        let applied = apply(kernel, desired).unwrap_or_else(|error| panic!("after {damage}: {error}"));
        assert!(!applied.ops.is_empty(), "{damage} was not detected");
        assert_eq!(apply(kernel, desired).unwrap().ops, [], "after {damage}");
    }
}
