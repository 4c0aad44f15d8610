//! Runs the package's scripts under BusyBox with substitutes for parts of OpenWrt (`tests/common/rc.common` and
//! `tests/common/uci`). Checks the calls to procd, the firewall zone and the support dump.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files and programs of a router that the scripts use.
struct Router {
    root: PathBuf,
}

impl Router {
    fn new(name: &str, settings: &str) -> Router {
        let root = std::env::temp_dir().join(format!("millpond-openwrt-{}-{name}", std::process::id()));
        _ = fs::remove_dir_all(&root);
        for part in ["bin", "etc/config", "etc/capabilities", "run", "usr/share/millpond"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        let router = Router { root };
        for applet in ["awk", "sed", "grep", "sort", "cat", "sleep", "ls", "df", "basename"] {
            std::os::unix::fs::symlink(busybox().unwrap(), router.path("bin").join(applet)).unwrap();
        }
        router.program("millpond", "echo \"millpond $*\" >> \"$CALLS\"");
        router.program("ujail", ":");
        fs::write(router.path("etc/config/millpond"), settings).unwrap();
        fs::copy(shipped("etc/capabilities/millpond.json"), router.path("etc/capabilities/millpond.json")).unwrap();
        router
    }

    fn path(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!{} sh\n{body}\n", busybox().unwrap().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A copy of one of the package's scripts with this router's paths in place of the real ones.
    fn script(&self, name: &str) -> PathBuf {
        let text = fs::read_to_string(shipped(name)).unwrap();
        let (bin, etc) = (self.path("bin"), self.path("etc"));
        let (bin, etc) = (bin.display(), etc.display());
        let text = text
            .replace("/usr/bin/millpond", &format!("{bin}/millpond"))
            .replace("/sbin/ujail", &format!("{bin}/ujail"))
            .replace("/etc/config/millpond", &format!("{etc}/config/millpond"))
            .replace("/etc/capabilities", &format!("{etc}/capabilities"))
            .replace("/var/run", &self.path("run").display().to_string());
        let path = self.path("usr/share/millpond").join(Path::new(name).file_name().unwrap());
        fs::write(&path, text).unwrap();
        path
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(|line| line.replace(&self.root.display().to_string(), "")).collect()
    }

    fn run(&self, arguments: &[&Path], environment: &[(&str, &str)]) -> Output {
        let calls = self.path("calls");
        _ = fs::remove_file(&calls);
        let (uci, running) = (self.path("etc/config"), self.path("running"));
        Command::new(busybox().unwrap())
            .arg("sh")
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("CALLS", calls)
            .env("UCI_DIR", uci)
            .env("RUNNING", running)
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// Runs the init script and returns the recorded calls. Panics if the script fails or prints to standard error.
    fn init(&self, action: &str) -> Vec<String> {
        let common = Path::new(ROOT).join("tests/common/rc.common");
        let output = self.run(&[&common, &self.script("etc/init.d/millpond"), Path::new(action)], &[]);
        assert!(output.status.success(), "{action}: {output:?}");
        assert!(output.stderr.is_empty(), "{action}: {output:?}");
        self.calls()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.root);
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(ROOT).join("files").join(name)
}

fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("busybox")).find(|path| path.exists())
}

/// Whether BusyBox is available; prints a note if the test is skipped.
fn has_busybox(test: &str) -> bool {
    let has = busybox().is_some();
    if !has {
        println!("skipped {test}: there is no busybox on PATH");
    }
    has
}

const ON: &str = "config millpond 'main'\n\toption enabled '1'\n";
const OFF: &str = "config millpond 'main'\n\toption enabled '0'\n";

const STARTED: [&str; 14] = [
    "open_service millpond",
    "open_instance",
    "set command /bin/millpond run",
    "set respawn 3600 5 0",
    "set stdout 1",
    "set stderr 1",
    "set file /etc/config/millpond",
    "set reload_signal HUP",
    "set term_timeout 10",
    "jail millpond",
    "set capabilities /etc/capabilities/millpond.json",
    "set no_new_privs 1",
    "close_instance",
    "trigger millpond",
];

#[test]
fn an_enabled_service_starts_and_reloads_in_place() {
    if !has_busybox("an_enabled_service_starts_and_reloads_in_place") {
        return;
    }
    let router = Router::new("on", ON);
    let mut expected = STARTED.to_vec();
    expected.push("close_service set");
    assert_eq!(router.init("start"), expected);
    assert_eq!(router.init("reload"), expected, "procd itself turns this into SIGHUP");
    fs::remove_file(router.path("bin/ujail")).unwrap();
    expected.retain(|call| !call.contains("jail") && !call.contains("capabilities") && !call.contains("privs"));
    assert_eq!(router.init("start"), expected, "small routers have no ujail");
}

#[test]
fn stop_and_upgrade_leave_the_guard() {
    if !has_busybox("stop_and_upgrade_leave_the_guard") {
        return;
    }
    let router = Router::new("stop", ON);
    assert_eq!(router.init("stop"), ["kill millpond"]);
    let restarted = router.init("restart");
    assert!(!restarted.iter().any(|call| call.contains("flush")), "{restarted:?}");
    assert_eq!(restarted[..2], ["kill millpond", "open_service millpond"]);
}

#[test]
fn a_disabled_service_stops_and_removes_its_rules() {
    if !has_busybox("a_disabled_service_stops_and_removes_its_rules") {
        return;
    }
    let off = ["open_service millpond", "trigger millpond", "close_service set", "millpond flush"];
    let router = Router::new("off", OFF);
    for action in ["start", "reload"] {
        assert_eq!(router.init(action), off, "{action}: no instance, but the trigger stays");
    }
    // The daemon takes a while to exit.
    let busy = "echo \"millpond $*\" >> \"$CALLS\"; [ \"$(grep -c flush \"$CALLS\")\" -ge 3 ] || exit 69";
    router.program("millpond", busy);
    assert_eq!(router.init("reload")[3..], ["millpond flush"; 3]);
    router.program("millpond", "echo \"millpond $*\" >> \"$CALLS\"; exit 71");
    let calls = router.init("start");
    assert_eq!(calls[3], "millpond flush");
    assert!(calls[4].starts_with("logger") && calls[4].contains("cannot be removed"), "{calls:?}");
}

#[test]
fn unreadable_settings_start_the_daemon() {
    if !has_busybox("unreadable_settings_start_the_daemon") {
        return;
    }
    for (name, settings) in
        [("quote", "config millpond 'main\n\toption enabled '0'\n"), ("nonsense", "Hello\n"), ("empty", "")]
    {
        let router = Router::new(name, settings);
        let calls = router.init("start");
        assert!(calls.contains(&"set command /bin/millpond run".into()), "{name}: {calls:?}");
        assert!(!calls.iter().any(|call| call.contains("flush")), "{name}: the guard stays");
    }
    let router = Router::new("missing", ON);
    fs::remove_file(router.path("etc/config/millpond")).unwrap();
    assert!(!router.init("start").iter().any(|call| call.contains("flush")));
}

#[test]
fn extra_commands_call_the_program() {
    if !has_busybox("extra_commands_call_the_program") {
        return;
    }
    let router = Router::new("extra", ON);
    assert_eq!(router.init("check"), ["millpond check --config /etc/config/millpond"]);
    assert_eq!(router.init("status"), ["millpond status"]);
}

#[test]
fn hotplug_hooks_renew_without_blocking() {
    if !has_busybox("hotplug_hooks_renew_without_blocking") {
        return;
    }
    let router = Router::new("hooks", ON);
    for (hook, action, other) in [("iface", "ifup", "ifdown"), ("ntp", "step", "periodic")] {
        let script = router.script(&format!("etc/hotplug.d/{hook}/80-millpond"));
        let calls_after = |action: &str| {
            let output = router.run(&[&script], &[("ACTION", action)]);
            assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
            let start = Instant::now();
            // The hook runs in the background, so the call may come a moment later.
            while start.elapsed() < Duration::from_secs(2) && router.calls().is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
            router.calls()
        };
        assert!(calls_after(action).is_empty(), "{hook}: there is no daemon");
        let socket = UnixListener::bind(router.path("run/millpond.sock")).unwrap();
        assert_eq!(calls_after(action), ["millpond renew --socket /run/millpond.sock"], "{hook}");
        assert!(calls_after(other).is_empty(), "{hook}: {other}");
        drop(socket);
        fs::remove_file(router.path("run/millpond.sock")).unwrap();
    }
}

const FIREWALL: &str = "firewall.@zone[0]=zone
firewall.@zone[0].name='lan'
firewall.@zone[1]=zone
firewall.@zone[1].name='wan'
firewall.@forwarding[0]=forwarding
firewall.@forwarding[0].src='lan'
firewall.@forwarding[0].dest='wan'
firewall.@forwarding[1]=forwarding
firewall.@forwarding[1].src='iot'
firewall.@forwarding[1].dest='wan'
firewall.@forwarding[2]=forwarding
firewall.@forwarding[2].src='lan'
firewall.@forwarding[2].dest='iot'
firewall.@rule[0]=rule
firewall.@rule[0].src='guest'
firewall.@rule[0].dest='wan'
";

#[test]
fn the_firewall_zone_is_added_and_removed() {
    if !has_busybox("the_firewall_zone_is_added_and_removed") {
        return;
    }
    let router = Router::new("firewall", ON);
    std::os::unix::fs::symlink(Path::new(ROOT).join("tests/common/uci"), router.path("bin/uci")).unwrap();
    for applet in ["sh", "rm"] {
        std::os::unix::fs::symlink(busybox().unwrap(), router.path("bin").join(applet)).unwrap();
    }
    router.program("ubus", "echo \"ubus $*\" >> \"$CALLS\"");
    let settings = router.path("etc/config/firewall");
    let script = router.script("usr/share/millpond/firewall");
    let firewall = |action: &str| {
        let output = router.run(&[&script, Path::new(action)], &[]);
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{action}: {output:?}");
        (output.status.code(), router.calls().len())
    };
    assert_eq!(firewall("add"), (Some(0), 0), "nothing to add without OpenWrt's firewall");
    fs::write(&settings, FIREWALL).unwrap();
    assert_eq!(firewall("remove"), (Some(0), 0), "no zone to remove");
    assert_eq!(firewall("add"), (Some(0), 1), "the firewall is reloaded");
    let zone = "firewall.millpond=zone
firewall.millpond.name='millpond'
firewall.millpond.device='mp0'
firewall.millpond.input='REJECT'
firewall.millpond.output='ACCEPT'
firewall.millpond.forward='REJECT'
firewall.millpond_iot=forwarding
firewall.millpond_iot.src='iot'
firewall.millpond_iot.dest='millpond'
firewall.millpond_lan=forwarding
firewall.millpond_lan.src='lan'
firewall.millpond_lan.dest='millpond'
";
    let with_zone = format!("{FIREWALL}{zone}");
    assert_eq!(fs::read_to_string(&settings).unwrap(), with_zone);
    assert_eq!(firewall("add"), (Some(0), 0), "an upgrade changes nothing and reloads nothing");
    assert_eq!(fs::read_to_string(&settings).unwrap(), with_zone);
    assert_eq!(firewall("remove"), (Some(0), 1));
    assert_eq!(fs::read_to_string(&settings).unwrap(), FIREWALL);
    let usage = router.run(&[&script, Path::new("bogus")], &[]);
    assert_eq!(usage.status.code(), Some(64));
}

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PUBLIC: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const BROKEN_KEY: &str = "thiskeyistooshort";

#[test]
fn a_support_dump_masks_personal_data() {
    if !has_busybox("a_support_dump_masks_personal_data") {
        return;
    }
    let settings = format!(
        "config millpond 'main'\n\toption enabled '1'\n\tlist server '9.9.9.9'\n\
         config tunnel 'tunnel'\n\toption private_key '{KEY}'\n\toption public_key \"{PUBLIC}\"\n\
         \toption preshared_key '{BROKEN_KEY}'\n\toption endpoint 'vpn.smith-family.example:51820'\n\
         config device\n\toption name 'Front door camera'\n\toption mac '18:b4:30:26:34:40'\n"
    );
    let router = Router::new("support", &settings);
    router.program(
        "millpond",
        &format!(
            "echo \"12:34:56 shaping towards 198.51.100.2:51820, vpn.smith-family.example, {PUBLIC}\"\n\
             echo 'Front door camera 18-B4-30-26-34-40 at 192.168.1.20 and 2001:db8:1::20, fe80::1ab4:30ff:fe26:3440'"
        ),
    );
    router.program("logread", &format!("echo 'refused: private_key {KEY} of 18:b4:30:26:34:40'"));
    let output = router.run(&[&router.script("usr/share/millpond/support")], &[]);
    let dump = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{dump}");
    for secret in [
        KEY,
        PUBLIC,
        BROKEN_KEY,
        "smith-family",
        "Front door",
        "18:b4:30:26:34:40",
        "18-B4-30",
        "192.168.1.20",
        "198.51.100.2",
        "2001:db8",
        "fe26:3440",
        "9.9.9.9",
    ] {
        assert!(!dump.contains(secret), "{secret} in\n{dump}");
    }
    assert!(dump.contains("12:34:56 shaping towards"), "times and words are kept:\n{dump}");
    assert!(dump.contains("option enabled '1'"), "{dump}");
    let masked = |line: &str| dump.lines().filter(|found| found.contains(line)).count();
    assert!(
        masked("MAC-1") >= 2 && masked("HOST-1") >= 2 && masked("NAME-1") >= 2,
        "equal values have equal masks:\n{dump}"
    );
    assert!(dump.contains("== log"), "the dump is complete:\n{dump}");
}
