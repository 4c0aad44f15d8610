//! Thousands of devices: each packet reaches the engine with its device's number, and passes the rules as fast with
//! 10,000 devices as with one. Set `DEVICE_SCALE=FILE` to measure them, as `tests/tools/bench` does.

mod common;

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::namespace::shell;
use common::world::{World, can_run};
use millpond::apply::{Kernel, apply_guard};
use millpond::config::example;
use millpond::config::model::{Device, Mac, Network, Policy, Settings};
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::plan::{self, Desired, Facts, Op, guard_table};
use millpond::sys::Tun;
use millpond::tunnel::LinkKind;
use millpond::units::{DeviceId, DeviceTag, Nanos, RESTORED_TTL};
use millpond::wire::ip::Packet;
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

const CAMERA: [u8; 6] = [0x18, 0xb4, 0x30, 0x26, 0x34, 0x40];

/// Settings with that many shaped devices. The last one is the device of the [`World`].
fn settings(world: &World, devices: u16) -> Settings {
    let mac = |number: u16| if number == devices { CAMERA } else { [2, 0, 0, 1, (number >> 8) as u8, number as u8] };
    let device = |number| Device { macs: vec![Mac(mac(number))], ..example::device("device", Policy::Shape) };
    Settings { devices: (1..=devices).map(device).collect(), networks: Vec::new(), ..world.settings.clone() }
}

/// Replaces both tables. Returns the processor time of each, that of nft included.
fn install(world: &mut World, settings: &Settings) -> [Duration; 2] {
    world.router.enter();
    let facts = Facts { tunnel: common::facts().tunnel, ..world.facts.clone() };
    let start = spent();
    apply_guard(&mut world.kernel, Some(&guard_table(settings, &facts))).unwrap();
    let guard = spent() - start;
    let desired = Desired::from_settings(settings, &facts, &common::limits()).unwrap();
    world.kernel.run(&Op::SetTable(desired.table.unwrap())).unwrap();
    [guard, spent() - start - guard]
}

/// Adds the TUN interface, and routes marked packets to it.
fn add_tun(world: &mut World) -> Tun {
    world.router.enter();
    world.kernel.run(&Op::AddLink { name: "mp0".into(), kind: LinkKind::Tun, mtu: 1500 }).unwrap();
    let ids = &world.settings.routing_ids;
    shell(&format!(
        "ip addr add 10.77.0.2/32 dev mp0; ip link set mp0 up; ip route add default dev mp0 table {0}; \
         ip rule add priority {1} fwmark {2:#x}/{2:#x} lookup {0}; sysctl -qw net.ipv4.conf.mp0.rp_filter=0",
        ids.table, ids.priority, ids.mark
    ));
    world.kernel.take_tun().unwrap()
}

/// The next packet to the port 7777 that leaves by the TUN interface.
fn next_packet(tun: &Tun) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        match tun.receive(&mut buffer).unwrap() {
            Some((length, _)) if length > 28 && buffer[22..24] == 7777u16.to_be_bytes() => {
                return buffer[..length].to_vec();
            }
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    panic!("no packet reached the TUN interface");
}

fn send(world: &World, ttl: u32) {
    world.device.enter();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_ttl(ttl).unwrap();
    socket.send_to(b"hello", "198.51.100.7:7777").unwrap();
}

#[test]
fn a_number_beyond_dscp_reaches_the_engine() {
    if !can_run("a_number_beyond_dscp_reaches_the_engine") {
        return;
    }
    let mut world = World::new();
    let tun = add_tun(&mut world);
    for (devices, sent_ttl, kept_ttl) in
        [(1, 64, 63), (63, 128, 127), (64, 64, RESTORED_TTL), (3_000, 255, RESTORED_TTL)]
    {
        let settings = settings(&world, devices);
        install(&mut world, &settings);
        send(&world, sent_ttl);
        let bytes = next_packet(&tun);
        let (packet, tag) = (Packet::parse(&bytes).unwrap(), plan::device_tag(&settings));
        assert_eq!(packet.device(tag), DeviceId(devices), "{devices} devices");
        let start = packet.start_without_tag(tag);
        assert_eq!((start[1], start[8]), (0, kept_ttl), "{devices} devices");
        let header = [&start, &bytes[12..20]].concat();
        let sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum of {header:?}");
        // What traceroute sends has no number, and keeps its TTL.
        send(&world, 5);
        let bytes = next_packet(&tun);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.start_without_tag(tag)[8], 4);
        assert!(tag == DeviceTag::Dscp || packet.device(tag) == DeviceId::UNKNOWN);
    }
}

/// The devices of a network that is shaped as a whole have numbers without sections: each the same for all its packets.
#[test]
fn devices_of_a_network_have_numbers_of_their_own() {
    if !can_run("devices_of_a_network_have_numbers_of_their_own") {
        return;
    }
    let mut world = World::new();
    let tun = add_tun(&mut world);
    let network = Network { name: "lan".into(), device: None, policy: Policy::Shape, strict: false };
    let settings = Settings { devices: Vec::new(), networks: vec![network], ..world.settings.clone() };
    install(&mut world, &settings);
    let tag = plan::device_tag(&settings);
    let mut numbers = std::collections::BTreeSet::new();
    for device in 0..12 {
        world.set_mac(&format!("02:00:00:00:77:{device:02x}"));
        let number_of = || {
            send(&world, 64);
            let bytes = next_packet(&tun);
            assert_eq!(Packet::parse(&bytes).unwrap().start_without_tag(tag)[8], RESTORED_TTL);
            Packet::parse(&bytes).unwrap().device(tag)
        };
        let number = number_of();
        assert_eq!(number_of(), number);
        assert_ne!(number, DeviceId::UNKNOWN);
        numbers.insert(number);
    }
    assert!(numbers.len() >= 10, "{numbers:?}");
}

