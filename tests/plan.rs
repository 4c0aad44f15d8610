//! The text of plans and nftables tables, against golden files.

mod common;

use millpond::config::example;
use millpond::config::model::{Device, Mac, Policy, Settings, Tunnel};
#[cfg(feature = "endpoint")]
use millpond::plan::routing::Prefix;
use millpond::plan::{Desired, DesiredError, Facts, Forwarding, Op, Snapshot, guard_table, plan, plan_guard};
use millpond::tunnel::{Carrier, TunnelError, TunnelFacts};

fn plan_from_empty(desired: &Desired) -> Vec<Op> {
    plan(desired, &Snapshot { ipv6: true, ..Snapshot::default() })
}

fn text(ops: &[Op]) -> String {
    ops.iter().map(|op| format!("{op}\n")).collect()
}

/// The plan of the guard, followed by the plan of the tunnel.
fn full_plan(settings: &Settings, desired: &Desired) -> String {
    let guard = guard_table(settings, &common::facts());
    text(&plan_guard(Some(&guard), &Snapshot::default())) + &text(&plan_from_empty(desired))
}

/// Both tables as millpond loads them, with a placeholder for the digest, which depends on the host's nft.
fn tables(settings: &Settings, desired: &Desired) -> String {
    let guard = guard_table(settings, &common::facts());
    guard.file("(digest)") + &desired.table.as_ref().unwrap().file("(digest)")
}

fn router() -> Desired {
    Desired::from_settings(&common::router([1; 32], [2; 32]), &common::facts(), &common::limits()).unwrap()
}

fn endpoint() -> Desired {
    Desired::from_settings(&common::endpoint([3; 32], [4; 32]), &common::facts(), &common::limits()).unwrap()
}

#[test]
fn router_plan() {
    assert_eq!(full_plan(&common::router([1; 32], [2; 32]), &router()), include_str!("golden/router.plan"));
}

#[test]
fn router_tables() {
    let settings = common::router([1; 32], [2; 32]);
    assert_eq!(tables(&settings, &router()), include_str!("golden/router.nft"));
}

#[test]
fn endpoint_plan() {
    assert_eq!(full_plan(&common::endpoint([3; 32], [4; 32]), &endpoint()), include_str!("golden/endpoint.plan"));
}

#[test]
fn endpoint_tables() {
    let settings = common::endpoint([3; 32], [4; 32]);
    assert_eq!(tables(&settings, &endpoint()), include_str!("golden/endpoint.nft"));
}

/// A router that shapes what it sends itself.
#[cfg(feature = "endpoint")]
fn own_traffic() -> (Settings, Facts) {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.networks.clear();
    settings.devices = vec![Device { is_self: true, ..example::device("this machine", Policy::Shape) }];
    let prefix = |text| Prefix::parse(text).unwrap();
    let on_link = ["192.0.2.0/24", "192.168.1.0/24", "192.168.178.0/24", "2001:db8::/64", "fd00:77::/64"].map(prefix);
    (settings, Facts { on_link: on_link.to_vec(), ..common::facts() })
}

#[test]
#[cfg(feature = "endpoint")]
fn own_traffic_plan_and_tables() {
    let (settings, facts) = own_traffic();
    let desired = Desired::from_settings(&settings, &facts, &common::limits()).unwrap();
    let guard = guard_table(&settings, &facts);
    let plan = text(&plan_guard(Some(&guard), &Snapshot::default())) + &text(&plan_from_empty(&desired));
    assert_eq!(plan, include_str!("golden/self.plan"));
    let tables = guard.file("(digest)") + &desired.table.as_ref().unwrap().file("(digest)");
    assert_eq!(tables, include_str!("golden/self.nft"));
    let blocked = Settings {
        devices: vec![Device { is_self: true, ..example::device("this machine", Policy::Block) }],
        ..settings.clone()
    };
    let tables = guard_table(&blocked, &facts).body
        + &Desired::from_settings(&blocked, &facts, &common::limits()).unwrap().table.unwrap().body;
    assert!(tables.contains("chain own {") && !tables.contains("select_own"), "nothing gets into the tunnel: {tables}");
    // A guard of a machine whose settings cannot be read any more still confines it.
    let (devices, _) = millpond::plan::confined_sections(&guard);
    assert_eq!(
        devices.iter().map(|device| (device.is_self, device.policy)).collect::<Vec<_>>(),
        [(true, Policy::Shape)]
    );
    let minimal = millpond::plan::minimal_guard(&settings, &facts, &Default::default()).body;
    assert!(minimal.contains("meta mark & 0x02000000 == 0x02000000 return"), "{minimal}");
}

