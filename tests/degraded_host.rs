//! A daemon in trouble: nonsense in its settings, a flash that is full or read-only, no nft. It stays up, says what is
//! wrong in one line, and the guard holds as far as there can be one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

const WAIT_LIMIT: Duration = Duration::from_secs(30);
const CAMERA: &str = "18:b4:30:26:34:40";

const GOOD: &str = "config millpond 'main'
	option enabled '1'

config tunnel 'tunnel'
	option private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option endpoint '203.0.113.9:51820'
	option address '10.77.0.2'
	option peer_address '10.77.0.1'

config device
	option name 'Front door camera'
	option mac '18:b4:30:26:34:40'
";

/// A daemon in namespaces of its own, network and mounts.
struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// `setting`: commands of the shell's that come first, in its namespaces and its folder. `$SOCKET`: another control socket.
    fn start(name: &str, settings: &[u8], setting: &str) -> Daemon {
        let folder = std::env::temp_dir().join(format!("millpond-degraded-host-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("flash")).unwrap();
        fs::write(folder.join("settings"), settings).unwrap();
        let script = format!(
            "cd {0} && ip link set lo up && {{ {setting}; }} && exec {1} run --config settings --socket ${{SOCKET:-socket}} \
             --ubus {0}/nobody --guard-file flash/guard.nft",
            folder.display(),
            env!("CARGO_BIN_EXE_millpond")
        );
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        let child = command.args(["--net", "--mount", "sh", "-c", &script]).stdout(Stdio::null()).stderr(log).spawn();
        Daemon { child: child.unwrap(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// A command of the shell's in the daemon's namespaces.
    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("nsenter");
        let command = command.args(["--net", "--mount", "--target", &self.child.id().to_string(), "sh", "-c", script]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn guards_the_camera(&self) -> bool {
        self.shell("nft list set inet millpond shape_mac").contains(CAMERA)
    }

    fn status(&self) -> Option<String> {
        let (code, text) = millpond(&["status", "--json", "--socket", self.path("socket").to_str()?]);
        (code == Some(0)).then_some(text)
    }

    /// The status once it is so.
    fn await_status(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < WAIT_LIMIT {
            last = self.status();
            if let Some(status) = last.as_ref().filter(|status| is_so(status)) {
                return status.clone();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}: not in {last:?}; the log:\n{}", self.log());
    }

    fn is_up(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it, which has to go well.
    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// The program's exit code and all that it says.
fn millpond(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn check(path: &Path) -> (Option<i32>, String) {
    millpond(&["check", "--config", path.to_str().unwrap()])
}

fn possible(test: &str) -> bool {
    let probe = "nft list tables && ip link set lo up && mount -t tmpfs tmpfs /mnt";
    let possible = nix::unistd::geteuid().is_root()
        && Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", probe])
            .output()
            .is_ok_and(|o| o.status.success());
    if !possible {
        println!("skipped {test}: not root, or no nftables here");
    }
    possible
}

/// What somebody types, what `uci set` makes of it, and what a page writes that was left half filled in.
fn nonsense() -> Vec<Vec<u8>> {
    let change = |from: &str, to: &str| {
        let changed = GOOD.replacen(from, to, 1);
        assert_ne!(changed, GOOD, "{from}");
        changed.into_bytes()
    };
    let mut all = vec![
        Vec::new(),
        b"\n\n# nothing\n".to_vec(),
        b"enabled=1\n".to_vec(),
        b"{\"enabled\": true}\n".to_vec(),
        b"\xef\xbb\xbfconfig millpond main\r\n\toption enabled 1\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"config ".repeat(10_000),
        b"config device\n\toption mac ''\n".repeat(2_000),
        [GOOD.as_bytes(), GOOD.as_bytes()].concat(),
        [GOOD.as_bytes(), b"config device\n\toption mac '", &[b'a'; 100_000], b"'\n"].concat(),
        GOOD.as_bytes()[..GOOD.len() / 2].to_vec(),
        change("'1'", "'maybe'"),
        change("'1'", "'1"),
        change("config tunnel 'tunnel'", "config tunel 'tunnel'"),
        change("option endpoint '203.0.113.9:51820'", "option endpoint '203.0.113.9'"),
        change("203.0.113.9:51820", "203.0.113.9:99999"),
        change("option address '10.77.0.2'", "list address '10.77.0.2'\n\tlist address '10.77.0.3'"),
        change("option address '10.77.0.2'", "option address '10.77.0.2/64'"),
        change("10.77.0.1", "10.77.0.2"),
        change("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", "/nonexistent/key"),
        change("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", "****"),
        change("option enabled '1'", "option enabled '1'\n\toption level 'turbo'"),
        change("option enabled '1'", "option enabled '1'\n\toption level 'custom'\n\toption upload '-1'"),
        change(
            "option enabled '1'",
            "option enabled '1'\n\toption level 'custom'\n\toption cell '99999999999999999999'",
        ),
        change("option enabled '1'", "option enabled '1'\n\toption table '254'"),
        change(CAMERA, "18:b4:30:26:34"),
        change(CAMERA, "ff:ff:ff:ff:ff:ff"),
        change("option mac '18:b4:30:26:34:40'", "option policy 'hide'"),
    ];
    // And what no one would think of.
    let seed = 7;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::from_seed([seed; 32]);
    for _ in 0..12 {
        let mut text = GOOD.as_bytes().to_vec();
        for _ in 0..rng.random_range(1..40) {
            let place = rng.random_range(0..text.len());
            match rng.random_range(0..3) {
                0 => text[place] = rng.random(),
                1 => drop(text.remove(place)),
                _ => text.insert(place, b"'\"\n\t #\\\0"[rng.random_range(0..8)]),
            }
        }
        all.push(text);
    }
    all
}

/// By then the daemon has settings in force, and they stay.
#[test]
fn nonsense_is_refused_and_opens_nothing() {
    if !possible("nonsense_is_refused_and_opens_nothing") {
        return;
    }
    let mut daemon = Daemon::start("nonsense", GOOD.as_bytes(), "true");
    daemon.await_status("the guard", |_| daemon.guards_the_camera());
    let (settings, socket) = (daemon.path("settings"), daemon.path("socket"));
    for text in nonsense() {
        let shown = String::from_utf8_lossy(&text[..text.len().min(1500)]).into_owned();
        fs::write(&settings, &text).unwrap();
        let (checked, words) = check(&settings);
        let (reloaded, answer) = millpond(&["reload", "--socket", socket.to_str().unwrap()]);
        assert!(daemon.is_up(), "{shown}\n{}", daemon.log());
        if checked == Some(0) {
            // Enough of it was left to be settings, which are then in force: only `enabled 0` lets the devices go.
            continue;
        }
        assert_eq!((checked, reloaded), (Some(78), Some(78)), "{shown}\n{words}{answer}");
        assert!(words.lines().all(|line| line.len() < 1000), "{words}");
        let status = daemon.await_status("the problem", |status| status.contains(r#""code":"settings""#));
        assert!(daemon.guards_the_camera(), "{shown}\n{status}");
    }
    fs::write(&settings, GOOD).unwrap();
    millpond(&["reload", "--socket", socket.to_str().unwrap()]);
    daemon.await_status("no problem with the settings", |status| !status.contains(r#""code":"settings""#));
    daemon.stop();
}

/// A daemon that starts with them has nothing better, and confines what it can make out.
#[test]
fn a_daemon_that_starts_with_nonsense_confines_what_it_understands() {
    if !possible("a_daemon_that_starts_with_nonsense_confines_what_it_understands") {
        return;
    }
    let settings = GOOD.replace("203.0.113.9:51820", "nowhere");
    let daemon = Daemon::start("start", settings.as_bytes(), "true");
    daemon.await_status("the problem", |status| {
        status.contains(r#""state":"blocked""#) && status.contains(r#""code":"settings""#)
    });
    assert!(daemon.guards_the_camera(), "{}", daemon.log());
    assert!(daemon.log().contains("tunnel.endpoint: "), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn a_flash_that_takes_nothing_is_one_problem_and_the_guard_stands() {
    if !possible("a_flash_that_takes_nothing_is_one_problem_and_the_guard_stands") {
        return;
    }
    let full = "mount -t tmpfs -o size=8k tmpfs flash && { cat /dev/zero > flash/filler 2> /dev/null || true; }";
    let read_only = "mount -t tmpfs -o ro tmpfs flash";
    for (name, trouble, words, mend) in [
        ("full", full, "No space left on device", "rm flash/filler"),
        ("read-only", read_only, "Read-only file system", "mount -o remount,rw flash"),
    ] {
        let daemon = Daemon::start(name, GOOD.as_bytes(), trouble);
        let status = daemon.await_status(name, |status| status.contains(r#""code":"guard-file""#));
        assert!(status.contains(words), "{status}");
        assert!(!status.contains(r#""code":"guard""#), "{status}");
        assert!(daemon.guards_the_camera(), "{name}: {status}");
        assert_eq!(daemon.log().matches(words).count(), 1, "one line, however often it is tried:\n{}", daemon.log());
        let folder = daemon.folder.display();
        assert_eq!(daemon.shell(&format!("cd {folder} && {mend} && ls -A flash")), "", "no piece of a file is left");
        millpond(&["renew", "--socket", daemon.path("socket").to_str().unwrap()]);
        daemon.await_status("no problem", |status| !status.contains(r#""code":"guard-file""#));
        assert!(daemon.shell(&format!("cat {folder}/flash/guard.nft")).contains(CAMERA));
        daemon.stop();
    }
}

/// Whoever asks has ubus; the guard needs neither.
#[test]
fn without_a_place_for_its_socket_it_runs_all_the_same() {
    if !possible("without_a_place_for_its_socket_it_runs_all_the_same") {
        return;
    }
    let mut daemon =
        Daemon::start("socket", GOOD.as_bytes(), "mkdir full && mount -t tmpfs -o ro tmpfs full && SOCKET=full/socket");
    let start = Instant::now();
    while !daemon.guards_the_camera() {
        assert!(start.elapsed() < WAIT_LIMIT && daemon.is_up(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(daemon.log().matches("listening at full/socket: ").count(), 1, "{}", daemon.log());
    daemon.stop();
}

#[test]
fn without_nft_its_package_is_named() {
    if !possible("without_nft_its_package_is_named") {
        return;
    }
    let hidden = "for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs tmpfs $folder; done; PATH=/usr/bin";
    let daemon = Daemon::start("nft", GOOD.as_bytes(), hidden);
    let status = daemon.await_status("the problem", |status| status.contains(r#""code":"package-missing""#));
    assert!(status.contains(r#""state":"blocked""#) && status.contains("install nftables"), "{status}");
    assert_eq!(daemon.log().matches("nft is missing").count(), 1, "{}", daemon.log());
}

#[test]
fn without_ubus_one_line_says_so() {
    if !possible("without_ubus_one_line_says_so") {
        return;
    }
    let daemon = Daemon::start("ubus", GOOD.as_bytes(), "true");
    let status = daemon.await_status("the guard", |_| daemon.guards_the_camera());
    assert!(!status.contains(r#""code":"ubus""#), "{status}");
    assert_eq!(daemon.log().matches("no ubus here").count(), 1, "{}", daemon.log());
    daemon.stop();
}
