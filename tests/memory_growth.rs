//! Tests that the daemon's memory does not grow over an hour's worth of requests, reloads, kernel notifications and
//! neighbour changes. Cells are the subject of `allocations`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use millpond::config::example::ROUTER;

/// The load of an hour: a LuCI page that stays open, and an owner who changes a setting every minute.
const REQUESTS: usize = 720;
const RELOADS: usize = 60;

/// The settings of a round: another level and another device's name each time.
fn settings_text(level: &str, name: &str) -> String {
    let router = ROUTER.replacen("option enabled '1'\n", &format!("option enabled '1'\n\toption level '{level}'\n"), 1);
    format!("{router}\nconfig device\n\toption name '{name}'\n\toption mac '18:b4:30:26:34:40'\n")
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn ask(socket: &Path, request: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(format!("{request}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The daemon's anonymous memory in KiB.
fn anonymous_kb(daemon: &Child) -> usize {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.id())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn is_possible(test: &str) -> bool {
    let probe = "nft list tables && ip link add veth0 type veth peer name veth1";
    let is_possible = nix::unistd::geteuid().is_root()
        && Command::new("unshare").args(["--net", "sh", "-c", probe]).output().is_ok_and(|o| o.status.success());
    if !is_possible {
        println!("skipped {test}: needs root, nftables and veth");
    }
    is_possible
}

#[test]
fn an_hour_of_requests_and_changes_adds_no_memory() {
    if !is_possible("an_hour_of_requests_and_changes_adds_no_memory") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("millpond-memory-growth-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (settings, socket) = (folder.join("settings"), folder.join("socket"));
    let write = |round: usize| {
        let level = ["saver", "balanced", "strict", "turbo"][round % 4];
        let text = settings_text(level, &"x".repeat(1 + round % 60));
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
    let child =
        command.args(["--net", "sh", "-c", &script]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon(child);
    let start = Instant::now();
    while ask(&socket, "status").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "the daemon does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let run_in_namespace = |script: &str| {
        let target = daemon.0.id().to_string();
        Command::new("nsenter").args(["--net", "--target", &target, "sh", "-c", script]).output().unwrap();
    };
    let hour = || {
        for round in 0..RELOADS {
            write(round);
            ask(&socket, "reload").unwrap();
            for request in 0..REQUESTS / RELOADS {
                ask(&socket, ["status", "status json", "history 86400", "nonsense"][request % 4]).unwrap();
            }
            if round % 10 == 0 {
                let host = round + 2;
                run_in_namespace(&format!(
                    "nft delete table inet millpond; ip addr add 10.9.{host}.1/24 dev br-lan; \
                     ip neigh replace 192.168.1.{host} lladdr 02:00:00:00:00:{host:02x} dev br-lan"
                ));
                ask(&socket, "devices json").unwrap();
            }
        }
    };
    // The first hour allocates everything that is allocated once.
    hour();
    let before = anonymous_kb(&daemon.0);
    hour();
    let after = anonymous_kb(&daemon.0);
    println!("anonymous memory: {before} KiB, an hour later {after} KiB");
    assert!(after <= before + 16, "the memory grew from {before} to {after} KiB");
    drop(daemon);
    fs::remove_dir_all(&folder).unwrap();
}