#[test]
fn only_forwarding_that_was_off_is_kept_to_the_homes() {
    let closed = |before: &str| {
        let facts = Facts { forwarding: Forwarding::from_text(before), ..common::facts() };
        let desired = Desired::from_settings(&common::endpoint([3; 32], [4; 32]), &facts, &common::limits()).unwrap();
        let table = desired.table.unwrap().body;
        ["ipv4", "ipv6"].map(|family| table.contains(&format!("meta nfproto {family} iifname != \"mp0\" oifname")))
    };
    assert_eq!(closed("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1"), [true, false]);
    assert_eq!(closed("net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=0"), [false, true]);
    assert_eq!(closed(""), [false; 2], "a kernel without the sysctls");
}

#[test]
fn with_ipv6_the_tunnel_carries_both_families() {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.address6 = Some("fd77::2".parse().unwrap());
    settings.dns.servers.push("2620:fe::fe".parse().unwrap());
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    let plan = full_plan(&settings, &desired);
    for op in [
        "sysctl net.ipv6.conf.mp0.disable_ipv6=0",
        "sysctl net.ipv6.conf.mpwg0.disable_ipv6=1",
        "sysctl net.ipv6.conf.mp0.addr_gen_mode=1",
        "ip addr add fd77::2/128 dev mp0",
        "ip -6 route add default dev mp0 table 28016 proto 109 metric 1024",
        "ip -6 route add unreachable default table 28016 proto 109 metric 4278198272",
    ] {
        assert!(plan.lines().any(|line| line == op), "{op} is not in\n{plan}");
    }
    let tables = tables(&settings, &desired);
    let number = "chain dscp_1 {\n\t\tip dscp set 0x01\n\t\tip6 dscp set 0x01\n\t}";
    for rule in ["th dport 53 dnat ip6 to 2620:fe::fe", number, "ip6 hoplimit set 255", "ip6 hoplimit < 32 return"] {
        assert!(tables.contains(rule), "{rule} is not in\n{tables}");
    }
    let mut settings = common::endpoint([3; 32], [4; 32]);
    settings.homes[0].address6 = Some("fd77::2".parse().unwrap());
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    let plan = full_plan(&settings, &desired);
    for op in ["sysctl net.ipv6.conf.all.forwarding=1", "ip -6 route add fd77::2/128 dev mp0 proto 109 metric 1024"] {
        assert!(plan.lines().any(|line| line == op), "{op} is not in\n{plan}");
    }
}

#[test]
fn a_device_with_two_macs_has_one_number() {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.devices[0].macs.push(Mac([0x18, 0xb4, 0x30, 0x26, 0x34, 0x41]));
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    let tables = tables(&settings, &desired);
    let sets = tables.matches("elements = { 18:b4:30:26:34:40, 18:b4:30:26:34:41 }").count();
    assert_eq!(sets, 2, "the guard's set and the tunnel's: {tables}");
    let numbers = "elements = { 18:b4:30:26:34:40 : goto dscp_1, 18:b4:30:26:34:41 : goto dscp_1 }";
    assert!(tables.contains(numbers), "{tables}");
}

/// The rules that number devices are as many with 10,000 devices as with 70, and DSCP alone suffices for 63.
#[test]
fn rules_do_not_grow_with_the_number_of_devices() {
    let chain = |devices: u16| {
        let mut settings = common::router([1; 32], [2; 32]);
        settings.networks.clear();
        let mac = |number: u16| Mac([2, 0, 0, 0, (number >> 8) as u8, number as u8]);
        let device = |number| Device { macs: vec![mac(number)], ..example::device("device", Policy::Shape) };
        settings.devices = (0..devices).map(device).collect();
        let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
        let body = desired.table.unwrap().body;
        let start = body.find("\tchain number_devices {").unwrap();
        (body[start..start + body[start..].find("\t}").unwrap()].to_owned(), body)
    };
    let (small, body) = chain(63);
    assert!(
        !body.contains("ttl") && small.contains("ether saddr vmap @number_mac") && small.lines().count() == 5,
        "{small}"
    );
    let ((some, _), (many, body)) = (chain(64), chain(10_000));
    assert_eq!(some, many);
    assert!(body.contains("02:00:00:00:27:0f : jump ttl_97") && body.contains("02:00:00:00:27:0f : goto dscp_46"));
}

#[test]
fn a_resolver_that_the_tunnel_cannot_reach_is_not_used() {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.dns.servers = vec!["2620:fe::fe".parse().unwrap()];
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    let tables = tables(&settings, &desired);
    assert!(!tables.contains("2620:fe::fe"), "{tables}");
    for family in ["ipv4", "ipv6"] {
        assert!(tables.contains(&format!("meta nfproto {family} meta l4proto {{ tcp, udp }} th dport 53 goto refuse")));
    }
}

#[test]
fn a_kernel_without_ipv6_gets_no_ipv6_operations() {
    let ops = text(&plan(&router(), &Snapshot::default()));
    assert!(!ops.contains("ip -6") && !ops.contains("net.ipv6"), "{ops}");
    assert!(ops.contains("ip -4 rule add"));
}

#[test]
fn disabled_settings_give_no_operations() {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.enabled = false;
    settings.tunnel = None;
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    assert_eq!(plan_from_empty(&desired), []);
}

