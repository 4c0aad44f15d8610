//! The endpoint in a container: what the engine withholds is named in one line, the health check follows the daemon's
//! state, and only the named networks read the metrics. `tests/packages/run` tests the image itself.

#![cfg(feature = "endpoint")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_millpond");
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// What an engine withholds: a name, the shell commands that take it away, and the words of the error.
const WITHHELD: [(&str, &str, &[&str]); 4] = [
    (
        "capability",
        "set -- setpriv --bounding-set -net_admin --inh-caps -net_admin \"$@\"",
        &["NET_ADMIN", "--cap-add NET_ADMIN"],
    ),
    ("tun", "mkdir -p /dev/net && mount -t tmpfs tmpfs /dev/net", &["/dev/net/tun", "--device /dev/net/tun"]),
    (
        "sysctls",
        "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys",
        &["/proc/sys", "systempaths=unconfined", "privileged: true"],
    ),
    ("volume", "mount -t tmpfs -o ro tmpfs volume", &["volume", "Read-only file system", "mount a volume"]),
];

/// A container's folder with the volume and the control socket; removed at the end.
struct Container(PathBuf);

impl Container {
    fn new(name: &str) -> Container {
        let folder = std::env::temp_dir().join(format!("millpond-container-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("volume")).unwrap();
        Container(folder)
    }

    /// A command of millpond in network and mount namespaces of its own, after the shell commands `setup`.
    fn command(&self, setup: &str, arguments: &[&str]) -> Command {
        let script = format!("cd '{}' && ip link set lo up && {{ {setup}; }} && exec \"$@\"", self.0.display());
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &script, "sh", PROGRAM]).args(arguments);
        command.env("container", "test");
        command
    }

    fn run_arguments<'a>(&self) -> [&'a str; 9] {
        let usage = "volume/usage";
        [
            "run",
            "--config",
            "volume/millpond",
            "--socket",
            "socket",
            "--guard-file",
            "volume/guard.nft",
            "--usage-file",
            usage,
        ]
    }

    fn millpond(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).current_dir(&self.0).output().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that is killed at the latest when the test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_possible(test: &str) -> bool {
    let is_possible = nix::unistd::geteuid().is_root()
        && ["mount -t tmpfs tmpfs /mnt", "command -v setpriv"].iter().all(|probe| {
            let probe = Command::new("unshare").args(["--net", "--mount", "sh", "-c", probe]).output();
            probe.is_ok_and(|output| output.status.success())
        });
    if !is_possible {
        println!("skipped {test}: needs root and setpriv");
    }
    is_possible
}

#[test]
fn whatever_a_container_lacks_is_named_in_one_line() {
    if !is_possible("whatever_a_container_lacks_is_named_in_one_line") {
        return;
    }
    for (name, setup, words) in WITHHELD {
        let container = Container::new(name);
        let init = ["endpoint", "init", "--host", "vpn.example.org", "--config", "volume/millpond", "--keys", "volume"];
        for (arguments, start) in
            [(&container.run_arguments()[..], "starting in a container: "), (&init, "setting up the endpoint: ")]
        {
            let output = container.command(setup, arguments).output().unwrap();
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(71), "{name}, {arguments:?}: {text}");
            assert_eq!(text.lines().count(), 1, "{name}: {text}");
            assert!(text.starts_with(&format!("millpond: {start}")), "{name}: {text}");
            assert!(words.iter().all(|word| text.contains(word)), "{name}: {text}");
            // Of this machine's kernel, init may name something besides.
            let causes = if arguments[0] == "run" { text.split("; ").count() } else { 1 };
            assert_eq!(causes, 1, "{name}: more than what is withheld: {text}");
        }
        assert!(!container.0.join("volume/millpond").exists(), "{name}: init wrote settings");
    }
}

