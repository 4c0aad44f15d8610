use super::*;

fn interface(name: &str) -> HostInterface {
    HostInterface { name: name.to_owned(), has_ipv4: true, ..HostInterface::default() }
}

/// A Raspberry Pi that is an access point.
fn host() -> Surroundings {
    let wlan = HostInterface { is_wifi: true, is_access_point: true, ..interface("wlan0") };
    let eth = HostInterface { default_metric: Some(0), ..interface("eth0") };
    let lo = HostInterface { is_loopback_or_ptp: true, ..interface("lo") };
    Surroundings { interfaces: vec![lo, eth, wlan], forwards: true, has_dhcp: true, ..Surroundings::default() }
}

fn faults(host: &Surroundings, lan: &str, wan: Option<&str>) -> String {
    host.faults(&[lan.to_owned()], wan).1.join("; ")
}

#[test]
fn an_access_point_is_fit() {
    assert_eq!(host().faults(&["wlan0".to_owned()], None), (vec!["eth0".to_owned()], Vec::new()));
    assert_eq!(faults(&host(), "wlan0", Some("eth0")), "");
}

#[test]
fn what_cannot_work_is_named_with_the_remedy() {
    let with = |change: &dyn Fn(&mut Surroundings)| {
        let mut host = host();
        change(&mut host);
        host
    };
    let client = with(&|host| host.interfaces[2].is_access_point = false);
    assert!(faults(&client, "wlan0", None).contains("wlan0 is no access point: make it one, with hostapd"));
    let off = with(&|host| host.forwards = false);
    assert!(faults(&off, "wlan0", None).contains("net.ipv4.ip_forward=1"));
    let no_address = with(&|host| host.interfaces[2].has_ipv4 = false);
    assert!(faults(&no_address, "wlan0", None).contains("no IPv4 address"));
    let no_default = with(&|host| host.interfaces[1].default_metric = None);
    assert!(faults(&no_default, "wlan0", None).contains("--wan"));
    assert_eq!(faults(&no_default, "wlan0", Some("eth0")), "");
    assert!(faults(&host(), "wlan1", None).contains("choose one of lo, eth0, wlan0"));
    assert!(faults(&host(), "wlan0", Some("ppp0")).contains("--wan ppp0: there is no such interface"));
    assert!(faults(&host(), "eth0", None).contains("leads to the Internet"));
    assert!(faults(&host(), "lo", None).contains("no devices are behind it"));
    let modules = with(&|host| host.missing_modules = vec!["sch_prio"]);
    assert!(faults(&modules, "wlan0", None).contains("lacks sch_prio"));
}

#[test]
fn the_default_route_of_least_metric_leads_to_the_internet() {
    let mut host = host();
    let uplink = |name: &str, metric: u32| HostInterface { default_metric: Some(metric), ..interface(name) };
    host.interfaces.extend([uplink("usb0", 50), uplink("wwan0", 50)]);
    host.interfaces[1].default_metric = Some(600);
    let wans = |host: &Surroundings, wan: Option<&str>| host.faults(&["wlan0".to_owned()], wan);
    assert_eq!(wans(&host, None), (vec!["usb0".to_owned(), "wwan0".to_owned()], Vec::new()));
    assert_eq!(wans(&host, Some("eth0")), (vec!["eth0".to_owned()], Vec::new()));
    assert!(faults(&host, "eth0", None).contains("leads to the Internet"), "its default route is a spare one");
}