#[test]
fn missing_settings_are_reported() {
    let rejected = |change: &dyn Fn(&mut millpond::config::model::Settings, &mut millpond::plan::Facts)| {
        let (mut settings, mut facts) = (common::router([1; 32], [2; 32]), common::facts());
        change(&mut settings, &mut facts);
        Desired::from_settings(&settings, &facts, &common::limits()).unwrap_err()
    };
    assert_eq!(rejected(&|settings, _| settings.tunnel = None), DesiredError::NoTunnel);
    assert_eq!(rejected(&|_, facts| facts.tunnel.endpoint = None), DesiredError::Unresolved);
}

fn interface_router() -> Settings {
    let tunnel = Tunnel::Interface {
        interface: "wg0".into(),
        address: [10, 77, 0, 2].into(),
        peer_address: Some([10, 77, 0, 1].into()),
        overhead: None,
        unencrypted: false,
    };
    Settings { tunnel: Some(tunnel), ..common::router([1; 32], [2; 32]) }
}

/// Facts of a host with the interface wg0 as netifd creates it.
fn interface_facts() -> Facts {
    let carrier = Carrier {
        index: 7,
        kind: "wireguard".into(),
        mtu: 1420,
        up: true,
        addresses: vec![[10, 77, 0, 2].into()],
        foreign_qdisc: None,
        outer_ipv6: false,
    };
    Facts { tunnel: TunnelFacts { carrier: Some(carrier), ..TunnelFacts::default() }, ..common::facts() }
}

#[test]
fn openvpn_plan() {
    let profile = "/etc/millpond/server.ovpn".into();
    let tunnel = Tunnel::Openvpn { profile, address: [10, 77, 0, 1].into(), peer_address: None };
    let settings = Settings { tunnel: Some(tunnel), ..common::endpoint([3; 32], [4; 32]) };
    let desired = Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap();
    assert_eq!(full_plan(&settings, &desired), include_str!("golden/openvpn.plan"));
    assert!(tables(&settings, &desired).contains("iifname \"mpvpn0\" ip saddr @homes udp dport 9347 accept"));
}

#[test]
fn interface_plan() {
    let settings = interface_router();
    let desired = Desired::from_settings(&settings, &interface_facts(), &common::limits()).unwrap();
    assert_eq!(full_plan(&settings, &desired), include_str!("golden/interface.plan"));
    assert!(tables(&settings, &desired).contains("oifname \"wg0\" drop"));
}

#[test]
fn an_attached_interface_is_left_to_its_owner() {
    let settings = interface_router();
    let desired = Desired::from_settings(&settings, &interface_facts(), &common::limits()).unwrap();
    let tree = desired.tree.unwrap();
    let qdiscs = std::iter::once(tree.root).chain(tree.below).map(|qdisc| ("wg0".into(), qdisc)).collect();
    let installed =
        Snapshot { qdiscs, classes: vec![("wg0".into(), tree.class)], routes: desired.routes, ..Snapshot::default() };
    let ops = text(&plan(&Desired::nothing(), &installed));
    let wg0_ops: Vec<&str> = ops.lines().filter(|line| line.contains("wg0")).collect();
    assert_eq!(wg0_ops.len(), 7, "{ops}");
    assert_eq!(wg0_ops[0], "ip -4 route del 10.77.0.1/32 dev wg0 proto 109 metric 28016");
    assert!(wg0_ops[1..].iter().all(|line| line.starts_with("tc ") && line.contains(" del dev wg0 ")), "{ops}");
    assert_eq!(wg0_ops[6], "tc qdisc del dev wg0 root handle 1: htb default 1 direct_qlen 0");
}

#[test]
fn an_unsuitable_interface_is_rejected() {
    let rejected = |change: &dyn Fn(&mut Carrier)| {
        let mut facts = interface_facts();
        change(facts.tunnel.carrier.as_mut().unwrap());
        match Desired::from_settings(&interface_router(), &facts, &common::limits()) {
            Err(DesiredError::Tunnel(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let dev = || "wg0".to_owned();
    assert_eq!(rejected(&|carrier| carrier.up = false), TunnelError::InterfaceDown(dev()));
    let address = [10, 77, 0, 2].into();
    assert_eq!(rejected(&|carrier| carrier.addresses.clear()), TunnelError::NotAddressed { dev: dev(), address });
    let mtu = TunnelError::Mtu { dev: dev(), mtu: 447, cell_bytes: 448 };
    assert_eq!(rejected(&|carrier| carrier.mtu = 447), mtu);
    let foreign = TunnelError::ForeignQdisc { dev: dev(), kind: "cake".into() };
    assert_eq!(rejected(&|carrier| carrier.foreign_qdisc = Some("cake".into())), foreign);
    let facts = Facts { tunnel: TunnelFacts::default(), ..interface_facts() };
    let absent = Desired::from_settings(&interface_router(), &facts, &common::limits()).unwrap_err();
    assert_eq!(absent, DesiredError::Tunnel(TunnelError::NoInterface(dev())));
}
