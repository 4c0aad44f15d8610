//! What a Debian machine has that concerns a router: interfaces, forwarding, address translation, firewalls, and the
//! programs that manage the network. millpond changes none of it.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use crate::cli::endpoint::prerequisites::{MODULES, has_module};
use crate::sys::host_interfaces::{self, HostInterface};
use crate::sys::nft;
use crate::tunnel::OWN_INTERFACES;

/// Programs that manage the network, by the name that the kernel shows, of at most 15 bytes, and by their own.
const PROGRAMS: [(&str, &str); 12] = [
    ("NetworkManager", "NetworkManager"),
    ("systemd-network", "systemd-networkd"),
    ("dhcpcd", "dhcpcd"),
    ("connmand", "ConnMan"),
    ("hostapd", "hostapd"),
    ("wpa_supplicant", "wpa_supplicant"),
    ("dnsmasq", "dnsmasq"),
    ("kea-dhcp4", "Kea"),
    ("dhcpd", "dhcpd"),
    ("firewalld", "firewalld"),
    ("dockerd", "Docker"),
    ("tailscaled", "Tailscale"),
];

/// The host, as read once.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    interfaces: Vec<HostInterface>,
    missing_modules: Vec<&'static str>,
    forwards: bool,
    /// Whether some program listens for DHCP requests.
    has_dhcp: bool,
    programs: Vec<&'static str>,
    has_ifupdown: bool,
    has_ufw: bool,
    /// All nftables tables, without millpond's.
    nft: String,
    /// The tables in use of the old iptables.
    legacy_tables: Vec<String>,
    /// The rules of the old iptables, if its program is installed.
    legacy: String,
}

impl Surroundings {
    /// Reads everything. What cannot be read counts as absent.
    pub fn read() -> Surroundings {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let running = running();
        let legacy_tables: Vec<String> = text("/proc/net/ip_tables_names").lines().map(str::to_owned).collect();
        let legacy =
            if legacy_tables.is_empty() { String::new() } else { host_interfaces::legacy_rules().unwrap_or_default() };
        Surroundings {
            interfaces: host_interfaces::list().unwrap_or_default(),
            missing_modules: MODULES.into_iter().filter(|module| !has_module(module)).collect(),
            forwards: text("/proc/sys/net/ipv4/ip_forward").trim() == "1",
            has_dhcp: text("/proc/net/udp").lines().any(is_dhcp_server),
            programs: PROGRAMS.iter().filter(|(comm, _)| running.contains(comm)).map(|(_, name)| *name).collect(),
            has_ifupdown: text("/etc/network/interfaces")
                .lines()
                .any(|line| line.strip_prefix("iface ").is_some_and(|rest| !rest.trim_start().starts_with("lo "))),
            has_ufw: text("/etc/ufw/ufw.conf").contains("ENABLED=yes"),
            nft: nft::list_all().unwrap_or_default(),
            legacy_tables,
            legacy,
        }
    }

    /// The interfaces to the Internet, and what prevents a router between them and the interfaces `lan`, each with the
    /// remedy. There are several if the host has default routes of equal metric.
    pub fn faults(&self, lan: &[String], wan: Option<&str>) -> (Vec<String>, Vec<String>) {
        let mut faults = Vec::new();
        let wans: Vec<String> = wan.map_or_else(|| self.default_interfaces(), |wan| vec![wan.to_owned()]);
        if wans.is_empty() {
            faults.push("there is no default route: name the interface to the Internet with --wan".to_owned());
        }
        for wan in &wans {
            match self.interface(wan) {
                None => faults.push(self.unknown("--wan", wan)),
                Some(found) => faults.extend(self.fault_of_wan(wan, found, lan)),
            }
        }
        for name in lan {
            match self.interface(name) {
                None => faults.push(self.unknown("--lan", name)),
                Some(found) => faults.extend(fault_of_lan(found, &wans)),
            }
        }
        if !self.forwards {
            faults.push(
                "IPv4 forwarding is off, so this machine is no router: write net.ipv4.ip_forward=1 to \
                 /etc/sysctl.d/90-router.conf, then run sysctl --system"
                    .to_owned(),
            );
        }
        if !self.missing_modules.is_empty() {
            let modules = self.missing_modules.join(", ");
            faults.push(format!(
                "the kernel lacks {modules}: install its modules (Debian: linux-image-amd64; Ubuntu: \
                 linux-modules-extra-$(uname -r); Raspberry Pi OS: reboot after a kernel upgrade)"
            ));
        }
        (wans, faults)
    }

