//! Many homes at once over real sockets: the loop in one network, the homes in another and in a process of their own, a
//! cable between them. Only what lies around the tunnel is left out, cryptography and queueing tree.
//!
//! `MILLPOND_HOMES="1 10 100 1000"` measures these numbers of homes, at 80 cells a second each way, and leaves the table
//! in `target/lab/endpoint.json`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{UsageWho, getrusage};

use super::*;
use crate::config::model::Home;
use crate::core::{Histogram, Pace};
use crate::daemon::session::{Session, Shaping};
use crate::law::Law;
use crate::sys::unix_socket;
use crate::units::BitsPerSec;
use crate::wire::control::ShapingRequest;
use crate::wire::size::{Encapsulation, IpVersion};

const PAYLOAD: usize = 420;
const WIRE: u16 = 508;
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// What one number of homes came to.
struct Outcome {
    homes: usize,
    /// Both ways together.
    cells_per_second: f64,
    /// Of the loop's thread, in percent of one processor.
    cpu_percent: f64,
    lateness: Histogram,
    kb_per_home: f64,
    /// Cells that either end missed.
    drops: u64,
    /// The least that any home got, in percent of what it asked for.
    least_percent: f64,
}

#[test]
fn every_home_of_a_crowd_gets_its_cells() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped every_home_of_a_crowd_gets_its_cells: not root");
        return;
    }
    if let Ok(order) = std::env::var(ORDER) {
        return be_homes(&order);
    }
    if let Ok(one) = std::env::var(ONE) {
        let [homes, rate, seconds] = *one.split(' ').collect::<Vec<_>>() else { panic!("{ONE}={one}") };
        let outcome = run(homes.parse().unwrap(), rate.parse().unwrap(), seconds.parse().unwrap());
        println!("{}", row(&outcome));
        // On a machine that is not ours alone more cannot be asked.
        assert!(outcome.least_percent > 0.0, "a home of {homes} got nothing");
        return;
    }
    let asked = std::env::var("MILLPOND_HOMES");
    let is_bench = asked.is_ok();
    let how = if is_bench { "80 10" } else { "20 3" };
    // Each in a process of its own: memory that one has given back the next one would take up again.
    let numbers = asked.unwrap_or("1 60".to_owned());
    let rows = numbers.split_whitespace().map(|homes| row_of(&format!("{homes} {how}")));
    let rows: Vec<String> = rows.inspect(|row| println!("{row}")).collect();
    if is_bench {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/lab");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("endpoint.json"), format!("{{\"runs\": [\n{}\n]}}\n", rows.join(",\n"))).unwrap();
    }
}

/// Tells this program which one to run: how many homes, cells a second each way, for how many seconds.
const ONE: &str = "MILLPOND_CROWD_RUN";

fn row_of(one: &str) -> String {
    let output = this_test().env(ONE, one).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{one}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().find_map(|line| Some(line[line.find("{\"homes\"")?..].to_owned())).unwrap()
}

/// This very test, as a program.
fn this_test() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["every_home_of_a_crowd", "--nocapture"]);
    command
}

fn row(outcome: &Outcome) -> String {
    let us = |percent| outcome.lateness.percentile(percent).as_millis_f64() * 1e3;
    format!(
        "{{\"homes\": {}, \"cells_per_second\": {:.0}, \"cpu_percent\": {:.2}, \"lateness_us\": {{\"p50\": {:.0}, \"p99\": {:.0}}}, \"kb_per_home\": {:.1}, \"drops\": {}}}",
        outcome.homes,
        outcome.cells_per_second,
        outcome.cpu_percent,
        us(50.0),
        us(99.0),
        outcome.kb_per_home,
        outcome.drops
    )
}

