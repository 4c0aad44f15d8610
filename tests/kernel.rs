//! The running kernel: both roles in two network namespaces joined by a wire. Needs root and the modules wireguard,
//! sch_htb, sch_prio, tun, nf_tables and veth; what is missing is named and the test skipped, unless
//! `MILLPOND_REQUIRE_KERNEL` is set.

mod common;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use millpond::apply::{Kernel, apply};
use millpond::plan::ownership::CELL_PORT;
use millpond::plan::tree::{COVER_PRIORITY, DATA_PRIORITY, Guard};
use millpond::plan::{Desired, Facts, Snapshot};
use millpond::sys::kernel::System;
use millpond::sys::udp::CellSocket;
use millpond::units::BitsPerSec;
use nix::sched::{CloneFlags, setns, unshare};

const ROUTER_PRIVATE: &str = "a08419c817139a96094fe46219610143794f5ef74983d6cd78bda5efd454ae66";
const ROUTER_PUBLIC: &str = "b693e6d220ca1ea4a664292bea1e20d39bd5b39f8b03592d82a81c688b34d363";
const ENDPOINT_PRIVATE: &str = "18f2b53300150af1c184b22aaf44e8bcce8f7cad072b0d806cf7bb7300ed4367";
const ENDPOINT_PUBLIC: &str = "2b610cf6a44a0a9c84ea60f0476dd4a1b07626018acc69643b6f69b57017c409";