    /// The interfaces of the default routes with the least metric, which are those that the kernel takes.
    fn default_interfaces(&self) -> Vec<String> {
        let least = self.interfaces.iter().filter_map(|interface| interface.default_metric).min();
        let takes = |interface: &&HostInterface| least.is_some() && interface.default_metric == least;
        self.interfaces.iter().filter(takes).map(|interface| interface.name.clone()).collect()
    }

    /// One line for each thing that millpond leaves alone, with what the owner may have to do there.
    pub fn left_alone(&self, lan: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut programs = self.programs.clone();
        if self.has_ifupdown {
            programs.push("ifupdown");
        }
        if !programs.is_empty() {
            lines.push(format!("left alone: {}", programs.join(", ")));
        }
        if self.programs.contains(&"dhcpcd") {
            lines.push(
                "dhcpcd asks on every interface for an address: add 'denyinterfaces mp0 mpwg0 mpvpn0' to \
                 /etc/dhcpcd.conf"
                    .to_owned(),
            );
        }
        let taken = self.interfaces.iter().filter(|interface| {
            interface.is_networkmanagers
                && (interface.name == "mp0" || OWN_INTERFACES.contains(&interface.name.as_str()))
        });
        lines.extend(taken.map(|HostInterface { name, .. }| {
            format!(
                "NetworkManager takes {name} for its own, and may change its addresses: run nmcli device set {name} \
                 managed no, and look for the setting in /etc/NetworkManager/conf.d"
            )
        }));
        if !self.has_dhcp {
            lines.push("no DHCP server runs here: devices need one, or addresses by hand".to_owned());
        }
        if self.translates() {
            lines.push("left alone: the address translation for devices that are not protected".to_owned());
        } else {
            lines.push(
                "no address translation found: protected devices need none, others may not reach the Internet"
                    .to_owned(),
            );
        }
        lines.extend(self.firewalls(lan));
        lines
    }

    fn translates(&self) -> bool {
        self.nft.lines().map(str::trim).any(|rule| rule.contains("masquerade") || rule.contains("snat to"))
            || self.legacy.contains("-j MASQUERADE")
            || self.legacy.contains("-j SNAT")
    }

    /// What the firewalls of others must let through.
    fn firewalls(&self, lan: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let each = |rule: &dyn Fn(&String) -> String| lan.iter().map(rule).collect::<Vec<_>>().join("; ");
        if self.has_ufw {
            lines.push(format!("ufw is active: {}", each(&|lan| format!("ufw route allow in on {lan} out on mp0"))));
        } else if self.programs.contains(&"firewalld") {
            lines.push(
                "firewalld is active: put mp0 into a zone of its own, and add a policy with target ACCEPT from the \
                 devices' zone to that one"
                    .to_owned(),
            );
        } else {
            lines.extend(dropping_chains(&self.nft).into_iter().map(|chain| {
                let rules = each(&|lan| {
                    format!(
                        "nft 'add rule {chain} iifname \"{lan}\" oifname \"mp0\" accept'; nft 'add rule {chain} \
                         iifname \"mp0\" oifname \"{lan}\" ct state established,related accept'"
                    )
                });
                format!("the firewall's chain {chain} drops forwarded packets by default; add: {rules}")
            }));
        }
        if !self.legacy_tables.is_empty() {
            let may_drop = self.legacy.is_empty() || self.legacy.lines().any(|line| line.starts_with(":FORWARD DROP"));
            let rules = each(&|lan| {
                format!(
                    "iptables-legacy -I FORWARD -i {lan} -o mp0 -j ACCEPT; iptables-legacy -I FORWARD -i mp0 -o {lan} \
                     -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
                )
            });
            let tables = self.legacy_tables.join(", ");
            lines.push(match may_drop {
                true => {
                    format!("left alone: rules of iptables-legacy ({tables}); if they drop forwarded packets: {rules}")
                }
                false => format!("left alone: rules of iptables-legacy ({tables})"),
            });
        }
        lines
    }