fn run(homes: usize, rate: u64, seconds: u64) -> Outcome {
    let (cable, plug) = mpsc::channel();
    let (ready, begin) = mpsc::channel();
    let folder = std::env::temp_dir().join(format!("millpond-crowd-{}-{homes}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (socket, config) = (folder.join("socket"), folder.join("config"));
    fs::write(&config, "config millpond main\n").unwrap();
    let options = Options {
        config,
        socket: socket.clone(),
        brokers: Vec::new(),
        guard_file: folder.join("guard"),
        usage_file: folder.join("usage"),
    };

    let loop_thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        cable.send(fs::File::open("/proc/thread-self/ns/net").unwrap()).unwrap();
        begin.recv().unwrap();
        serve(&options, homes)
    });
    let far: fs::File = plug.recv().unwrap();
    let mut homes_process = Homes::start(homes, rate, &far);
    ready.send(()).unwrap();
    thread::sleep(Duration::from_secs(seconds));
    // The loop ends with settings that are not enabled.
    let (sessions, usage, memory, lasted) = {
        _ = unix_socket::ask(&socket, "reload", Duration::from_secs(5));
        loop_thread.join().unwrap()
    };
    let (least, missed) = homes_process.end();
    _ = fs::remove_dir_all(folder);

    let mut lateness = Histogram::default();
    let (mut cells, mut drops) = (0, 0);
    for session in sessions.all() {
        let stats = session.engine().stats();
        lateness.add(&stats.lateness);
        cells += stats.cells_data + stats.cells_cover + stats.cells_received;
        drops += stats.cells_lost + stats.slots_missed;
    }
    drops += missed;
    Outcome {
        homes,
        cells_per_second: cells as f64 / lasted,
        cpu_percent: 100.0 * usage / lasted,
        lateness,
        kb_per_home: memory as f64 / 1024.0 / homes as f64,
        drops,
        least_percent: 100.0 * least as f64 / (rate as f64 * (lasted - 1.0)),
    }
}

/// The endpoint: gives its sessions, the processor time in seconds, the memory of the sessions in bytes, and the time.
fn serve(options: &Options, homes: usize) -> (Sessions, f64, u64, f64) {
    let mut event_loop = EventLoop::start(options, Err(Error::TunTaken)).unwrap();
    let before = resident();
    let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
    let mut settings = crate::config::parse(b"config millpond main\n\toption role endpoint\n").settings.unwrap();
    settings.homes = (0..homes).map(home).collect();
    let now = timer::now();
    event_loop.sessions.update(&settings, size, now).unwrap();
    event_loop.departures = event_loop.sessions.departures();
    event_loop.tunnel.bind_for_test("mpx0", &event_loop.poll);
    let processor = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    };
    let used = processor();
    event_loop.run().unwrap();
    let used = processor() - used;
    let lasted = timer::now().saturating_since(now).as_secs_f64();
    let memory = event_loop.sessions.all().len() as u64 * (resident().saturating_sub(before) / homes as u64);
    (event_loop.sessions, used, memory, lasted)
}

/// Tells this program that it is the homes: how many, the rate, and where the endpoint's network is.
const ORDER: &str = "MILLPOND_CROWD";

/// The homes' process.
struct Homes {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Homes {
    /// Comes back when they are there.
    fn start(homes: usize, rate: u64, far: &fs::File) -> Homes {
        let far = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
        let mut child = this_test()
            .env_remove(ONE)
            .env(ORDER, format!("{homes} {rate} {far}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.ends_with("ready\n") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the homes' process has ended");
        }
        Homes { child, output }
    }

