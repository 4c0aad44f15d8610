//! The daemon's own memory over an hour's worth of everything but cells (those are the subject of `allocations`): questions,
//! reloads, news from the kernel, neighbours that come and go.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SETTINGS: &str = "config millpond 'main'
	option enabled '1'
	option level 'LEVEL'

config tunnel 'tunnel'
	option private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option endpoint '203.0.113.9:51820'
	option address '10.77.0.2'
	option peer_address '10.77.0.1'

config device
	option name 'NAME'
	option mac '18:b4:30:26:34:40'
";

/// An hour of a page that is open, and of an owner who changes something every minute.
const QUESTIONS: usize = 720;
const RELOADS: usize = 60;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn ask(socket: &Path, question: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(format!("{question}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// KiB that the daemon has for itself.
fn anonymous_kb(daemon: &Child) -> usize {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.id())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn possible(test: &str) -> bool {
    let probe = "nft list tables && ip link add veth0 type veth peer name veth1";
    let possible = nix::unistd::geteuid().is_root()
        && Command::new("unshare").args(["--net", "sh", "-c", probe]).output().is_ok_and(|o| o.status.success());
    if !possible {
        println!("skipped {test}: not root, or no nftables or veth here");
    }
    possible
}

#[test]
fn an_hour_of_questions_and_changes_adds_no_memory() {
    if !possible("an_hour_of_questions_and_changes_adds_no_memory") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("millpond-memory-growth-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (settings, socket) = (folder.join("settings"), folder.join("socket"));
    let write = |round: usize| {
        let level = ["saver", "balanced", "strict", "turbo"][round % 4];
        let text = SETTINGS.replace("LEVEL", level).replace("NAME", &"x".repeat(1 + round % 60));
        fs::write(&settings, text).unwrap();
    };
    write(0);
    let script = format!(
        "ip link set lo up && ip link add br-lan type bridge && ip addr add 192.168.1.1/24 dev br-lan && ip link set br-lan up \
         && cd {} && exec {} run --config settings --socket socket --ubus nobody --guard-file guard.nft",
        folder.display(),
        env!("CARGO_BIN_EXE_millpond")
    );
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("unshare");
    let child = command.args(["--net", "sh", "-c", &script]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let daemon = Daemon(child);
    let start = Instant::now();
    while ask(&socket, "status").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it answers");
        std::thread::sleep(Duration::from_millis(50));
    }
    let inside = |script: &str| {
        let target = daemon.0.id().to_string();
        Command::new("nsenter").args(["--net", "--target", &target, "sh", "-c", script]).output().unwrap();
    };
    let hour = || {
        for round in 0..RELOADS {
            write(round);
            ask(&socket, "reload").unwrap();
            for question in 0..QUESTIONS / RELOADS {
                ask(&socket, ["status", "status json", "history 86400", "nonsense"][question % 4]).unwrap();
            }
            if round % 10 == 0 {
                let host = round + 2;
                inside(&format!(
                    "nft delete table inet millpond; ip addr add 10.9.{host}.1/24 dev br-lan; \
                     ip neigh replace 192.168.1.{host} lladdr 02:00:00:00:00:{host:02x} dev br-lan"
                ));
                ask(&socket, "devices json").unwrap();
            }
        }
    };
    // The first brings everything into being that there is one of.
    hour();
    let before = anonymous_kb(&daemon.0);
    hour();
    let after = anonymous_kb(&daemon.0);
    println!("anonymous memory: {before} KiB, an hour later {after} KiB");
    assert!(after <= before + 16, "{before} KiB became {after}");
    drop(daemon);
    fs::remove_dir_all(&folder).unwrap();
}
