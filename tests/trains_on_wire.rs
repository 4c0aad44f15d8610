//! Trains by one system call and cell by cell: the same bytes on the wire, in the same order. Needs root and the kernel
//! modules veth and tun; prints a line if it is skipped.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::namespace::{Namespace, shell};
use common::world::can_run;
use millpond::plan::Op;
use millpond::plan::ownership::TUN;
use millpond::sys::Tun;
use millpond::sys::kernel::LinuxKernel;
use millpond::sys::udp::{CellSocket, ReceiveBuffer};
use millpond::tunnel::LinkKind;
use millpond::wire::MAX_PACKET_BYTES;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

const PORT: u16 = 9347;
const HERE: &str = "10.77.0.2";
const THERE: &str = "10.77.0.1";
/// The trains of a gigabit, of the default cell, and one too long for a single list.
const TRAINS: [(usize, usize); 4] = [(45, 1_316), (64, 420), (64, 1_316), (1, 420)];

/// Two namespaces with a cable between them on which every packet is a frame of its own, as on a network card.
struct Cable {
    far: Namespace,
    near: Namespace,
}

impl Cable {
    fn new() -> Cable {
        let (far, near) = (Namespace::new(), Namespace::new());
        shell("ip link add wire0 type veth peer name wire1");
        far.move_in("wire1");
        for (namespace, interface, address) in [(&near, "wire0", HERE), (&far, "wire1", THERE)] {
            namespace.enter();
            shell(&format!(
                "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip address add {address}/24 dev {interface}
                 ip link set {interface} gso_max_segs 1 up; ip link set lo up"
            ));
        }
        Cable { far, near }
    }
}

/// All IPv4 packets that arrive in this thread's namespace.
fn tap() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket::socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll).unwrap()
}

fn captured(tap: &OwnedFd) -> Vec<Vec<u8>> {
    let mut buffer = [0; 65_536];
    let mut packets = Vec::new();
    while let Ok(length) = socket::recv(tap.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        // UDP over IPv4.
        if buffer[0] == 0x45 && buffer[9] == 17 {
            packets.push(buffer[..length].to_vec());
        }
    }
    packets
}

fn cells(rng: &mut ChaCha12Rng, (count, bytes): (usize, usize)) -> Vec<u8> {
    let mut cells = vec![0; count * bytes];
    rng.fill_bytes(&mut cells);
    cells
}

/// The packet without the identification and the header's checksum over it. A list numbers its segments, single
/// datagrams all have 0. The tunnel encrypts both.
fn without_identification(packet: &[u8]) -> Vec<u8> {
    [&packet[..4], &packet[6..10], &packet[12..]].concat()
}

#[test]
fn a_segment_list_is_on_the_wire_what_its_cells_are() {
    if !can_run("a_segment_list_is_on_the_wire_what_its_cells_are") {
        return;
    }
    let seed = 21;
    println!("seed {seed}");
    let cable = Cable::new();
    cable.far.enter();
    let tap = tap();
    cable.near.enter();
    let (list, single) = (CellSocket::open("wire0", PORT, 0).unwrap(), CellSocket::open("wire0", PORT, 0).unwrap());
    assert!(list.has_segments(), "this kernel has UDP_SEGMENT");
    single.disable_segments();
    let to = SocketAddrV4::new(THERE.parse().unwrap(), PORT);
    // Address resolution comes first.
    single.send(&[0], to).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    captured(&tap);
    for (train, seed) in TRAINS.into_iter().zip(seed..) {
        let sent = cells(&mut ChaCha12Rng::seed_from_u64(seed), train);
        let [of_list, of_single] = [&list, &single].map(|socket| {
            socket.send_train(&sent, train.1, to).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            captured(&tap)
        });
        assert_eq!((of_list.len(), of_single.len()), (train.0, train.0), "{train:?}");
        for (number, cell) in sent.chunks(train.1).enumerate() {
            assert_eq!(&of_list[number][28..], cell, "{train:?}: cell {number}");
            assert_eq!(without_identification(&of_list[number]), without_identification(&of_single[number]));
        }
    }
    assert!(list.has_segments(), "the kernel refused the lists");
}