/// The daemon starts without settings, `init` writes them, and the daemon takes them when it reloads.
#[test]
fn a_container_is_set_up_while_it_runs_and_stops_at_sigterm() {
    if !is_possible("a_container_is_set_up_while_it_runs_and_stops_at_sigterm") {
        return;
    }
    let container = Container::new("life");
    let health = || container.millpond(&["endpoint", "health", "--socket", "socket"]);
    let output = health();
    assert!(output.status.code() == Some(69) && stderr(&output).lines().count() == 1, "{}", stderr(&output));
    let mut command = container.command(":", &container.run_arguments());
    let mut daemon = Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let state = || {
        let output = container.millpond(&["status", "--json", "--socket", "socket"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (status["state"].as_str().unwrap_or_default().to_owned(), status["problems"].to_string())
    };
    let await_state = |wanted: &dyn Fn(&(String, String)) -> bool| {
        let start = Instant::now();
        while !wanted(&state()) {
            assert!(start.elapsed() < WAIT_LIMIT, "{:?}", state());
            sleep(Duration::from_millis(100));
        }
    };
    await_state(&|(state, problems)| state == "blocked" && problems.contains("\"settings\""));
    let output = health();
    assert!(output.status.code() == Some(69) && stderr(&output).contains("millpond status"), "{}", stderr(&output));

    let init = ["endpoint", "init", "--host", "vpn.example.org", "--anyway", "--config", "volume/millpond", "--keys"];
    let keys = container.0.join("volume");
    let output = container.millpond(&[&init[..], &[keys.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(container.millpond(&["reload", "--socket", "socket"]).status.success());
    await_state(&|(state, problems)| !state.is_empty() && !problems.contains("\"settings\""));
    // A machine whose kernel has no WireGuard becomes blocked again; the health check says the same as the status.
    let (state, output) = (0..50)
        .find_map(|_| {
            let (before, output) = (state().0, health());
            (state().0 == before).then_some((before, output))
        })
        .expect("a state that lasts");
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    assert!(if state == "blocked" { output.status.code() == Some(69) } else { text == state }, "{state}: {text}");

    kill(Pid::from_raw(daemon.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(daemon.0.wait().unwrap().success());
    assert!(!container.0.join("socket").exists());
}

/// The answer to a request from 192.0.2.1, which is not a loopback address, and the exit code of the server that ends
/// before it.
fn metrics_for(container: &Container, allow: &[&str]) -> (String, Option<i32>) {
    // A refused client may find the connection closed while it still writes.
    let setup = "ip addr add 192.0.2.1/32 dev lo
        trap '' PIPE
        ask() {
          exec 3<> /dev/tcp/192.0.2.1/9477 || return 1
          printf 'GET /metrics HTTP/1.1\\r\\n\\r\\n' >&3
          timeout 5 cat <&3
          return 0
        }
        \"$@\" & server=$!
        for try in $(seq 100); do
          ask > answer 2> /dev/null && break
          sleep 0.1
          kill -0 $server 2> /dev/null || break
        done
        cat answer
        if kill $server 2> /dev/null; then exit 0; fi
        wait $server; exit $?";
    let mut command = Command::new("unshare");
    let script = format!("cd '{}' && ip link set lo up && {setup}", container.0.display());
    command.args(["--net", "bash", "-c", &script, "bash", PROGRAM]);
    command.args(["endpoint", "metrics", "--socket", "nobody", "--listen", "192.0.2.1:9477"]).args(allow);
    let output = command.output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn only_allowed_networks_read_the_metrics_of_another_host() {
    if !is_possible("only_allowed_networks_read_the_metrics_of_another_host") {
        return;
    }
    let container = Container::new("metrics");
    // No daemon runs, so the answer to a client that may ask is an error of the server.
    let (answer, _) = metrics_for(&container, &["--allow", "198.51.100.1", "--allow", "192.0.2.0/24"]);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (answer, code) = metrics_for(&container, &["--allow", "198.51.100.0/24"]);
    assert_eq!((answer.as_str(), code), ("", Some(0)), "a client of another network");
    assert_eq!(metrics_for(&container, &[]).1, Some(64), "without --allow");
    assert_eq!(metrics_for(&container, &["--allow", "192.0.2.0/33"]).1, Some(64), "not a network");
}