#[test]
fn bridges_are_understood() {
    let mut host = host();
    host.interfaces.push(HostInterface { is_bridge: true, ..interface("br0") });
    // The WAN is a bridge, and the devices have a network of their own.
    host.interfaces[1].default_metric = None;
    host.interfaces[3].default_metric = Some(0);
    host.interfaces[1].master = Some("br0".to_owned());
    assert_eq!(faults(&host, "wlan0", None), "");
    assert!(faults(&host, "wlan0", Some("eth0")).contains("name the bridge: --wan br0"));
    // The devices are in the same bridge.
    host.interfaces[2].master = Some("br0".to_owned());
    let shared = faults(&host, "wlan0", None);
    assert!(shared.contains("take wlan0 out of br0") && !shared.contains("name the bridge"), "{shared}");
    // The devices have a bridge.
    host.interfaces[3].default_metric = None;
    host.interfaces[1] = HostInterface { default_metric: Some(0), ..interface("eth0") };
    assert!(faults(&host, "wlan0", None).contains("name the bridge: --lan br0"));
    assert_eq!(faults(&host, "br0", None), "");
}

#[test]
fn what_is_left_alone_is_said() {
    let left = |host: &Surroundings| host.left_alone(&["wlan0".to_owned()]).join("\n");
    assert!(left(&host()).contains("no address translation found"));
    let hotspot = "table ip nm-shared-wlan0 {\n\tchain nat_postrouting {\n\t\ttype nat hook postrouting priority 100; \
                   policy accept;\n\t\tip saddr 10.42.0.0/24 masquerade\n\t}\n}\n";
    let host_with = |nft: &str, programs: &[&'static str]| Surroundings {
        nft: nft.to_owned(),
        programs: programs.to_vec(),
        ..host()
    };
    let lines = left(&host_with(hotspot, &["NetworkManager", "dnsmasq"]));
    assert!(lines.starts_with("left alone: NetworkManager, dnsmasq\n"), "{lines}");
    assert!(lines.contains("left alone: the address translation"), "{lines}");
    let dropping = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\t\
                    counter jump X\n\t}\n\n\tchain OUTPUT {\n\t\t\
                    type filter hook output priority 0; policy drop;\n\t}\n}\n\
                    table inet millpond {\n\tchain guard {\n\t\t\
                    type filter hook forward priority -1; policy drop;\n\t}\n}\n";
    let lines = left(&host_with(dropping, &[]));
    let rule = "nft 'add rule ip filter FORWARD iifname \"wlan0\" oifname \"mp0\" accept'";
    assert!(lines.contains(rule) && lines.matches("by default").count() == 1, "{lines}");
    let open = dropping.replacen("counter jump X", "iifname \"wlan0\" oifname \"mp0\" accept", 1);
    assert!(!left(&host_with(&open, &[])).contains("by default"));
    assert!(left(&host_with("", &["dhcpcd"])).contains("denyinterfaces mp0"));
}

#[test]
fn rules_of_the_old_iptables_are_named() {
    let legacy = |rules: &str| {
        let legacy_tables = vec!["filter".to_owned(), "nat".to_owned()];
        let host = Surroundings { legacy_tables, legacy: rules.to_owned(), ..host() };
        host.left_alone(&["wlan0".to_owned()]).join("\n")
    };
    let lines = legacy("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\n");
    assert!(lines.contains("iptables-legacy -I FORWARD -i wlan0 -o mp0 -j ACCEPT"), "{lines}");
    assert!(lines.contains("left alone: the address translation"), "{lines}");
    assert!(!legacy("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n").contains("-I FORWARD"));
    // Without its program nobody can read them.
    assert!(legacy("").contains("-I FORWARD"));
}

#[test]
fn an_interface_that_networkmanager_takes_is_named() {
    let mut host = host();
    host.interfaces.push(HostInterface { is_networkmanagers: true, ..interface("mp0") });
    host.interfaces[2].is_networkmanagers = true;
    let lines = host.left_alone(&["wlan0".to_owned()]).join("\n");
    assert!(lines.contains("NetworkManager takes mp0 for its own"), "{lines}");
    assert_eq!(lines.matches("takes").count(), 1, "its other interfaces are its business: {lines}");
}

#[test]
fn a_dhcp_server_is_a_socket_on_its_port() {
    assert!(is_dhcp_server("  52: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0"));
    assert!(!is_dhcp_server("  53: 00000000:0044 00000000:0043 07 00000000:00000000 00:00000000 00000000     0"));
}
