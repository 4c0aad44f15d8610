//! Checks the requirements of an endpoint: kernel modules, forwarding, a free port, a free network.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use nix::sys::utsname::uname;

use super::container;

/// Required kernel modules, loadable or built in.
pub(in crate::cli) const MODULES: [&str; 5] = ["wireguard", "tun", "sch_htb", "sch_prio", "nf_tables"];

/// Returns all missing requirements, each with a remedy.
pub(super) fn check(port: u16, address: &str, keys: &Path) -> Result<(), Vec<String>> {
    let mut causes = if container::is_container() { container::missing(keys) } else { Vec::new() };
    let missing: Vec<&str> = MODULES.into_iter().filter(|module| !has_module(module)).collect();
    if !missing.is_empty() {
        causes.push(format!(
            "the kernel lacks {}: install its modules \
             (Debian: linux-image-amd64; Ubuntu: linux-modules-extra-$(uname -r))",
            missing.join(", ")
        ));
    }
    causes.extend(forwarding(Path::new("/proc/sys/net/ipv4/ip_forward")));
    causes.extend(port_in_use(port));
    causes.extend(network_in_use(address));
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

/// Whether the kernel has a module, loaded, loadable or built in.
pub(in crate::cli) fn has_module(name: &str) -> bool {
    // Lists every loaded module, but a built-in one only if it has parameters or a version.
    if Path::new("/sys/module").join(name).exists() {
        return true;
    }
    let Ok(release) = uname().map(|name| name.release().to_string_lossy().into_owned()) else { return false };
    let folder = Path::new("/lib/modules").join(release);
    // A container need not see the host's modules. The kernel loads them all the same, and the daemon says what is
    // missing.
    if container::is_container() && !folder.exists() {
        return true;
    }
    ["modules.builtin", "modules.dep"].iter().any(|list| {
        let list = fs::read_to_string(folder.join(list)).unwrap_or_default();
        list.lines().any(|line| is_module(line, name))
    })
}

/// Whether a line of `modules.dep` or `modules.builtin` describes this module.
fn is_module(line: &str, name: &str) -> bool {
    let path = line.split(':').next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().is_some_and(|file| file.replace('-', "_") == name)
}

/// Reports forwarding that is off and that the daemon cannot switch on.
fn forwarding(switch: &Path) -> Option<String> {
    let on = fs::read_to_string(switch).is_ok_and(|value| value.trim() == "1");
    let opened = fs::OpenOptions::new().write(true).open(switch);
    let error = opened.err().filter(|_| !on)?;
    Some(format!(
        "IPv4 forwarding is off and cannot be switched on ({}: {error}): set net.ipv4.ip_forward=1 on the host",
        switch.display()
    ))
}

/// Reports a UDP port that cannot be bound.
fn port_in_use(port: u16) -> Option<String> {
    let error = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).err()?;
    match error.kind() {
        ErrorKind::AddrInUse => {
            Some(format!("UDP port {port} is in use: stop the program that uses it, or choose another with --port"))
        }
        _ => Some(format!("UDP port {port} cannot be bound ({error}): choose another with --port")),
    }
}

/// Reports a route of this host that overlaps the homes' network.
fn network_in_use(address: &str) -> Option<String> {
    let network = network(address)?;
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let (interface, _) = routes.lines().skip(1).filter_map(route).find(|(_, other)| overlap(network, *other))?;
    Some(format!(
        "the network of {address} is already routed to {interface}: \
         choose another with --address, such as 10.78.0.1/16"
    ))
}

/// The first and the last address of a network.
type Range = (u32, u32);

fn network(text: &str) -> Option<Range> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
    Some((u32::from(address) & !hosts, u32::from(address) | hosts))
}

/// Parses a line of `/proc/net/route`: interface, destination and, in column eight, mask, both in native byte order.
/// Skips the default route, and millpond's own routes from an earlier run.
fn route(line: &str) -> Option<(&str, Range)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hexadecimal = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::to_be);
    let (interface, network, mask) = (*words.first()?, hexadecimal(words.get(1)?)?, hexadecimal(words.get(7)?)?);
    let own = matches!(interface, "mp0" | "mpwg0" | "mpvpn0");
    (mask != 0 && !own).then_some((interface, (network, network | !mask)))
}

fn overlap(a: Range, b: Range) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_the_kernels_lists() {
        assert!(is_module("kernel/net/sched/sch_htb.ko.xz: kernel/lib/x.ko", "sch_htb"));
        assert!(is_module("kernel/net/netfilter/nf-tables.ko", "nf_tables"));
        assert!(!is_module("kernel/net/sched/sch_prio.ko: kernel/net/sched/sch_htb.ko", "sch_htb"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn overlapping_networks_are_found() {
        let line = "eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0";
        let (interface, range) = route(line).unwrap();
        assert_eq!((interface, range), ("eth0", (0x0a4d_0000, 0x0a4d_ffff)));
        assert!(overlap(network("10.77.3.1/24").unwrap(), range) && overlap(network("10.0.0.1/8").unwrap(), range));
        assert!(!overlap(network("10.78.0.1/16").unwrap(), range));
        assert_eq!(route("eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"), None);
        assert_eq!(route("mp0\t00004D0A\t0\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), None);
    }

    #[test]
    fn forwarding_that_cannot_be_switched_on_is_reported() {
        let folder = std::env::temp_dir().join(format!("millpond-forwarding-{}", std::process::id()));
        let text = forwarding(&folder).unwrap();
        assert!(text.contains("net.ipv4.ip_forward=1"), "{text}");
        for value in ["0\n", "1\n"] {
            fs::write(&folder, value).unwrap();
            assert_eq!(forwarding(&folder), None, "writable forwarding can be switched on");
        }
        fs::remove_file(folder).unwrap();
    }

    #[test]
    fn a_port_in_use_is_reported() {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(port_in_use(port).unwrap().contains("is in use"));
        drop(socket);
        assert_eq!(port_in_use(port), None);
    }
}