fn key(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// A network namespace of this test's own.
struct Namespace(File);

impl Namespace {
    fn new() -> Namespace {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        Namespace(File::open("/proc/thread-self/ns/net").unwrap())
    }

    fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the test can run here; says why not.
fn is_possible(test: &str) -> bool {
    let missing = if !nix::unistd::geteuid().is_root() {
        Some("root".to_owned())
    } else {
        let probes = [
            ("wireguard", "ip link add probe0 type wireguard && ip link del probe0"),
            ("sch_htb", "tc qdisc add dev lo root handle 1: htb && tc qdisc del dev lo root"),
            ("sch_prio", "tc qdisc add dev lo root handle 1: prio && tc qdisc del dev lo root"),
            ("veth", "ip link add probe1 type veth peer name probe2 && ip link del probe1"),
            ("nf_tables", "nft list tables"),
            ("tun", "test -c /dev/net/tun"),
        ];
        let script = |probe: &str| format!("unshare -n sh -c 'ip link set lo up && {probe}' >/dev/null 2>&1");
        let fails = |probe: &str| !Command::new("sh").args(["-c", &script(probe)]).status().is_ok_and(|s| s.success());
        probes.iter().find(|(_, probe)| fails(probe)).map(|(module, _)| format!("kernel module {module}"))
    };
    if let Some(missing) = &missing {
        assert!(std::env::var_os("MILLPOND_REQUIRE_KERNEL").is_none(), "{test}: no {missing}");
        eprintln!("skipped {test}: no {missing}");
    }
    missing.is_none()
}

fn guard() -> Guard {
    Guard { data_limit: 16, cover_limit: 16, ..common::guard() }
}

fn router(facts: &Facts, guard: &Guard) -> Desired {
    let settings = common::router(key(ROUTER_PRIVATE), key(ENDPOINT_PUBLIC));
    Desired::from_settings(&settings, facts, guard).unwrap()
}

fn endpoint() -> Desired {
    let settings = common::endpoint(key(ENDPOINT_PRIVATE), key(ROUTER_PUBLIC));
    Desired::from_settings(&settings, &Facts::default(), &guard()).unwrap()
}

/// What is left after everything of ours is withdrawn: the machine's own forwarding and nothing else.
fn assert_bare(kernel: &mut System, before: &Snapshot) {
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

/// The sockets of one end, for data and for cover.
fn sockets() -> (CellSocket, CellSocket) {
    let open = |port, priority| CellSocket::open("mpwg0", port, priority).unwrap();
    (open(CELL_PORT, DATA_PRIORITY), open(0, COVER_PRIORITY))
}

fn receive(socket: &CellSocket) -> Option<(usize, Ipv4Addr)> {
    let mut buffer = [0; 2048];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if let Some((length, from)) = socket.receive(&mut buffer).unwrap() {
            return Some((length, *from.ip()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn two_ends_are_set_up_carry_cells_alone_and_leave_nothing() {
    if !is_possible("two_ends_are_set_up_carry_cells_alone_and_leave_nothing") {
        return;
    }
    let (far, near) = (Namespace::new(), Namespace::new());
    let mut home = wire_up(&far, &near);
    let lan = home.lan(&common::router([0; 32], [0; 32])).unwrap();
    assert_eq!(lan.iter().map(|lan| lan.name.as_str()).collect::<Vec<_>>(), ["br-lan"]);
    let facts = Facts { lan, endpoint: Some("203.0.113.9:51820".parse().unwrap()) };
    let home_before = home.snapshot().unwrap();
    let desired = router(&facts, &guard());
    let applied = apply(&mut home, &desired).unwrap();
    assert!(!applied.ops.is_empty());
    assert_eq!(apply(&mut home, &desired).unwrap().ops, []);
    let home_tun = home.take_tun().unwrap();
    show();
    let home_sockets = sockets();

    far.enter();
    let mut server = System::open().unwrap();
    let server_before = server.snapshot().unwrap();
    apply(&mut server, &endpoint()).unwrap();
    assert_eq!(apply(&mut server, &endpoint()).unwrap().ops, []);
    let server_tun = server.take_tun().unwrap();
    show();
    let server_sockets = sockets();
    let [at_home, at_server]: [SocketAddrV4; 2] =
        ["10.77.0.2:9347", "10.77.0.1:9347"].map(|address| address.parse().unwrap());

    // A stray into the tunnel, before any handshake and after: WireGuard never sees it, so nothing reaches the wire.
    near.enter();
    let quiet = wire_packets();
    shell("ping -c 2 -i 0.2 -W 1 -I mpwg0 10.77.0.1 || true");
    assert_eq!(wire_packets(), quiet, "a stray reached the wire");

    for (name, from_home, from_server) in
        [("data", &home_sockets.0, &server_sockets.0), ("cover", &home_sockets.1, &server_sockets.1)]
    {
        from_home.send(&[7; 420], at_server).unwrap();
        assert_eq!(receive(&server_sockets.0), Some((420, *at_home.ip())), "{name} up");
        from_server.send(&[8; 420], at_home).unwrap();
        assert_eq!(receive(&home_sockets.0), Some((420, *at_server.ip())), "{name} down");
    }
    assert!(home.peers().unwrap()[0].last_handshake_s > 0);
    let busy = wire_packets();
    shell("ping -c 2 -i 0.2 -W 1 -I mpwg0 10.77.0.1 || true");
    CellSocket::open("mpwg0", 0, 0).unwrap().send(&[9; 420], at_server).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(wire_packets(), busy, "a stray reached the wire beside the cells");

    // A new rate and limit change two objects, and nothing else.
    let faster = Guard { rate: BitsPerSec::from_kbit(1280), cover_limit: 3, ..guard() };
    let applied = apply(&mut home, &router(&facts, &faster)).unwrap();
    let ops: Vec<String> = applied.ops.iter().map(|op| op.to_string()).collect();
    assert!(ops.len() == 2 && ops[0].starts_with("tc class change") && ops[1].ends_with("limit 3"), "{ops:?}");

    assert_mends(&mut home, &router(&facts, &faster));
    drop(home_tun);
    apply(&mut home, &Desired::nothing()).unwrap();
    assert_bare(&mut home, &home_before);
    far.enter();
    drop(server_tun);
    apply(&mut server, &Desired::nothing().forwarding(&server_before.sysctls["net.ipv4.ip_forward"])).unwrap();
    assert_bare(&mut server, &server_before);
}

/// A wire between the two namespaces, a LAN at home, a default route by the wire. Ends in `near`.
///
/// Neighbours are given and IPv6 is off on the wire, so that nothing but the tunnel ever sends there.
fn wire_up(far: &Namespace, near: &Namespace) -> System {
    far.enter();
    shell("ip link set lo up; ip link add wan1 type veth peer name wan0");
    shell("sysctl -qw net.ipv6.conf.wan1.disable_ipv6=1; ip link set wan1 address 02:00:00:00:00:01");
    shell("ip addr add 203.0.113.9/24 dev wan1; ip link set wan1 up");
    shell("ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:02 dev wan1 nud permanent");
    shell(&format!("ip link set wan0 netns /proc/{}/fd/{}", std::process::id(), near.0.as_raw_fd()));
    near.enter();
    shell(
        "ip link set lo up; sysctl -qw net.ipv6.conf.wan0.disable_ipv6=1; ip link set wan0 address 02:00:00:00:00:02",
    );
    shell("ip addr add 203.0.113.1/24 dev wan0; ip link set wan0 up; ip route add default via 203.0.113.9");
    shell("ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:01 dev wan0 nud permanent");
    shell("ip link add br-lan type veth peer name lan0; ip addr add 192.168.1.1/24 dev br-lan; ip link set br-lan up");
    System::open().unwrap()
}

/// What the ordinary tools say, for those who run this with `--nocapture`.
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

/// Packets sent so far on the home's side of the wire.
fn wire_packets() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("wan0:")).unwrap();
    line.split_whitespace().nth(9).unwrap().parse().unwrap()
}

/// What somebody else takes away comes back, and nothing more is touched than that.
fn assert_mends(kernel: &mut System, desired: &Desired) {
    for damage in [
        "ip rule del priority 28010",
        "ip -6 rule del priority 28010",
        "ip route del unreachable default table 28016",
        "ip route del 10.77.0.1/32 dev mpwg0",
        "ip addr del 10.77.0.2/32 dev mpwg0",
        "tc qdisc del dev mpwg0 root",
        "tc qdisc del dev mpwg0 parent 10:3",
        "tc qdisc replace dev mpwg0 root handle 9: pfifo limit 5",
        "wg set mpwg0 peer $(wg show mpwg0 peers) remove",
        "nft flush ruleset",
        "nft flush chain inet millpond guard",
        "nft delete element inet millpond shape_mac '{ 18:b4:30:26:34:40 }'",
        "ip link set mpwg0 down",
        "ip link set mpwg0 mtu 1300",
        "sysctl -qw net.ipv4.conf.mpwg0.rp_filter=1",
        "ip link del mpwg0",
    ] {
        shell(damage);
        let applied = apply(kernel, desired).unwrap_or_else(|error| panic!("after {damage}: {error}"));
        assert!(!applied.ops.is_empty(), "{damage} went unnoticed");
        assert_eq!(apply(kernel, desired).unwrap().ops, [], "after {damage}");
    }
}

/// Where a kernel part is missing, its name and package are said, and nothing is left of what came before it.
#[test]
fn a_kernel_without_a_part_is_left_as_it_was() {
    let has = |probe: &str| {
        let script = format!("unshare -n sh -c '{probe}' >/dev/null 2>&1");
        Command::new("sh").args(["-c", &script]).status().is_ok_and(|status| status.success())
    };
    let part = [
        ("kmod-wireguard", "ip link add probe0 type wireguard"),
        ("kmod-sched-prio", "ip link set lo up && tc qdisc add dev lo root handle 1: prio"),
    ];
    let absent = part.iter().find(|(_, probe)| !has(probe));
    let Some((package, _)) = absent.filter(|_| nix::unistd::geteuid().is_root() && has("nft list tables")) else {
        eprintln!("skipped a_kernel_without_a_part_is_left_as_it_was: nothing is missing here, or not root");
        return;
    };
    let _namespace = Namespace::new();
    let mut kernel = System::open().unwrap();
    let before = kernel.snapshot().unwrap();
    let error = apply(&mut kernel, &router(&common::facts(), &guard())).unwrap_err();
    assert!(error.to_string().contains(package), "{error}");
    assert_eq!(error.remains, []);
    assert_bare(&mut kernel, &before);
}
