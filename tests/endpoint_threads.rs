//! An endpoint with two threads, its sockets and its TUN interface on a running kernel: cells reach the thread of their
//! home, and packets reach their home whatever queue of the TUN interface they come out of. Needs root and TUN; prints
//! a line if it is skipped.

mod common;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use common::namespace::{Namespace, shell};
use millpond::config::example;
use millpond::config::model::Settings;
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::daemon::{BareDaemon, Options};
use millpond::law::Law;
use millpond::plan::ownership::CELL_PORT;
use millpond::sys::{timer, unix_socket};
use millpond::units::{BitsPerSec, Nanos};
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::control::{ControlMessage, ShapingRequest};
use millpond::wire::size::{CellSize, Encapsulation, IpVersion};

const HOMES: std::ops::Range<u8> = 2..8;
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Packets to each home, each of another flow.
const FLOWS: u16 = 32;
const MEAN: Nanos = Nanos::from_millis(10);

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host)
}

fn size() -> CellSize {
    Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap()
}

/// A home's router: it requests cells, sends cells, and unpacks what comes.
struct Router {
    engine: Engine,
    socket: UdpSocket,
    packets: u32,
}

impl Router {
    fn new(host: u8) -> Router {
        let pace = Pace { law: Law::Gamma, mean: MEAN, spread_percent: 33 };
        let params = Params { payload_bytes: size().payload_bytes, pace, lead: Nanos::ZERO, limits: Limits::default() };
        let mut engine = Engine::new(params, [host; 32], timer::now());
        engine.send_control(ControlMessage::ShapingRequest(ShapingRequest {
            id: 1,
            law: pace.law,
            spread_percent: pace.spread_percent,
            cell_bytes: size().wire_bytes as u16,
            rate: BitsPerSec(size().wire_bytes as u64 * 8 * 100),
            cover: true,
            trains: [1; 2],
        }));
        let socket = UdpSocket::bind((address(host), CELL_PORT)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Router { engine, socket, packets: 0 }
    }

    fn act(&mut self) {
        let mut buffer = [0; MAX_PACKET_BYTES];
        while let Some(transmit) = self.engine.poll_transmit(timer::now(), &mut buffer) {
            self.socket.send_to(&buffer[..transmit.len], (ENDPOINT, CELL_PORT)).unwrap();
        }
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            self.engine.handle_cell(&buffer[..length]);
            let mut packet = [0; MAX_PACKET_BYTES];
            while let Some(length) = self.engine.poll_packet(&mut packet) {
                // Of UDP; the kernel sends messages of its own, too.
                self.packets += u32::from(length > 28 && packet[9] == 17);
            }
        }
    }

    fn cells(&self) -> u64 {
        self.engine.stats().cells_received
    }
}

fn run_until(routers: &mut [Router], is_done: impl Fn(&[Router]) -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        routers.iter_mut().for_each(Router::act);
        if is_done(routers) {
            return true;
        }
        sleep(Duration::from_millis(2));
    }
    false
}

#[test]
fn packets_reach_their_home_out_of_any_queue() {
    if !nix::unistd::geteuid().is_root() || !PathBuf::from("/dev/net/tun").exists() {
        println!("skipped packets_reach_their_home_out_of_any_queue: not root, or no TUN");
        return;
    }
    if thread::available_parallelism().map_or(1, |count| count.get()) < 2 {
        println!("skipped packets_reach_their_home_out_of_any_queue: one processor");
        return;
    }
    let folder = std::env::temp_dir().join(format!("millpond-threads-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config"), "config millpond main\n").unwrap();
    let options = Options {
        config: folder.join("config"),
        socket: folder.join("socket"),
        brokers: Vec::new(),
        guard_file: folder.join("guard"),
        usage_file: folder.join("usage"),
    };
    let socket = options.socket.clone();
    let [homes, endpoint] = [(); 2].map(|()| Namespace::new());
    shell("ip link set lo up; ip link add mpx0 type veth peer name mpx1; ip link set mpx0 up");
    shell("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.mpx0.rp_filter=0");
    shell(&format!("ip addr add {ENDPOINT}/32 dev mpx0; ip rule add oif mpx0 table 100"));
    shell("ip route add 10.77.0.0/24 dev mpx0 table 100");
    homes.move_in("mpx1");
    homes.enter();
    shell("ip link set lo up; ip link set mpx1 up");
    HOMES.for_each(|host| drop(shell(&format!("ip addr add {}/24 dev mpx1", address(host)))));
    let mut routers: Vec<Router> = HOMES.map(Router::new).collect();
    endpoint.enter();
    let (ready, started) = mpsc::channel();
    // The threads of the endpoint are in the namespace of the thread that starts them.
    let served = thread::spawn(move || {
        let homes = HOMES.map(|host| example::home(host, None)).collect();
        let settings = Settings { homes, threads: Some(2), ..example::endpoint() };
        let mut endpoint = BareDaemon::start_with_tun(&options, &settings, "mpx0").unwrap();
        endpoint.serve(&settings, size()).unwrap();
        ready.send(()).unwrap();
        endpoint.run().unwrap();
        endpoint.stats()
    });
    started.recv().unwrap();
    shell("ip link set mp0 up; ip route add 10.77.0.0/24 dev mp0");
    assert!(run_until(&mut routers, |routers| routers.iter().all(|router| router.cells() > 20)), "no cells come");
    let sender = UdpSocket::bind((ENDPOINT, 0)).unwrap();
    for host in HOMES {
        (0..FLOWS).for_each(|flow| _ = sender.send_to(b"knock", (address(host), 1000 + flow)).unwrap());
    }
    let all = |routers: &[Router]| routers.iter().all(|router| router.packets == u32::from(FLOWS));
    let reached = run_until(&mut routers, all);
    let packets: Vec<u32> = routers.iter().map(|router| router.packets).collect();
    assert!(reached, "of {FLOWS} packets to each home these arrived: {packets:?}");
    // Another program removes the interface: the cells go on.
    shell("ip link del mp0");
    let before: Vec<u64> = routers.iter().map(Router::cells).collect();
    let more = |routers: &[Router]| routers.iter().zip(&before).all(|(router, before)| router.cells() > before + 20);
    assert!(run_until(&mut routers, more), "without the TUN interface no cells come");
    _ = unix_socket::ask(&socket, "reload", Duration::from_secs(5));
    let stats = served.join().unwrap();
    assert_eq!(stats.cells_lost, 0, "every cell came to the thread of its home");
    _ = std::fs::remove_dir_all(folder);
}
