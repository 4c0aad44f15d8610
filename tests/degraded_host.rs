//! Tests the daemon on a degraded host: malformed settings, a full or read-only flash, no nft, no ubus. The daemon
//! stays up, reports each problem in one line, and installs the guard if that is possible.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use millpond::config::example::ROUTER;
use millpond::daemon::answers::{ProblemAnswer, StatusAnswer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

const WAIT_LIMIT: Duration = Duration::from_secs(30);
const CAMERA: &str = "18:b4:30:26:34:40";

/// Settings without errors: a router with one shaped device.
fn good() -> String {
    format!("{ROUTER}\nconfig device\n\toption name 'Front door camera'\n\toption mac '{CAMERA}'\n")
}

/// A daemon in its own network and mount namespaces.
struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts a daemon. The shell commands `setup` run before it, in its namespaces and its folder. They may set
    /// `$SOCKET` to another control socket and `$USAGE` to another file of the data usage.
    fn start(name: &str, settings: &[u8], setup: &str) -> Daemon {
        let folder = std::env::temp_dir().join(format!("millpond-degraded-host-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("flash")).unwrap();
        fs::write(folder.join("settings"), settings).unwrap();
        let script = format!(
            "cd {0} && ip link set lo up && {{ {setup}; }} && exec {1} run --config settings --socket ${{SOCKET:-socket}} \
             --ubus {0}/nobody --guard-file flash/guard.nft --usage-file ${{USAGE:-usage}}",
            folder.display(),
            env!("CARGO_BIN_EXE_millpond")
        );
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &script]).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn();
        Daemon { child: child.unwrap(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Runs a shell script in the daemon's namespaces, and returns its output.
    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("nsenter");
        let command = command.args(["--net", "--mount", "--target", &self.child.id().to_string(), "sh", "-c", script]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn guards_the_camera(&self) -> bool {
        self.shell("nft list set inet millpond shape_mac").contains(CAMERA)
    }

    fn status(&self) -> Option<StatusAnswer> {
        let (code, text) = millpond(&["status", "--json", "--socket", self.path("socket").to_str()?]);
        (code == Some(0)).then(|| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}")))
    }

    /// Waits until the status satisfies `condition`, and returns it.
    fn await_status(&self, what: &str, condition: impl Fn(&StatusAnswer) -> bool) -> StatusAnswer {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < WAIT_LIMIT {
            last = self.status();
            if let Some(status) = last.as_ref().filter(|status| condition(status)) {
                return status.clone();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}: not in {last:?}; the log:\n{}", self.log());
    }

    fn is_up(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops the daemon with SIGTERM. It must exit with success.
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

fn has_problem(status: &StatusAnswer, code: &str) -> bool {
    status.problems.iter().any(|problem| problem.code == code)
}

/// Runs the program. Returns its exit code and output.
fn millpond(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn check(path: &Path) -> (Option<i32>, String) {
    millpond(&["check", "--config", path.to_str().unwrap()])
}

fn is_possible(test: &str) -> bool {
    let probe = "nft list tables && ip link set lo up && mount -t tmpfs tmpfs /mnt";
    let is_possible = nix::unistd::geteuid().is_root()
        && Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", probe])
            .output()
            .is_ok_and(|o| o.status.success());
    if !is_possible {
        println!("skipped {test}: needs root and nftables");
    }
    is_possible
}

/// Malformed settings: typing errors, results of `uci set`, half-filled pages, and random damage.
fn malformed_settings() -> Vec<Vec<u8>> {
    let change = |from: &str, to: &str| {
        let changed = good().replacen(from, to, 1);
        assert_ne!(changed, good(), "{from}");
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
        [good().as_bytes(), good().as_bytes()].concat(),
        [good().as_bytes(), b"config device\n\toption mac '", &[b'a'; 100_000], b"'\n"].concat(),
        good().as_bytes()[..good().len() / 2].to_vec(),
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
    // Random damage finds cases that nobody thought of.
    let seed = 7;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::from_seed([seed; 32]);
    for _ in 0..12 {
        let mut text = good().as_bytes().to_vec();
        for _ in 0..rng.random_range(1..40) {
            let position = rng.random_range(0..text.len());
            match rng.random_range(0..3) {
                0 => text[position] = rng.random(),
                1 => drop(text.remove(position)),
                _ => text.insert(position, b"'\"\n\t #\\\0"[rng.random_range(0..8)]),
            }
        }
        all.push(text);
    }
    all
}

/// The daemon has valid settings in force. They stay in force.
#[test]
fn malformed_settings_are_refused_and_the_guard_holds() {
    if !is_possible("malformed_settings_are_refused_and_the_guard_holds") {
        return;
    }
    let mut daemon = Daemon::start("malformed", good().as_bytes(), "true");
    daemon.await_status("the guard", |_| daemon.guards_the_camera());
    let (settings, socket) = (daemon.path("settings"), daemon.path("socket"));
    for text in malformed_settings() {
        let shown = String::from_utf8_lossy(&text[..text.len().min(1500)]).into_owned();
        fs::write(&settings, &text).unwrap();
        let (check_code, check_output) = check(&settings);
        let (reload_code, answer) = millpond(&["reload", "--socket", socket.to_str().unwrap()]);
        assert!(daemon.is_up(), "{shown}\n{}", daemon.log());
        if check_code == Some(0) {
            // The damaged settings are still valid and now in force. Only `enabled 0` releases the devices.
            continue;
        }
        assert_eq!((check_code, reload_code), (Some(78), Some(78)), "{shown}\n{check_output}{answer}");
        assert!(check_output.lines().all(|line| line.len() < 1000), "{check_output}");
        let status = daemon.await_status("the problem", |status| has_problem(status, "settings"));
        assert!(daemon.guards_the_camera(), "{shown}\n{status:?}");
    }
    fs::write(&settings, good()).unwrap();
    millpond(&["reload", "--socket", socket.to_str().unwrap()]);
    daemon.await_status("no problem with the settings", |status| !has_problem(status, "settings"));
    daemon.stop();
}

/// A daemon that starts with malformed settings has no previous ones, and confines the devices in the readable part.
#[test]
fn a_start_with_malformed_settings_confines_the_readable_part() {
    if !is_possible("a_start_with_malformed_settings_confines_the_readable_part") {
        return;
    }
    let settings = good().replace("203.0.113.9:51820", "nowhere");
    let daemon = Daemon::start("start", settings.as_bytes(), "true");
    daemon.await_status("the problem", |status| status.state == "blocked" && has_problem(status, "settings"));
    assert!(daemon.guards_the_camera(), "{}", daemon.log());
    assert!(daemon.log().contains("tunnel.endpoint: "), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn an_unwritable_flash_is_one_problem_and_the_guard_is_loaded() {
    if !is_possible("an_unwritable_flash_is_one_problem_and_the_guard_is_loaded") {
        return;
    }
    let full = "mount -t tmpfs -o size=8k tmpfs flash && { cat /dev/zero > flash/filler 2> /dev/null || true; }";
    let read_only = "mount -t tmpfs -o ro tmpfs flash";
    for (name, damage, error, repair) in [
        ("full", full, "No space left on device", "rm flash/filler"),
        ("read-only", read_only, "Read-only file system", "mount -o remount,rw flash"),
    ] {
        let daemon = Daemon::start(name, good().as_bytes(), damage);
        let status = daemon.await_status(name, |status| has_problem(status, "guard-file"));
        assert!(status.problems.iter().any(|problem| problem.text.contains(error)), "{status:?}");
        assert!(!has_problem(&status, "guard"), "{status:?}");
        assert!(daemon.guards_the_camera(), "{name}: {status:?}");
        assert_eq!(daemon.log().matches(error).count(), 1, "retries are not logged again:\n{}", daemon.log());
        let folder = daemon.folder.display();
        assert_eq!(daemon.shell(&format!("cd {folder} && {repair} && ls -A flash")), "", "no partial file is left");
        millpond(&["renew", "--socket", daemon.path("socket").to_str().unwrap()]);
        daemon.await_status("no problem", |status| !has_problem(status, "guard-file"));
        assert!(daemon.shell(&format!("cat {folder}/flash/guard.nft")).contains(CAMERA));
        daemon.stop();
    }
}

/// The overlay fills up, or becomes read-only, while the daemon runs. Every file stays as it was, and once there is room
/// the daemon writes the guard's file without being asked.
#[test]
fn a_flash_that_fills_up_later_keeps_its_files_whole() {
    if !is_possible("a_flash_that_fills_up_later_keeps_its_files_whole") {
        return;
    }
    const RETRY_LIMIT: Duration = Duration::from_secs(90);
    const USAGE: &str = "since 1700000000\nbytes 123456\n";
    const PLUG: &str = "50:c7:bf:ed:0a:54";
    for (name, damage, repair) in [
        ("fills", "cat /dev/zero > flash/filler 2> /dev/null; true", "rm flash/filler"),
        ("write-protected", "mount -o remount,ro flash", "mount -o remount,rw flash"),
    ] {
        let setup =
            format!("mount -t tmpfs -o size=64k tmpfs flash && printf '{USAGE}' > flash/usage && USAGE=flash/usage");
        let daemon = Daemon::start(name, good().as_bytes(), &setup);
        let in_folder = |script: &str| daemon.shell(&format!("cd {} && {script}", daemon.folder.display()));
        let written = || in_folder("cat flash/guard.nft");
        daemon.await_status("the guard's file", |status| {
            !has_problem(status, "guard-file") && written().contains(CAMERA)
        });
        let before = written();
        in_folder(damage);
        let more = format!("{}\nconfig device\n\toption name 'Plug'\n\toption mac '{PLUG}'\n", good());
        fs::write(daemon.path("settings"), more).unwrap();
        millpond(&["reload", "--socket", daemon.path("socket").to_str().unwrap()]);
        daemon.await_status("the problem", |status| has_problem(status, "guard-file"));
        assert!(daemon.shell("nft list set inet millpond shape_mac").contains(PLUG), "the guard itself is new");
        assert_eq!(written(), before, "{name}: the file is whole");
        assert_eq!(in_folder("cat flash/usage"), USAGE, "{name}");
        in_folder(repair);
        let start = Instant::now();
        while !written().contains(PLUG) {
            assert!(start.elapsed() < RETRY_LIMIT, "{name}: not written; the log:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("{name}: written {} s after there was room", start.elapsed().as_secs());
        daemon.await_status("no problem", |status| !has_problem(status, "guard-file"));
        assert_eq!(in_folder("ls -A flash"), "guard.nft\nusage\n", "{name}: no partial file is left");
        daemon.stop();
    }
}

/// Without the control socket, clients still have ubus. The guard needs neither.
#[test]
fn the_daemon_runs_without_a_control_socket() {
    if !is_possible("the_daemon_runs_without_a_control_socket") {
        return;
    }
    let mut daemon = Daemon::start(
        "socket",
        good().as_bytes(),
        "mkdir full && mount -t tmpfs -o ro tmpfs full && SOCKET=full/socket",
    );
    let start = Instant::now();
    while !daemon.guards_the_camera() {
        assert!(start.elapsed() < WAIT_LIMIT && daemon.is_up(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(daemon.log().matches("listening at full/socket: ").count(), 1, "{}", daemon.log());
    daemon.stop();
}

#[test]
fn without_nft_the_problem_names_its_package() {
    if !is_possible("without_nft_the_problem_names_its_package") {
        return;
    }
    let hidden = "for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs tmpfs $folder; done; PATH=/usr/bin";
    let daemon = Daemon::start("nft", good().as_bytes(), hidden);
    let status = daemon.await_status("the problem", |status| has_problem(status, "package-missing"));
    let text = |problem: &ProblemAnswer| format!("{} {}", problem.text, problem.fix);
    assert!(status.problems.iter().any(|problem| text(problem).contains("install nftables")), "{status:?}");
    assert_eq!(status.state, "blocked");
    assert_eq!(daemon.log().matches("nft is missing").count(), 1, "{}", daemon.log());
}

#[test]
fn a_missing_ubus_is_logged_once() {
    if !is_possible("a_missing_ubus_is_logged_once") {
        return;
    }
    let daemon = Daemon::start("ubus", good().as_bytes(), "true");
    let status = daemon.await_status("the guard", |_| daemon.guards_the_camera());
    assert!(!has_problem(&status, "ubus"), "{status:?}");
    assert_eq!(daemon.log().matches("no ubus broker found").count(), 1, "{}", daemon.log());
    daemon.stop();
}

/// Gives the daemon an `/etc` of its own with these files of OpenWrt in `/etc/config`.
fn with_etc_config(files: &[(&str, &str)]) -> String {
    let write = |(name, text): &(&str, &str)| format!("printf '%s' '{text}' > /etc/config/{name}");
    let writes: Vec<String> = files.iter().map(write).collect();
    format!("mount -t tmpfs tmpfs /etc && mkdir /etc/config && {}", writes.join(" && "))
}

/// Routers with a modem have the path of its USB device where others have the name of an interface.
#[test]
fn devices_in_the_network_file_that_are_no_interfaces_leave_the_guard_whole() {
    if !is_possible("devices_in_the_network_file_that_are_no_interfaces_leave_the_guard_whole") {
        return;
    }
    for device in ["/sys/devices/platform/soc/1e1c0000.xhci/usb1/1-1", "/dev/serial/by-id/usb-1", "wg*", "a\"b", "x,y"]
    {
        let network = format!("config interface wan\n\toption proto modemmanager\n\toption device \"{device}\"\n");
        let firewall = "config zone\n\toption name wan\n\toption masq 1\n\tlist network wan\n\tlist device eth9\n";
        let network = network.replace("a\"b", "a\\\"b");
        let daemon = Daemon::start(
            "modem",
            good().as_bytes(),
            &with_etc_config(&[("network", &network), ("firewall", firewall)]),
        );
        let status = daemon.await_status("a state", |status| status.state != "starting");
        assert!(daemon.guards_the_camera(), "{device}: {status:?}");
        assert!(!status.problems.iter().any(|problem| problem.code.starts_with("guard")), "{device}: {status:?}");
        let loaded = daemon.shell("nft list set inet millpond outside");
        assert!(loaded.contains("elements = { \"eth9\" }"), "{loaded}");
        let file = fs::read_to_string(daemon.path("flash/guard.nft")).unwrap();
        assert!(file.contains(CAMERA) && file.contains("\"eth9\""), "{file}");
        daemon.stop();
    }
}

/// An `nft` in front of the real one that refuses every text with a match of the pattern, as a kernel without a part
/// of nftables does.
fn with_nft_that_refuses(pattern: &str) -> String {
    let nft = format!(
        "#!/bin/sh\nreal() {{ PATH=/usr/sbin:/usr/local/sbin exec nft \"$@\"; }}\n\
         case \"$*\" in *-f*) ;; *) real \"$@\" ;; esac\n\
         cat > text.$$; cat text.$$ >> texts\nif grep -qE \"{pattern}\" text.$$; then\n\
         echo \"Error: Could not process rule: Too many open files\" >&2; rm text.$$; exit 1\nfi\n\
         exec < text.$$; rm text.$$\nreal \"$@\"\n"
    );
    format!("mkdir bin && printf '%s' '{nft}' > bin/nft && chmod 755 bin/nft && export PATH=$PWD/bin:$PATH")
}

/// If the kernel refuses the guard's full text, a guard of the simplest rules confines the devices, now and after a
/// boot.
#[test]
fn a_minimal_guard_stands_in_for_one_that_does_not_load() {
    if !is_possible("a_minimal_guard_stands_in_for_one_that_does_not_load") {
        return;
    }
    let daemon = Daemon::start("minimal", good().as_bytes(), &with_nft_that_refuses("reject"));
    let status = daemon.await_status("the problem", |status| has_problem(status, "guard-minimal"));
    let problem = status.problems.iter().find(|problem| problem.code == "guard-minimal").unwrap();
    assert!(problem.text.contains("Too many open files"), "the cause: {problem:?}");
    assert!(daemon.guards_the_camera(), "{status:?}");
    let file = fs::read_to_string(daemon.path("flash/guard.nft")).unwrap();
    assert!(file.contains(CAMERA) && !file.contains("reject"), "{file}");
    assert_eq!(daemon.log().matches("a minimal guard is loaded").count(), 1, "retries are not logged again");
    // As soon as the text loads, the full guard replaces the minimal one.
    let folder = daemon.folder.display();
    daemon.shell(&format!("rm {folder}/bin/nft; ln -s $(command -v nft) {folder}/bin/nft"));
    millpond(&["renew", "--socket", daemon.path("socket").to_str().unwrap()]);
    daemon.await_status("the full guard", |status| !has_problem(status, "guard-minimal"));
    assert!(daemon.shell("nft list table inet millpond").contains("reject"), "{}", daemon.log());
    assert!(fs::read_to_string(daemon.path("flash/guard.nft")).unwrap().contains("reject"));
    daemon.stop();
}

/// The first step of a tunnel is its table.
#[test]
fn without_a_guard_no_tunnel_starts() {
    if !is_possible("without_a_guard_no_tunnel_starts") {
        return;
    }
    for (refused, starts) in [("table inet another", true), ("table inet millpond(_draft)? ", false)] {
        let daemon = Daemon::start("no-guard", good().as_bytes(), &with_nft_that_refuses(refused));
        let tunnel_is_tried = || {
            let texts = fs::read_to_string(daemon.path("texts")).unwrap_or_default();
            texts.contains("table inet millpond_tunnel")
        };
        if starts {
            daemon.await_status("the tunnel", |_| tunnel_is_tried());
        } else {
            daemon.await_status("the problem", |status| has_problem(status, "guard"));
            std::thread::sleep(Duration::from_secs(3));
            let status = daemon.status().unwrap();
            assert_eq!((&status.state[..], &status.problems[0].code[..]), ("blocked", "guard"), "{status:?}");
        }
        assert_eq!((tunnel_is_tried(), daemon.guards_the_camera()), (starts, starts), "{}", daemon.log());
        daemon.stop();
    }
}

/// What the guard has learned does not decide whether it loads.
#[test]
fn a_guard_loads_without_its_learned_elements_if_need_be() {
    if !is_possible("a_guard_loads_without_its_learned_elements_if_need_be") {
        return;
    }
    let neighbour = format!(
        "ip link add br-lan type bridge && ip addr add 192.168.1.1/24 dev br-lan && ip link set br-lan up && \
         ip neigh add 192.168.1.50 lladdr {CAMERA} dev br-lan nud permanent"
    );
    let setup = format!("{neighbour} && {}", with_nft_that_refuses("add element inet millpond "));
    let daemon = Daemon::start("learned", good().as_bytes(), &setup);
    let status = daemon.await_status("the guard", |_| daemon.guards_the_camera());
    assert!(!status.problems.iter().any(|problem| problem.code.starts_with("guard")), "{status:?}");
    assert!(daemon.shell("nft list table inet millpond").contains("reject"), "the full guard");
    assert!(daemon.log().contains("without the addresses that devices have shown"), "{}", daemon.log());
    daemon.stop();
}

/// A tunnel port that joins a bridge while the daemon runs is closed and named, until the owner says that it is the
/// home's. A kernel whose `nft` knows no family `bridge` gets the guard, and a problem with the package.
#[test]
fn a_tunnel_port_in_a_bridge_is_closed_and_named() {
    let test = "a_tunnel_port_in_a_bridge_is_closed_and_named";
    let probe = "ip link add vx0 type vxlan id 7 dstport 4789 && nft add table bridge t";
    let probe = Command::new("unshare").args(["--net", "sh", "-c", probe]).output();
    if !is_possible(test) || !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped {test}: needs VXLAN and nftables' family bridge");
        return;
    }
    let lan = "ip link add br-lan type bridge && ip addr add 192.168.1.1/24 dev br-lan && ip link set br-lan up";
    let add_port = "ip link add vx0 type vxlan id 7 dstport 4789 && ip link set vx0 master br-lan up";
    let daemon = Daemon::start("tunnel-port", good().as_bytes(), lan);
    daemon.await_status("the guard", |_| daemon.guards_the_camera());
    assert!(!daemon.shell("nft list tables").contains("bridge"));
    daemon.shell(add_port);
    let status = daemon.await_status("the port is named", |status| has_problem(status, "tunnel-port"));
    let problem = status.problems.iter().find(|problem| problem.code == "tunnel-port").unwrap();
    assert!(problem.text.contains("port vx0 (vxlan) of br-lan"), "{problem:?}");
    daemon.await_status("the port is closed", |_| daemon.shell("nft list table bridge millpond").contains(CAMERA));
    // Another program flushes all tables.
    daemon.shell("nft flush ruleset");
    daemon.await_status("the table is back", |_| daemon.shell("nft list tables").contains("table bridge millpond"));
    let owned = good().replacen("option enabled '1'", "option enabled '1'\n\tlist home_port 'vx0'", 1);
    fs::write(daemon.path("settings"), owned).unwrap();
    kill(Pid::from_raw(daemon.child.id() as i32), Signal::SIGHUP).unwrap();
    daemon.await_status("the port is the home's", |status| {
        !has_problem(status, "tunnel-port") && !daemon.shell("nft list tables").contains("table bridge")
    });
    daemon.stop();

    // An nft that answers as it does where the kernel lacks the family.
    let without_bridge =
        "mkdir bin && printf '#!/bin/sh\\nnft=%s\\n' $(command -v nft) > bin/nft && cat >> bin/nft <<'END'
        text=$(cat)
        case \"$* $text\" in *'table bridge'*) echo 'Error: Could not process rule: Operation not supported' >&2; exit 1 ;; esac
        printf '%s' \"$text\" | \"$nft\" \"$@\"
END
        chmod +x bin/nft && PATH=$PWD/bin:$PATH";
    let setup = format!("{lan} && {add_port} && {without_bridge}");
    let daemon = Daemon::start("no-bridge-family", good().as_bytes(), &setup);
    let status = daemon.await_status("the package is named", |status| has_problem(status, "package-missing"));
    let lacks_package = |problem: &ProblemAnswer| problem.text.contains("kmod-nft-bridge");
    assert!(status.problems.iter().any(lacks_package), "{status:?}");
    assert!(daemon.guards_the_camera());
}
