//! A home that floods its uplink, on a running kernel: the rules drop the excess before it reaches the socket, where it
//! would displace the cells of other homes. Needs root, veth and nf_tables; prints a line if it is skipped.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::namespace::{Namespace, shell};
use millpond::config::example;
use millpond::config::model::{Home, Settings};
use millpond::plan::ownership::CELL_PORT;
use millpond::plan::{Desired, Facts};
use millpond::sys::udp::CellSocket;
use millpond::units::BitsPerSec;

const HOMES: u8 = 20;
/// What each home may send.
const MAX_UPLOAD: BitsPerSec = BitsPerSec::from_kbit(640);
/// Bytes of a cell inside the tunnel, without the headers that the socket adds.
const CELL_BYTES: usize = 420;
/// Milliseconds of the flood.
const STEPS: u32 = 2_000;

/// What reached the socket.
#[derive(Debug)]
struct Received {
    /// Cells of the other homes that are missing.
    lost: u32,
    /// Cells of the home that floods.
    of_flood: u32,
    seconds: f64,
}

#[test]
fn a_home_that_floods_costs_no_other_home_a_cell() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped a_home_that_floods_costs_no_other_home_a_cell: not root");
        return;
    }
    let [homes, endpoint] = [(); 2].map(|()| Namespace::new());
    // The endpoint's namespace is the current one. A cable stands for WireGuard.
    shell("ip link add mpwg0 type veth peer name eth0; ip link set mpwg0 up; ip addr add 10.77.0.1/24 dev mpwg0");
    homes.move_in("eth0");
    homes.enter();
    shell("ip link set lo up; ip link set eth0 up");
    (2..2 + HOMES).for_each(|host| drop(shell(&format!("ip addr add 10.77.0.{host}/24 dev eth0"))));
    let without = flood(&homes, &endpoint);
    println!("without the rules: {without:?}");
    assert!(without.lost > 0, "the control experiment shows nothing");
    endpoint.enter();
    shell(&format!("nft -f - <<'END'\n{}\nEND", table(&settings())));
    let with = flood(&homes, &endpoint);
    println!("with the rules: {with:?}");
    assert_eq!(with.lost, 0, "{with:?}");
    // 28 bytes are IP and UDP header. A quarter more than it may, of which a second's share and 128 KiB at once.
    let most = ((with.seconds + 1.0) * 1.25 * MAX_UPLOAD.0 as f64 / 8.0 + 131_072.0) / (CELL_BYTES + 28) as f64;
    let may = with.seconds * MAX_UPLOAD.0 as f64 / 8.0 / (CELL_BYTES + 28) as f64;
    assert!((may..most * 1.05).contains(&f64::from(with.of_flood)), "{with:?}, {may} to {most}");
}

fn settings() -> Settings {
    let homes = (2..2 + HOMES).map(|host| Home { max_upload: MAX_UPLOAD, ..example::home(host, None) }).collect();
    Settings { homes, ..example::endpoint() }
}

fn table(settings: &Settings) -> String {
    Desired::from_settings(settings, &Facts::default(), &common::limits()).unwrap().table.unwrap().file("0")
}

/// Lets one home flood, and all others send 80 cells a second, to a socket that is emptied as fast as a thread with many
/// homes does.
fn flood(homes: &Namespace, endpoint: &Namespace) -> Received {
    endpoint.enter();
    let receiver = CellSocket::open("mpwg0", CELL_PORT, 0).unwrap();
    receiver.set_receive_buffer(4 << 20).unwrap();
    homes.enter();
    let socket = |host| UdpSocket::bind((Ipv4Addr::new(10, 77, 0, host), CELL_PORT)).unwrap();
    let senders: Vec<UdpSocket> = (2..2 + HOMES).map(socket).collect();
    let to = SocketAddrV4::new([10, 77, 0, 1].into(), CELL_PORT);
    let (mut sent, mut received, mut of_flood) = (0u32, 0u32, 0u32);
    let mut buffer = [0; 2048];
    let start = Instant::now();
    let mut seconds = 0.0;
    // After the flood, what waits is read.
    for step in 0..2 * STEPS {
        if step < STEPS {
            (0..200).for_each(|_| _ = senders[0].send_to(&[0; CELL_BYTES], to));
            seconds = start.elapsed().as_secs_f64();
        }
        if step < STEPS && step % 12 == 0 {
            for sender in &senders[1..] {
                sender.send_to(&[1; CELL_BYTES], to).unwrap();
                sent += 1;
            }
        }
        for _ in 0..25 {
            let Some(_) = receiver.receive(&mut buffer).unwrap() else { break };
            *if buffer[0] == 0 { &mut of_flood } else { &mut received } += 1;
        }
        sleep(Duration::from_millis(1));
    }
    Received { lost: sent - received, of_flood, seconds }
}