/// The table is recognised as it is listed, so it is not loaded again; and a rollback can load it as it is listed.
#[test]
fn the_maps_are_recognised_and_restored() {
    if !can_run("the_maps_are_recognised_and_restored") {
        return;
    }
    let mut world = World::new();
    let network = Network { name: "lan".into(), device: None, policy: Policy::Shape, strict: false };
    let settings = Settings { networks: vec![network], address6: "fd77::2".parse().ok(), ..settings(&world, 200) };
    install(&mut world, &settings);
    let facts = Facts { tunnel: common::facts().tunnel, ..world.facts.clone() };
    let wanted = Desired::from_settings(&settings, &facts, &common::limits()).unwrap().table.unwrap();
    for _ in 0..2 {
        let snapshot = world.kernel.snapshot().unwrap();
        let installed = snapshot.table(wanted.name).expect("the table is installed");
        assert!(wanted.is_satisfied_by(installed), "{}", installed.body);
        world.kernel.run(&Op::SetTable(installed.clone())).unwrap();
    }
    shell("nft delete element inet millpond_tunnel number_mac { 02:00:00:01:00:07 : goto dscp_7 }");
    let snapshot = world.kernel.snapshot().unwrap();
    assert!(!wanted.is_satisfied_by(snapshot.table(wanted.name).unwrap()), "a change is noticed");
}

/// Processor time of this thread and of the processes that it has started.
fn spent() -> Duration {
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let times = [children.user_time(), children.system_time()];
    busy()
        + times
            .into_iter()
            .map(|time| {
                let us = time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
                Duration::from_micros(us)
            })
            .sum::<Duration>()
}

/// Processor time of this thread.
fn busy() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// Packets a second of processor time through the rules, with those of the sender and the interfaces.
fn flood(world: &World, length: Duration) -> f64 {
    let left = || {
        world.router.enter();
        let counters = shell("awk '/mp0:/ { print $11 + $13 }' /proc/net/dev");
        counters.trim().parse::<u64>().unwrap()
    };
    let before = left();
    world.device.enter();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("198.51.100.7:7777").unwrap();
    let (start, from) = (Instant::now(), busy());
    while start.elapsed() < length {
        for _ in 0..64 {
            _ = socket.send(&[0; 100]);
        }
    }
    let used = busy() - from;
    (left() - before) as f64 / used.as_secs_f64()
}

/// Microseconds of processor time that the engine takes for a packet, from the queue to its cell, while that many
/// devices send more than leaves.
fn engine_us(devices: u16) -> f64 {
    let pace = Pace { law: Law::Gamma, mean: Nanos::from_micros(12), spread_percent: 33 };
    let limits = Limits { bytes: Limits::MAX_BYTES, ..Limits::default() };
    let mut engine = Engine::new(Params { payload_bytes: 1340, pace, lead: Nanos::ZERO, limits }, [1; 32], Nanos::ZERO);
    engine.set_device_tag(DeviceTag::DscpAndTtl);
    let (mut cell, mut packet) = ([0; 2048], vec![0; 1200]);
    packet[..10].copy_from_slice(&[0x45, 0, 4, 176, 0, 0, 0x40, 0, 64, 17]);
    let mut next = 0;
    let mut turn = |engine: &mut Engine| {
        for _ in 0..2 {
            next = next % devices + 1;
            (packet[1], packet[8]) = (DeviceId(next).dscp() << 2, DeviceId(next).ttl());
            engine.handle_packet(engine.poll_timeout().0, &packet);
        }
        engine.poll_transmit(engine.poll_timeout().0, &mut cell);
    };
    (0..20_000).for_each(|_| turn(&mut engine));
    let (before, from) = (engine.stats().packets_in, busy());
    (0..50_000).for_each(|_| turn(&mut engine));
    (busy() - from).as_secs_f64() * 1e6 / (engine.stats().packets_in - before) as f64
}

/// What the numbers of devices cost, with `DEVICE_SCALE=FILE` also for 10,000: rows of `{"rows": [...]}`. Only service is
/// required, not its speed, because this machine may be busy.
#[test]
fn measure() {
    if !can_run("measure") {
        return;
    }
    let path = std::env::var("DEVICE_SCALE").ok();
    let mut rows = String::new();
    for devices in [1, 100, 10_000].into_iter().take(if path.is_some() { 3 } else { 2 }) {
        let mut world = World::new();
        let _tun = add_tun(&mut world);
        let [wanted, changed] = [devices, devices + 1].map(|devices| settings(&world, devices));
        let whole = install(&mut world, &wanted);
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let rate = (0..5).map(|_| flood(&world, Duration::from_millis(500))).fold(0.0, f64::max);
        assert!(rate > 0.0, "no packet of {devices} devices reached the engine");
        let [guard, tunnel] = install(&mut world, &changed);
        let comma = if rows.is_empty() { "" } else { ",\n" };
        _ = write!(
            rows,
            "{comma}{{\"devices\": {devices}, \"packets_per_second\": {rate:.0}, \"engine_us\": {:.2}, \
             \"first_cpu_ms\": {:.0}, \
             \"guard_change_cpu_ms\": {:.0}, \"tunnel_change_cpu_ms\": {:.0}}}",
            engine_us(devices),
            ms(whole[0] + whole[1]),
            ms(guard),
            ms(tunnel)
        );
    }
    println!("{rows}");
    if let Some(path) = path {
        std::fs::write(path, format!("{{\"rows\": [\n{rows}\n]}}\n")).unwrap();
    }
}
