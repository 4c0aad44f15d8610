//! `millpond router init` against real interfaces, routes and rules of a network namespace.

#![cfg(feature = "endpoint")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A function that makes a network card, and a home's network behind one.
const HOST: &str = "ip link set lo up && sysctl -qw net.ipv4.ip_forward=1
    card() {
        ip link add \"$1\" type veth peer name \"peer-$1\" && ip link set \"$1\" up && ip link set \"peer-$1\" up
    }
    card lan0 && ip addr add 192.168.77.1/24 dev lan0 && card eth0 && card eth1";
/// The Internet is behind a bridge with the port `eth0`.
const BRIDGE: &str = "ip link add br0 type bridge && ip link set eth0 master br0 && ip link set br0 up &&
    ip addr add 198.51.100.2/24 dev br0 && ip route add default via 198.51.100.1";
const ETH1: &str = "ip addr add 203.0.113.2/24 dev eth1";

/// A host for one test.
struct Host(PathBuf);

impl Host {
    /// `None` without root, or if this kernel lacks something that `probe` needs.
    fn new(test: &str, probe: &str) -> Option<Host> {
        let folder = std::env::temp_dir().join(format!("millpond-router-init-{test}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let host = Host(folder);
        let probed = host.run(&format!("{HOST}\n{probe}"), "true");
        if probed.status.success() {
            return Some(host);
        }
        println!("skipped {test}: {}", err(&probed));
        None
    }

    fn run(&self, setup: &str, command: &str) -> Output {
        let script = format!("set -e\n{setup}\nexec {command}");
        Command::new("unshare").args(["--net", "--mount", "sh", "-c", &script]).output().unwrap()
    }

    /// Runs `router init --lan LAN` with further arguments after the shell commands `setup`.
    fn init(&self, setup: &str, arguments: &str) -> Output {
        let config = self.0.join("millpond");
        _ = fs::remove_file(&config);
        let program = env!("CARGO_BIN_EXE_millpond");
        let command = format!("'{program}' router init --no-start --config '{}' --lan {arguments}", config.display());
        let output = self.run(&format!("{HOST}\n{setup}"), &command);
        assert_eq!(output.status.success(), config.exists(), "{}", err(&output));
        output
    }

    /// What it says when it is satisfied, whatever modules this host lacks.
    fn says(&self, setup: &str, arguments: &str) -> String {
        let output = self.init(setup, &format!("{arguments} --anyway"));
        assert!(output.status.success(), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Why it refuses.
    fn refuses(&self, setup: &str, arguments: &str) -> String {
        let output = self.init(setup, arguments);
        assert_eq!(output.status.code(), Some(71), "{}", err(&output));
        err(&output)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wan_that_is_a_bridge_serves_unless_the_devices_are_in_it() {
    let Some(host) = Host::new("bridge", BRIDGE) else { return };
    let text = host.says(BRIDGE, "lan0");
    assert!(text.contains("the home is behind lan0, the Internet behind br0\n"), "{text}");
    let text = host.refuses(BRIDGE, "lan0 --wan eth0");
    assert!(text.contains("eth0 is a port of br0: name the bridge: --wan br0"), "{text}");
    let text = host.refuses(&format!("{BRIDGE}; ip link set eth1 master br0"), "eth1");
    assert!(text.contains("take eth1 out of br0"), "{text}");
}

#[test]
fn of_two_default_routes_the_kernels_choice_counts() {
    let Some(host) = Host::new("defaults", BRIDGE) else { return };
    let with = |routes: &str| host.says(&format!("{BRIDGE}; {ETH1}; {routes}"), "lan0");
    let spare = with("ip route add default via 203.0.113.1 metric 50");
    assert!(spare.contains("the Internet behind br0\n"), "{spare}");
    let first = with(
        "ip route del default; ip route add default via 198.51.100.1 metric 600
        ip route add default via 203.0.113.1 metric 50",
    );
    assert!(first.contains("the Internet behind eth1\n"), "{first}");
    // A table of its own belongs to a program with rules, such as mwan3 or Tailscale.
    let foreign = with("ip route add default via 203.0.113.1 table 52");
    assert!(foreign.contains("the Internet behind br0\n"), "{foreign}");
    for equal in [
        "ip route append default via 203.0.113.1",
        "ip route del default; ip route add default nexthop via 198.51.100.1 nexthop via 203.0.113.1",
    ] {
        let text = with(equal);
        let names = ["eth1 and br0", "br0 and eth1"].into_iter().find(|names| text.contains(names));
        let names = names.unwrap_or_else(|| panic!("{equal}: {text}"));
        assert!(text.contains(&format!("the default routes by {names} have the same metric")), "{text}");
        let named = host.says(&format!("{BRIDGE}; {ETH1}; {equal}"), "lan0 --wan eth1");
        assert!(named.contains("the Internet behind eth1\n") && !named.contains("same metric"), "{named}");
    }
}

#[test]
fn rules_of_the_old_iptables_are_left_alone_and_named() {
    let rules = "iptables-legacy -P FORWARD DROP && iptables-legacy -t nat -A POSTROUTING -o br0 -j MASQUERADE";
    let Some(host) = Host::new("legacy", &format!("{BRIDGE}\n{rules}")) else { return };
    let text = host.says(&format!("{BRIDGE}\n{rules}"), "lan0");
    assert!(text.contains("left alone: rules of iptables-legacy"), "{text}");
    assert!(text.contains("iptables-legacy -I FORWARD -i lan0 -o mp0 -j ACCEPT"), "{text}");
    assert!(text.contains("left alone: the address translation"), "{text}");
    let text = host.says(&format!("{BRIDGE}\n{rules}\niptables-legacy -P FORWARD ACCEPT"), "lan0");
    assert!(text.contains("left alone: rules of iptables-legacy") && !text.contains("-I FORWARD"), "{text}");
}

#[test]
fn no_default_route_no_address_and_no_forwarding_are_named() {
    let Some(host) = Host::new("nothing", "true") else { return };
    let text = host.refuses("sysctl -qw net.ipv4.ip_forward=0", "eth1");
    for words in ["there is no default route", "eth1 has no IPv4 address", "net.ipv4.ip_forward=1"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
