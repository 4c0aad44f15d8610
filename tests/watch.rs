//! Tests how changes by other programs are handled in a real kernel: those that may concern millpond are noticed,
//! others are ignored, and conflicts are reported. Runs in a new network namespace; needs root, `ip` and `nft`.

use std::process::Command;

use millpond::config::model::RoutingIds;
use millpond::plan::coexistence::Conflict;
use millpond::sys::kernel::LinuxKernel;
use millpond::sys::monitor::{DATAGRAM_BYTES, KernelChange, Monitor};
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
    let mut change_after = |command: &str| {
        shell(command);
        monitors.iter().map(|monitor| monitor.receive(&mut buffer, 64).unwrap()).max().unwrap()
    };
    let (nothing, relevant) = (KernelChange::None, KernelChange::Relevant);
    for (command, expected) in [
        ("ip rule add priority 910 fwmark 0x1000000/0x1000000 lookup 28016 protocol 109", relevant),
        ("ip rule del priority 910", relevant),
        ("ip route add unreachable default table 28016 proto 109", relevant),
        ("ip route flush table 28016", relevant),
        ("ip route add 192.0.2.0/24 dev lo", nothing),
        ("ip route add default dev lo", relevant),
        ("ip addr add 192.0.2.7/32 dev lo", relevant),
        ("tc qdisc add dev lo root handle 1: htb", relevant),
        ("tc qdisc del dev lo root", relevant),
        ("nft add table inet other", nothing),
        ("nft add table inet millpond", relevant),
        ("nft 'add chain inet millpond guard'", relevant),
        ("nft add table inet millpond_tunnel", relevant),
        ("nft delete table inet other", nothing),
        ("nft 'add table ip z; add table ip y; flush ruleset'", relevant),
        ("ip link add b0 type bridge", relevant),
        ("ip tuntap add t0 mode tap", relevant),
        ("ip link set t0 master b0", KernelChange::TunnelPort),
    ] {
        assert_eq!(change_after(command), expected, "{command}");
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
    let mut change = || monitor.receive(&mut buffer, 100_000).unwrap();
    assert_eq!(change(), KernelChange::Relevant, "the lost notifications may have concerned millpond");
    assert_eq!(change(), KernelChange::None);
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
