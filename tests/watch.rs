//! Tests how changes by other programs are handled in a real kernel: those that may concern millpond are noticed,
//! others are ignored, and conflicts are reported. Runs in a new network namespace; needs root, `ip` and `nft`.

use std::process::Command;

use millpond::config::model::RoutingIds;
use millpond::plan::coexistence::Conflict;
use millpond::sys::kernel::LinuxKernel;
use millpond::sys::monitor::{DATAGRAM_BYTES, Monitor};
use nix::sched::{CloneFlags, unshare};

/// Moves this thread into a new network namespace. Returns false if the test must be skipped.
fn enter_namespace(test: &str) -> bool {
    let is_possible = nix::unistd::geteuid().is_root()
        && Command::new("sh")
            .args(["-c", "command -v ip && command -v nft"])
            .output()
            .is_ok_and(|o| o.status.success());
    if !is_possible {
        println!("skipped {test}: needs root, ip and nft");
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    shell("ip link set lo up");
    true
}

fn shell(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn changes_that_may_concern_millpond_are_noticed() {
    if !enter_namespace("changes_that_may_concern_millpond_are_noticed") {
        return;
    }
    let monitors = [Monitor::routing().unwrap(), Monitor::nftables().unwrap()];
    let mut buffer = [0; DATAGRAM_BYTES];
    let mut is_noticed = |command: &str| {
        shell(command);
        monitors.iter().map(|monitor| monitor.receive(&mut buffer, 64).unwrap()).fold(false, |a, b| a | b)
    };
    for (command, expected) in [
        ("ip rule add priority 910 fwmark 0x1000000/0x1000000 lookup 28016 protocol 109", true),
        ("ip rule del priority 910", true),
        ("ip route add unreachable default table 28016 proto 109", true),
        ("ip route flush table 28016", true),
        ("ip route add 192.0.2.0/24 dev lo", false),
        ("ip route add default dev lo", true),
        ("ip addr add 192.0.2.7/32 dev lo", true),
        ("tc qdisc add dev lo root handle 1: htb", true),
        ("tc qdisc del dev lo root", true),
        ("nft add table inet other", false),
        ("nft add table inet millpond", true),
        ("nft 'add chain inet millpond guard'", true),
        ("nft add table inet millpond_tunnel", true),
        ("nft delete table inet other", false),
        ("nft 'add table ip z; add table ip y; flush ruleset'", true),
    ] {
        assert_eq!(is_noticed(command), expected, "{command}");
    }
}

#[test]
fn an_overflow_of_the_notifications_counts_as_a_change() {
    if !enter_namespace("an_overflow_of_the_notifications_counts_as_a_change") {
        return;
    }
    let monitor = Monitor::nftables().unwrap();
    // The notifications exceed the socket's buffer and all concern another table.
    let mut text = "table inet other { set s { type ipv4_addr; }; }\n".to_owned();
    for i in 0..20_000 {
        text.push_str(&format!("add element inet other s {{ 10.0.{}.{} }}\n", i / 256, i % 256));
    }
    let file = std::env::temp_dir().join(format!("millpond-watch-{}.nft", std::process::id()));
    std::fs::write(&file, text).unwrap();
    shell(&format!("nft -f {}", file.display()));
    std::fs::remove_file(file).unwrap();
    let mut buffer = [0; DATAGRAM_BYTES];
    assert!(monitor.receive(&mut buffer, 100_000).unwrap(), "the lost notifications may have concerned millpond");
    assert!(!monitor.receive(&mut buffer, 100_000).unwrap());
}

#[test]
fn rules_of_mwan3_and_pbr_do_not_conflict_and_conflicts_are_reported() {
    if !enter_namespace("rules_of_mwan3_and_pbr_do_not_conflict_and_conflicts_are_reported") {
        return;
    }
    let conflicts = || LinuxKernel::open().unwrap().others().unwrap().conflicts(RoutingIds::DEFAULT, &["br-lan"]);
    for table in ["1", "2", "256"] {
        shell(&format!("ip route add default dev lo table {table}"));
    }
    shell(
        "ip rule add priority 1001 iif wan lookup 1; ip rule add priority 2001 fwmark 0x100/0x3f00 lookup 1
         ip rule add priority 2002 fwmark 0x200/0x3f00 lookup 2; ip rule add priority 2061 fwmark 0x3d00/0x3f00 blackhole
         ip rule add priority 29998 fwmark 0x10000/0xff0000 lookup 256",
    );
    assert_eq!(conflicts(), []);
    for (rule, expected) in [
        ("priority 100 fwmark 0x200/0x3f00 lookup 2", "rule"),
        ("priority 100 iif br-lan lookup 2", "rule"),
        ("priority 100 to 192.0.2.0/24 lookup 2", "none"),
        ("priority 29000 fwmark 0x1000000/0xff000000 lookup 2", "mark"),
    ] {
        shell(&format!("ip rule add {rule}"));
        let found = conflicts();
        let kind = match found[..] {
            [] => "none",
            [Conflict::Rule(..)] => "rule",
            [Conflict::Mark(..)] => "mark",
            _ => "other",
        };
        assert_eq!(kind, expected, "{rule}: {found:?}");
        shell(&format!("ip rule del {rule}"));
    }
    shell("ip route add 192.0.2.0/24 dev lo table 28016");
    assert!(matches!(conflicts()[..], [Conflict::Table(_)]), "{:?}", conflicts());
}
