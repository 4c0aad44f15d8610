//! Runs the package's scripts under BusyBox with substitutes for parts of OpenWrt (`tests/common/rc.common` and
//! `tests/common/uci`). Checks the calls to procd and the firewall zone.

mod common;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use common::openwrt::{ROOT, Router, busybox, has_busybox};

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
    router.init("enable");
    router.init("start");
    let empty = ["kill millpond", "open_service millpond", "trigger millpond", "close_service set"];
    assert_eq!(router.init("stop"), empty, "procd still watches the settings");
    let restarted = router.init("restart");
    assert!(!restarted.iter().any(|call| call.contains("flush")), "{restarted:?}");
    assert_eq!(restarted[..4], empty);
    // A service that does not start at boot is forgotten.
    router.init("disable");
    assert_eq!(router.init("stop"), ["kill millpond"]);
    assert!(!router.path("procd").exists());
    router.program("uci", "exit 1");
    // With opkg, the removal of the package disables and stops the service, which then removes its rules.
    fs::write(router.path("run/millpond.removal"), "").unwrap();
    router.init("start");
    assert_eq!(router.init("stop"), ["kill millpond", "millpond flush"]);
    assert!(!router.path("run/millpond.removal").exists());
}

/// The settings change and OpenWrt's `reload_config` runs, by hand or from LuCI. If they differ, procd calls what it has
/// a trigger for.
fn apply(router: &Router, settings: &str) {
    let file = router.path("etc/config/millpond");
    let changed = fs::read_to_string(&file).unwrap() != settings;
    fs::write(&file, settings).unwrap();
    let triggers = fs::read_to_string(router.path("procd/triggers")).unwrap_or_default();
    if changed && triggers.split_whitespace().any(|package| package == "millpond") {
        router.init("reload");
    }
}

#[test]
fn turning_on_and_off_works_whatever_was_done_before() {
    if !has_busybox("turning_on_and_off_works_whatever_was_done_before") {
        return;
    }
    const ACTIONS: [&str; 5] = ["start", "stop", "restart", "on", "off"];
    for number in 0..ACTIONS.len().pow(2) {
        let before = [number / ACTIONS.len(), number % ACTIONS.len()].map(|action| ACTIONS[action]);
        let router = Router::new("before", OFF);
        router.program("millpond", "[ \"$1\" != flush ] || rm -f \"${CALLS%calls}guard\"");
        let guard = router.path("guard");
        // A daemon that runs has loaded the guard.
        let runs = || {
            let instance = fs::read_to_string(router.path("procd/instance")).unwrap_or_default();
            let runs = instance.ends_with(" run");
            if runs {
                fs::write(&guard, "").unwrap();
            }
            runs
        };
        // The router boots with millpond off.
        router.init("enable");
        router.init("start");
        for action in before {
            match action {
                "on" => apply(&router, ON),
                "off" => apply(&router, OFF),
                _ => drop(router.init(action)),
            }
            runs();
        }
        for turn in ["first", "second"] {
            apply(&router, OFF);
            assert!(!runs() && !guard.exists(), "{turn}: off after {before:?}");
            apply(&router, ON);
            assert!(runs(), "{turn}: on after {before:?}");
            router.init("stop");
            assert!(!runs() && guard.exists(), "{turn}: stopped after {before:?}");
        }
    }
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
    std::os::unix::fs::symlink(busybox().unwrap(), router.path("bin/sh")).unwrap();
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