    fn fault_of_wan(&self, wan: &str, found: &HostInterface, lan: &[String]) -> Option<String> {
        if let Some(master) = &found.master {
            return Some(format!("{wan} is a port of {master}: name the bridge: --wan {master}"));
        }
        let is_shared = |name: &&String| self.interface(name).is_some_and(|lan| lan.master.as_deref() == Some(wan));
        let shared = lan.iter().find(is_shared)?;
        Some(format!(
            "{shared} is a port of the bridge {wan}, which leads to the Internet: this machine is a switch, and not \
             the router of the devices: take {shared} out of {wan} and give it a network of its own"
        ))
    }

    fn interface(&self, name: &str) -> Option<&HostInterface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    fn unknown(&self, option: &str, name: &str) -> String {
        let names: Vec<&str> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        format!("{option} {name}: there is no such interface: choose one of {}", names.join(", "))
    }
}

fn fault_of_lan(found: &HostInterface, wans: &[String]) -> Option<String> {
    let name = &found.name;
    if found.is_loopback_or_ptp || name == "mp0" || OWN_INTERFACES.contains(&name.as_str()) {
        return Some(format!("--lan {name}: no devices are behind it: name the access point or the network card"));
    }
    if wans.contains(name) || found.default_metric.is_some() {
        return Some(format!("--lan {name}: it leads to the Internet: name the other interface"));
    }
    if let Some(master) = found.master.as_ref().filter(|master| !wans.contains(master)) {
        return Some(format!("{name} is a port of {master}: name the bridge: --lan {master}"));
    }
    if found.is_wifi && !found.is_access_point {
        return Some(format!(
            "{name} is no access point: make it one, with hostapd or with nmcli device wifi hotspot ifname {name} ssid \
             NAME password PASSWORD"
        ));
    }
    if !found.has_ipv4 && found.master.is_none() {
        return Some(format!("{name} has no IPv4 address: give it one, such as 192.168.77.1/24"));
    }
    None
}

/// The chains of others that drop forwarded packets by default and do not accept those into the tunnel, as nft names
/// them.
fn dropping_chains(listing: &str) -> Vec<String> {
    let (mut found, mut table, mut chain) = (Vec::new(), "", None);
    let mut accepts = false;
    for line in listing.lines().map(str::trim) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["table", _, name, "{"] if name.starts_with("millpond") => table = "",
            ["table", .., "{"] => table = line.trim_start_matches("table ").trim_end_matches(" {"),
            ["chain", name, "{"] => (chain, accepts) = (Some((name, false)), false),
            ["}"] => {
                if let Some((name, true)) = chain.take().filter(|_| !accepts && !table.is_empty()) {
                    found.push(format!("{table} {name}"));
                }
            }
            _ if line.starts_with("type filter hook forward ") && line.ends_with("policy drop;") => {
                chain = chain.map(|(name, _)| (name, true));
            }
            _ => accepts |= line.contains("oifname \"mp0\"") && line.contains("accept"),
        }
    }
    found
}

/// Whether a line of `/proc/net/udp` is a socket on the port of DHCP servers.
fn is_dhcp_server(line: &str) -> bool {
    line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(":0043"))
}

/// The names of [`PROGRAMS`] that run.
fn running() -> Vec<&'static str> {
    let processes = fs::read_dir(Path::new("/proc")).into_iter().flatten().flatten();
    let names: Vec<String> = processes.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok()).collect();
    let runs = |comm: &&str| names.iter().any(|name| name.trim_end() == *comm);
    PROGRAMS.iter().map(|(comm, _)| *comm).filter(runs).collect()
}