/// Joined or not, by lists or not: the cells that were sent, in their order, each with its sender.
#[test]
fn joined_arrivals_are_the_cells_that_were_sent() {
    if !can_run("joined_arrivals_are_the_cells_that_were_sent") {
        return;
    }
    let seed = 22;
    println!("seed {seed}");
    let cable = Cable::new();
    cable.near.enter();
    shell("ip link set wire0 gso_max_segs 64");
    cable.far.enter();
    let receiver = CellSocket::open("wire1", PORT, 0).unwrap();
    cable.near.enter();
    let sender = CellSocket::open("wire0", PORT, 0).unwrap();
    let (to, from) = (SocketAddrV4::new(THERE.parse().unwrap(), PORT), SocketAddrV4::new(HERE.parse().unwrap(), PORT));
    let mut calls = BTreeMap::new();
    for (has_lists, joins) in [(true, true), (true, false), (false, true), (false, false)] {
        if !has_lists {
            sender.disable_segments();
        }
        receiver.join_arrivals(joins);
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut buffer = ReceiveBuffer::default();
        for train in TRAINS.into_iter().chain([(3, 100), (2, 1_316)]) {
            let sent = cells(&mut rng, train);
            sender.send_train(&sent, train.1, to).unwrap();
            let (mut received, start) = (Vec::new(), Instant::now());
            while received.len() < train.0 && start.elapsed() < Duration::from_secs(10) {
                if receiver.receive_train(&mut buffer).unwrap() {
                    *calls.entry((has_lists, joins)).or_insert(0) += 1;
                }
                while let Some((cell, sender)) = buffer.next_cell() {
                    assert_eq!(sender, from);
                    received.push(cell.to_vec());
                }
                assert!(buffer.is_empty());
            }
            let expected: Vec<_> = sent.chunks(train.1).map(<[u8]>::to_vec).collect();
            assert!(received == expected, "{train:?}, lists {has_lists}, joined {joins}: {} cells", received.len());
        }
    }
    println!("calls for six trains: {calls:?}");
    assert!(calls[&(true, true)] <= 8, "one call receives a list: {calls:?}");
    assert!(calls[&(false, true)] < 100, "what arrives alone is no longer read alone: {calls:?}");
}

/// Two TUN interfaces, and a program between them that carries packets as both ends do.
struct Carrier {
    tuns: [Tun; 2],
    is_done: AtomicBool,
    packets: AtomicUsize,
    unfinished: AtomicUsize,
    longest: AtomicUsize,
}

impl Carrier {
    fn run(&self) {
        let (mut buffer, mut scratch) = (vec![0; 65_536], [0; MAX_PACKET_BYTES]);
        while !self.is_done.load(Ordering::Relaxed) {
            let mut is_idle = true;
            for (from, to) in [(0, 1), (1, 0)] {
                while let Some((length, offload)) = self.tuns[from].receive(&mut buffer).unwrap() {
                    is_idle = false;
                    self.unfinished.fetch_add(usize::from(!offload.is_complete()), Ordering::Relaxed);
                    let is_understood = offload.complete(&mut buffer[..length], &mut scratch, |packet| {
                        self.packets.fetch_add(1, Ordering::Relaxed);
                        self.longest.fetch_max(packet.len(), Ordering::Relaxed);
                        _ = self.tuns[to].send(packet);
                    });
                    assert!(is_understood, "{offload:?}");
                }
            }
            if is_idle {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

fn tun(address: &str) -> Tun {
    let mut kernel = LinuxKernel::open().unwrap();
    millpond::apply::Kernel::run(&mut kernel, &Op::AddLink { name: TUN.into(), kind: LinkKind::Tun, mtu: 1_500 })
        .unwrap();
    shell(&format!("ip link set lo up; ip address add {address}/24 dev {TUN}; ip link set {TUN} up"));
    kernel.take_tun().unwrap()
}

/// The far kernel checks every checksum and every byte of a stream whose segments and checksums were left to us.
#[test]
fn packets_that_the_kernel_left_unfinished_arrive_complete() {
    if !can_run("packets_that_the_kernel_left_unfinished_arrive_complete") {
        return;
    }
    let seed = 23;
    println!("seed {seed}");
    let mut stream = vec![0; 4_000_000];
    ChaCha12Rng::seed_from_u64(seed).fill_bytes(&mut stream);
    let mut reads = Vec::new();
    for is_on in [false, true] {
        let far = Namespace::new();
        let far_tun = tun(THERE);
        let listener = TcpListener::bind((THERE, 80)).unwrap();
        let near = Namespace::new();
        let near_tun = tun(HERE);
        for tun in [&near_tun, &far_tun] {
            assert_eq!(tun.set_offload(is_on), is_on, "this kernel has the header and TSO");
        }
        let carrier = Carrier {
            tuns: [near_tun, far_tun],
            is_done: AtomicBool::new(false),
            packets: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            longest: AtomicUsize::new(0),
        };
        let received = std::thread::scope(|scope| {
            scope.spawn(|| carrier.run());
            let server = scope.spawn(|| {
                let mut received = Vec::new();
                listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
                received
            });
            near.enter();
            TcpStream::connect((THERE, 80)).unwrap().write_all(&stream).unwrap();
            let received = server.join().unwrap();
            carrier.is_done.store(true, Ordering::Relaxed);
            received
        });
        assert!(received == stream, "offload {is_on}: {} of {} bytes", received.len(), stream.len());
        let number = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (packets, unfinished) = (number(&carrier.packets), number(&carrier.unfinished));
        assert!(number(&carrier.longest) <= MAX_PACKET_BYTES);
        assert_eq!(unfinished > 100, is_on, "{unfinished} unfinished packets");
        reads.push((packets, unfinished));
        drop((far, near));
    }
    println!("packets, and reads that left work: {reads:?}");
}