    /// Ends them, and gives the fewest cells that any of them got, and how many all together know that they missed.
    fn end(&mut self) -> (u64, u64) {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        let numbers = said.lines().find_map(|line| Some(line.split_once("got ")?.1)).unwrap();
        let (least, missed) = numbers.split_once(' ').unwrap();
        (least.parse().unwrap(), missed.parse().unwrap())
    }
}

/// What the homes' process does: until its input ends.
fn be_homes(order: &str) {
    let [homes, rate, far] = *order.split(' ').collect::<Vec<_>>() else { panic!("{ORDER}={order}") };
    let far = fs::File::open(far).unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    shell("ip link add mpx1 type veth peer name mpx0 && ip link set lo up && ip link set mpx1 up");
    shell(&format!("ip link set mpx0 netns /proc/{}/fd/{}", std::process::id(), far.as_raw_fd()));
    // Every address of the homes' is this network's.
    shell(
        "ip route add local 10.77.16.0/20 dev lo; ip addr add 10.77.255.254/32 dev mpx1; ip route add 10.77.0.1 dev mpx1",
    );
    let near = fs::File::open("/proc/thread-self/ns/net").unwrap();
    setns(&far, CloneFlags::CLONE_NEWNET).unwrap();
    shell("ip link set lo up && ip addr add 10.77.0.1/32 dev mpx0 && ip link set mpx0 up");
    shell("ip route add 10.77.255.254 dev mpx0 && ip route add 10.77.16.0/20 via 10.77.255.254");
    setns(&near, CloneFlags::CLONE_NEWNET).unwrap();
    println!("ready");
    let done = std::sync::Arc::new(AtomicBool::new(false));
    let ends = done.clone();
    thread::spawn(move || {
        _ = std::io::stdin().read(&mut [0]);
        ends.store(true, Ordering::Relaxed);
    });
    let received = live(homes.parse().unwrap(), rate.parse().unwrap(), &done);
    let least = received.iter().map(|(cells, _)| *cells).min().unwrap_or(0);
    println!("got {least} {}", received.iter().map(|(_, lost)| lost).sum::<u64>());
}

/// The homes: gives for each the cells that it got and those that it knows it missed.
fn live(homes: usize, rate: u64, done: &AtomicBool) -> Vec<(u64, u64)> {
    let pace = Pace { law: Law::Gamma, mean: Nanos(1_000_000_000 / rate), spread_percent: 33 };
    let request = ShapingRequest {
        id: 1,
        law: Law::Gamma,
        spread_percent: 33,
        cell_bytes: WIRE,
        rate: BitsPerSec(rate * u64::from(WIRE) * 8),
        cover: true,
    };
    let mut departures = DepartureQueue::default();
    let mut all: Vec<(Session, UdpSocket)> = (0..homes)
        .map(|number| {
            let seed = std::array::from_fn(|at| (number >> (8 * (at & 1))) as u8 ^ at as u8);
            let session = Session::router(
                PEER,
                Shaping { pace, payload_bytes: PAYLOAD, cover: true, passes: true },
                request,
                seed,
                timer::now(),
            );
            let socket = UdpSocket::bind(SocketAddrV4::new(home(number).address, CELL_PORT)).unwrap();
            socket.set_nonblocking(true).unwrap();
            (session, socket)
        })
        .collect();
    all.iter().enumerate().for_each(|(index, (session, _))| departures.add(session.next().unwrap(), index));
    let mut second = timer::now();
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        let now = timer::now();
        if now >= second {
            all.iter_mut().for_each(|(session, _)| session.tick(now));
            second = now + Nanos::from_secs(1);
        }
        let Some((when, index)) = departures.pop() else { break };
        if when > now + COALESCE_WINDOW {
            thread::sleep(Duration::from_nanos((when.0 - now.0).min(1_000_000)));
        }
        let (session, socket) = &mut all[index];
        if when > timer::now() + COALESCE_WINDOW {
            departures.add(when, index);
            continue;
        }
        if let Action::Send { scheduled, cell, .. } = session.act(timer::now()) {
            _ = socket.send_to(cell, (PEER, CELL_PORT));
            session.handle_departure(scheduled, timer::now());
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                session.handle_cell(timer::now(), &buffer[..length]);
            }
        }
        departures.add(session.next().unwrap(), index);
    }
    all.iter()
        .map(|(session, _)| (session.engine().stats().cells_received, session.engine().stats().cells_lost))
        .collect()
}

fn home(number: usize) -> Home {
    Home {
        name: number.to_string(),
        public_key: None,
        preshared_key: None,
        address: (u32::from(Ipv4Addr::new(10, 77, 16, 1)) + number as u32).into(),
        address6: None,
        max_download: BitsPerSec::from_kbit(4000),
        join_until: None,
    }
}

fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
