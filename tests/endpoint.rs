//! `millpond endpoint` as an operator uses it: from an empty server to homes whose routers join, with one line for each
//! error.

#![cfg(feature = "endpoint")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use millpond::config::join::{Identity, Invitation};
use millpond::config::model::{Key, Role, Settings, Tunnel, Wireguard};
use millpond::config::parse_with;

/// A folder with an endpoint's settings; removed at the end.
struct Server {
    folder: PathBuf,
}

impl Server {
    fn new(name: &str) -> Server {
        let folder = std::env::temp_dir().join(format!("millpond-endpoint-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Server { folder }
    }

    /// A server that has been set up, regardless of what this host lacks.
    fn set_up(name: &str) -> Server {
        let server = Server::new(name);
        let output = server.init(&["--host", "vpn.example.org", "--anyway"]);
        assert!(output.status.success(), "{}", err(&output));
        server
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let config = self.config();
        let mut all = vec!["endpoint", command];
        all.extend(arguments);
        all.extend(["--config", config.to_str().unwrap()]);
        if !matches!(command, "init" | "list-homes") {
            all.extend(["--socket", "/nonexistent/socket"]);
        }
        if matches!(command, "init" | "rotate-keys") {
            all.extend(["--keys", self.folder.to_str().unwrap()]);
        }
        Command::new(env!("CARGO_BIN_EXE_millpond")).args(all).output().unwrap()
    }

    fn init(&self, arguments: &[&str]) -> Output {
        self.run("init", &[arguments, &["--no-start"]].concat())
    }

    fn config(&self) -> PathBuf {
        self.folder.join("millpond")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    fn settings(&self) -> Settings {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
        let parsed = parse_with(self.text().as_bytes(), &read);
        parsed.settings.unwrap_or_else(|| panic!("{:?}", parsed.problems))
    }

    fn wireguard(&self) -> Wireguard {
        match self.settings().tunnel {
            Some(Tunnel::Wireguard(wireguard)) => wireguard,
            other => panic!("{other:?}"),
        }
    }

    fn private_files(&self) -> usize {
        let entries = fs::read_dir(&self.folder).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "private")).count()
    }

    /// Runs a command that must fail with one line and change nothing.
    fn refuses(&self, command: &str, arguments: &[&str], words: &str) {
        let (before, files) = (fs::read(self.config()).ok(), self.private_files());
        let output = self.run(command, arguments);
        let text = err(&output);
        assert!(!output.status.success() && text.lines().count() == 1 && text.contains(words), "{arguments:?}: {text}");
        assert_eq!((fs::read(self.config()).ok(), self.private_files()), (before, files), "{arguments:?}");
    }

    fn add(&self, arguments: &[&str]) -> Invitation {
        let output = self.run("add-home", arguments);
        assert!(output.status.success(), "{}", err(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "without a terminal only the text is printed: {text}");
        Invitation::from_text(&text).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn init_sets_up_an_endpoint() {
    let server = Server::new("init");
    let arguments = ["--host", "vpn.example.org", "--port", "51821", "--address6", "fd77::1/64", "--anyway"];
    let output = server.init(&arguments);
    assert!(output.status.success(), "{}", err(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("allow UDP port 51821 in") && out.contains("add-home"), "{out}");
    let settings = server.settings();
    assert!(settings.enabled && settings.role == Role::Endpoint);
    assert_eq!(settings.address6, Some("fd77::1".parse().unwrap()));
    let wireguard = server.wireguard();
    assert!(out.contains(&wireguard.private_key.public().to_base64()), "{out}");
    assert!(!server.text().contains(&wireguard.private_key.to_base64()), "the key is in its own file");
    assert_eq!(
        (wireguard.listen_port, wireguard.endpoint.unwrap().to_string().as_str()),
        (Some(51821), "vpn.example.org:51821")
    );
    server.refuses(
        "init",
        &["--host", "vpn.example.org", "--anyway", "--no-start"],
        "already has an endpoint's settings",
    );
}

#[test]
fn init_reports_errors_before_it_writes_anything() {
    let server = Server::new("init-wrong");
    for (arguments, words) in [
        (&["--host", "no host", "--anyway", "--no-start"][..], "not a host name"),
        (&["--host", "a", "--address", "10.77.0.1", "--anyway", "--no-start"], "10.77.0.1/16"),
        (&["--host", "a", "--address6", "fd77::1", "--anyway", "--no-start"], "fd77::1/64"),
        (&["--host", "a", "--resolver", "nine", "--anyway", "--no-start"], "not an IP address"),
        (&["--host", "a", "--backup", "b:1", "--anyway", "--no-start"], "backup"),
    ] {
        server.refuses("init", arguments, words);
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    server.refuses("init", &["--host", "a", "--port", &port, "--no-start"], &format!("UDP port {port} is in use"));
    fs::write(server.config(), include_str!("../files/etc/config/millpond").replace("enabled '0'", "enabled '1'"))
        .unwrap();
    server.refuses("init", &["--host", "a", "--anyway", "--no-start"], "missing");
}

#[test]
fn a_home_is_added_listed_and_removed() {
    let server = Server::set_up("homes");
    let mut text = server.text();
    text.push_str("\n# the operator's own words\n");
    fs::write(server.config(), &text).unwrap();
    let maple = server.add(&["maple street"]);
    let oak = server.add(&["oak's lane", "--max-download", "800", "--days", "0"]);
    assert_eq!((maple.address, oak.address), ([10, 77, 0, 2].into(), [10, 77, 0, 3].into()));
    assert_eq!((maple.peer_address, oak.expires, oak.max_download.0), ([10, 77, 0, 1].into(), None, 800_000));
    assert!(maple.expires.is_some() && maple.has_private_key());
    let homes = server.settings().homes;
    assert_eq!(homes[0].public_key, Some(maple.public_key()));
    assert_eq!(homes[1].name, "oak's lane");
    assert_eq!(homes[1].preshared_key, oak.preshared_key);
    let Identity::Private(key) = &maple.identity else { panic!("no key") };
    assert!(!server.text().contains(&key.to_base64()), "the endpoint keeps no home's private key");
    assert_eq!(maple.servers[0].public_key, server.wireguard().private_key.public());

    server.refuses("add-home", &["maple street"], "a home with this name exists");
    server.refuses("add-home", &["two\nlines"], "control characters");
    server.refuses("remove-home", &["elm"], "list-homes");
    let list = server.run("list-homes", &["--json"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains(r#""name":"oak's lane","address":"10.77.0.3""#), "{list}");

    assert!(server.run("remove-home", &["maple street"]).status.success());
    let homes = server.settings().homes;
    assert_eq!((homes.len(), homes[0].name.as_str()), (1, "oak's lane"));
    assert!(server.text().contains("# the operator's own words"));
    assert_eq!(server.add(&["elm"]).address, maple.address, "the address is free again");
}

#[test]
fn a_router_that_made_its_own_key_gets_a_text_without_one() {
    let server = Server::set_up("own-key");
    let key = Key::private([5; 32]).public();
    let invitation = server.add(&["maple", "--public-key", &key.to_base64()]);
    assert_eq!(invitation.identity, Identity::Public(key.clone()));
    server.refuses("add-home", &["oak", "--public-key", &key.to_base64()], "'maple' already has this public key");
    server.refuses("add-home", &["oak", "--public-key", "short"], "not a WireGuard key");
}

#[test]
fn a_full_network_is_reported() {
    let server = Server::new("full");
    assert!(server.init(&["--host", "a.example", "--address", "10.77.0.1/30", "--anyway"]).status.success());
    server.add(&["only"]);
    server.refuses("add-home", &["one too many"], "room for 1 home:");
}

#[test]
fn a_join_text_lists_all_endpoints_with_different_keys() {
    let server = Server::new("several");
    let other = Key::private([6; 32]).public().to_base64();
    let backup = format!("vpn2.example.org:51820 {other}");
    assert!(server.init(&["--host", "vpn.example.org", "--backup", &backup, "--anyway"]).status.success());
    let firsts: BTreeSet<String> = (0..40)
        .map(|home| {
            let servers = server.add(&[&format!("home {home}")]).servers;
            assert_eq!(servers.len(), 2);
            servers[0].at.host.clone()
        })
        .collect();
    assert_eq!(firsts.len(), 2, "homes spread; chance of failure 2^-39");
    let own = server.wireguard().private_key.public().to_base64();
    fs::write(server.config(), server.text().replace(&other, &own)).unwrap();
    server.refuses("add-home", &["next"], "two endpoints with one key");
}

#[test]
fn rotate_keys_changes_keys_and_puts_them_into_the_texts() {
    let server = Server::set_up("rotate");
    let before = server.add(&["maple"]);
    let output = server.run("rotate-keys", &["maple"]);
    let after = Invitation::from_text(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert_eq!(after.address, before.address);
    assert!(after.identity != before.identity && after.preshared_key != before.preshared_key);
    assert_eq!(server.settings().homes[0].public_key, Some(after.public_key()));

    let old = server.wireguard().private_key.public();
    let output = server.run("rotate-keys", &[]);
    assert!(output.status.success(), "{}", err(&output));
    let line = String::from_utf8(output.stdout).unwrap();
    let text = Invitation::from_text(line.strip_prefix("maple: ").unwrap()).unwrap();
    assert_eq!(text.identity, Identity::Public(after.public_key()), "the router keeps its key");
    let new = server.wireguard().private_key.public();
    assert!(new != old && text.servers[0].public_key == new);
    assert_eq!(server.private_files(), 1, "the old key is gone");
    server.refuses("rotate-keys", &["elm"], "no such home");
}

#[test]
fn a_join_text_ends_once_by_its_first_router_or_by_expiry() {
    let server = Server::set_up("finish");
    let text = server.add(&["maple street"]);
    let home = || server.settings().homes.into_iter().next().unwrap();
    assert_eq!(
        (home().join_until.map(|until| until / 60 * 60), home().public_key),
        (text.expires, Some(text.public_key()))
    );
    let [first, second] = [1, 2].map(|byte| Key::private([byte; 32]).public());
    server.refuses("finish-enrolment", &["maple street", "--public-key", "no key"], "not a WireGuard key");
    server.refuses("finish-enrolment", &["oak street"], "no such home");
    let ended_by_router = server.run("finish-enrolment", &["maple street", "--public-key", &first.to_base64()]);
    assert!(ended_by_router.status.success(), "{}", err(&ended_by_router));
    assert_eq!((home().join_until, home().public_key), (None, Some(first.clone())));
    server.refuses("finish-enrolment", &["maple street", "--public-key", &second.to_base64()], "it is already used");

    // A new text that no router uses, and then another.
    assert!(server.run("rotate-keys", &["maple street", "--days", "0"]).status.success());
    let unused = home();
    assert_eq!(unused.join_until, Some(0), "without expiry");
    let ended = server.run("finish-enrolment", &["maple street"]);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("expired unused"), "{}", err(&ended));
    assert!(home().join_until.is_none() && home().public_key != unused.public_key);

    server.add(&["birch street", "--public-key", &second.to_base64()]);
    server.refuses("finish-enrolment", &["birch street"], "there was none");
    let output = server.run("rotate-keys", &["maple street"]);
    assert!(output.status.success());
    server.refuses(
        "finish-enrolment",
        &["maple street", "--public-key", &second.to_base64()],
        "'birch street' already has this",
    );
}

/// The daemon runs in its own network namespace, perhaps without WireGuard; its answers need no tunnel.
#[test]
fn the_daemon_notifies_systemd_and_serves_metrics() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped the_daemon_notifies_systemd_and_serves_metrics: not root");
        return;
    }
    let server = Server::set_up("metrics");
    server.add(&["maple"]);
    let path = |name: &str| server.folder.join(name);
    let manager = UnixDatagram::bind(path("manager")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut daemon = Command::new("unshare")
        .args(["--net", env!("CARGO_BIN_EXE_millpond"), "run", "--config"])
        .arg(server.config())
        .arg("--socket")
        .arg(path("socket"))
        .arg("--guard-file")
        .arg(path("guard.nft"))
        .env("NOTIFY_SOCKET", path("manager"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = (0..10).any(|_| {
        let mut message = [0; 256];
        manager.recv(&mut message).is_ok_and(|length| message[..length].starts_with(b"READY=1"))
    });
    let metrics = |arguments: &[&str]| {
        let (config, socket) = (server.config(), path("socket"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(["endpoint", "metrics"]).args(arguments).arg("--config").arg(config).arg("--socket").arg(socket);
        command
    };
    let totals = metrics(&[]).output().unwrap();
    let served = metrics(&["--listen", "127.0.0.1:39477"]).spawn();
    let answers: Vec<String> = ["GET /metrics", "GET /", "POST /metrics"].map(|line| http(39477, line)).into();
    served.map(|mut served| (served.kill(), served.wait())).unwrap().1.unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(ready, "the daemon never sent READY=1");

    let totals = String::from_utf8(totals.stdout).unwrap();
    let mut families = BTreeSet::new();
    for line in totals.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["#", "HELP", name, _, ..] => assert!(families.insert(name), "{line}: twice"),
            ["#", "TYPE", name, kind] => {
                assert!(families.contains(name) && ["counter", "gauge", "summary"].contains(&kind), "{line}");
            }
            [name, value] => {
                let name = name.split('{').next().unwrap();
                let family = name.trim_end_matches("_sum").trim_end_matches("_count");
                assert!(families.contains(family) && value.parse::<f64>().is_ok(), "{line}");
            }
            _ => panic!("not in the format: {line}"),
        }
    }
    for name in
        ["millpond_homes", "millpond_cells_sent_total", "millpond_lateness_seconds", "process_cpu_seconds_total"]
    {
        assert!(families.contains(name), "{name} in {families:?}");
    }
    for secret in ["maple", "10.77.0.2"] {
        assert!(!totals.contains(secret), "totals identify no home: {totals}");
    }
    assert!(answers[0].starts_with("HTTP/1.1 200") && answers[0].contains("millpond_homes{"), "{}", answers[0]);
    assert!(answers[1].starts_with("HTTP/1.1 404") && answers[2].starts_with("HTTP/1.1 405"), "{answers:?}");
    assert_eq!(
        metrics(&["--listen", "0.0.0.0:39477"]).output().unwrap().status.code(),
        Some(64),
        "only a loopback address is allowed"
    );
    assert_eq!(metrics(&[]).output().unwrap().status.code(), Some(69), "the daemon has ended");
}

/// Returns the answer to a request; retries until the server listens.
fn http(port: u16, line: &str) -> String {
    let stream = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let mut stream = stream.expect("a listening server");
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Names go on command lines, by hand and by the daemon, which finishes enrolments.
#[test]
fn a_homes_name_may_look_like_an_option() {
    let server = Server::set_up("names");
    for (name, key) in ["-x", "--help", "help", "--public-key", "oak's lane"].into_iter().zip(1..) {
        let key = Key::private([key; 32]).public().to_base64();
        // The command's own options come before the name.
        let run = |command: &str, options: &[&str]| {
            let config = server.config();
            let mut all = vec!["endpoint", command, "--config", config.to_str().unwrap(), "--socket", "/nonexistent/s"];
            all.extend(options);
            all.extend(["--", name]);
            Command::new(env!("CARGO_BIN_EXE_millpond")).args(all).output().unwrap()
        };
        assert!(run("add-home", &[]).status.success(), "{name}");
        let output = run("finish-enrolment", &["--public-key", &key]);
        assert!(output.status.success(), "{name}: {}", err(&output));
        assert!(run("rotate-keys", &[]).status.success(), "{name}");
        let expired = run("finish-enrolment", &[]);
        let advice = String::from_utf8(expired.stdout).unwrap();
        let advice = advice.trim().rsplit(": ").next().unwrap();
        // What the advice says works in a shell, with the paths of this test.
        let config = server.config();
        let paths = format!("rotate-keys --config {} --socket /nonexistent/s ", config.display());
        let command = advice.replace("millpond endpoint", &format!("{} endpoint", env!("CARGO_BIN_EXE_millpond")));
        let shell = Command::new("sh").args(["-c", &command.replace("rotate-keys ", &paths)]).output().unwrap();
        assert!(shell.status.success() && !shell.stdout.is_empty(), "{command}: {}", err(&shell));
        assert!(run("remove-home", &[]).status.success(), "{name}");
    }
}

/// A slow client neither stays nor keeps others waiting.
#[test]
fn slow_clients_of_the_metrics_are_bounded() {
    let server = Server::set_up("slow");
    let mut served = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["endpoint", "metrics", "--listen", "127.0.0.1:39478", "--socket", "/nonexistent/socket", "--config"])
        .arg(server.config())
        .spawn()
        .unwrap();
    let first = http(39478, "GET /");
    // Each sends a byte from time to time, and never the end of its request.
    let slow: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                let start = Instant::now();
                let mut stream = TcpStream::connect(("127.0.0.1", 39478)).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
                while start.elapsed() < Duration::from_secs(20) {
                    _ = stream.write_all(b"G");
                    match stream.read(&mut [0; 64]) {
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                        _ => break,
                    }
                }
                start.elapsed()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let second = http(39478, "GET /");
    let waited = start.elapsed();
    let stayed: Vec<Duration> = slow.into_iter().map(|client| client.join().unwrap()).collect();
    _ = served.kill();
    served.wait().unwrap();
    assert!(first.starts_with("HTTP/1.1 404") && second.starts_with("HTTP/1.1 404"), "{first} {second}");
    assert!(waited < Duration::from_secs(1), "the next client waited {waited:?}");
    assert!(stayed.iter().all(|stayed| *stayed < Duration::from_secs(10)), "slow clients stayed {stayed:?}");
}
