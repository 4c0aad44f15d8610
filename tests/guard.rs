//! The guard alone on a running kernel, without tunnel or daemon. Needs root and the kernel modules veth, bridge and
//! nf_tables; prints a line if it is skipped.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::namespace::{Namespace, shell};
use common::world::{DEVICE, SERVERS, World, can_run};
use millpond::apply::{Kernel, apply_guard};
use millpond::config::model::Policy;
use millpond::plan::nft::TableText;
use millpond::plan::{PolicySubjects, astray, guard_table, persistent_elements};
use millpond::sys::kernel::LinuxKernel;
use millpond::sys::owned_guard_copy::OwnedGuardCopy;

/// Changes that other programs make to the guard are detected and undone, also a change of the order of rules.
#[test]
fn the_guard_is_known_by_its_content() {
    if !can_run("the_guard_is_known_by_its_content") {
        return;
    }
    let _namespace = Namespace::new();
    shell("ip link set lo up");
    let mut kernel = LinuxKernel::open().unwrap();
    let wanted = guard_table(&common::router([1; 32], [2; 32]), &common::facts());
    for damage in [
        "true",
        "nft delete table inet millpond",
        "nft flush chain inet millpond guard",
        "nft insert rule inet millpond guard accept",
        "nft add element inet millpond lan '{ wan }'",
        "nft delete element inet millpond shape_mac '{ 18:b4:30:26:34:40 }'",
        "nft 'add table inet millpond { flags dormant; }'",
        "h=$(nft -a list chain inet millpond confine | sed -n 's/.*mp0.* handle //p');
         nft replace rule inet millpond confine handle $h oifname wan0 return",
        "h=$(nft -a list chain inet millpond input | sed -n 's/.*mpwg0. drop # handle //p');
         nft delete rule inet millpond input handle $h; nft insert rule inet millpond input iifname mpwg0 drop",
    ] {
        shell(damage);
        let applied = apply_guard(&mut kernel, Some(&wanted)).unwrap_or_else(|error| panic!("after {damage}: {error}"));
        assert_eq!(applied.ops.len(), 1, "{damage} was not detected");
        assert_eq!(apply_guard(&mut kernel, Some(&wanted)).unwrap().ops, [], "after {damage}");
    }
    // Elements that packets add, and other tables, are not damage.
    for harmless in ["nft add element inet millpond seen4 '{ 192.168.1.9 }'", "nft add table inet fw4"] {
        shell(harmless);
        assert_eq!(apply_guard(&mut kernel, Some(&wanted)).unwrap().ops, [], "after {harmless}");
    }
    assert_eq!(shell("nft list tables").lines().count(), 2, "a draft is left");
    // The table that is loaded from its file, as at boot, is recognised.
    let installed = kernel.snapshot().unwrap().guard.unwrap();
    shell(&format!("nft flush ruleset; echo '{}' | nft -f -", wanted.file(&installed.digest())));
    assert_eq!(apply_guard(&mut kernel, Some(&wanted)).unwrap().ops, []);
    apply_guard(&mut kernel, None).unwrap();
    assert_eq!(shell("nft list tables"), "");
}

#[test]
fn a_confined_device_can_neither_send_out_nor_be_reached() {
    if !can_run("a_confined_device_can_neither_send_out_nor_be_reached") {
        return;
    }
    let mut world = World::new();
    world.outside.enter();
    let _server = TcpListener::bind("[::]:80").unwrap();
    world.router.enter();
    let _resolver = TcpListener::bind("[::]:53").unwrap();
    for (policy, confined) in [(Policy::Direct, false), (Policy::Shape, true), (Policy::Block, true)] {
        world.settings.devices[0].policy = policy;
        world.install_guard();
        // The device sends packets, by which the guard learns its addresses.
        world.set_mac("18:b4:30:26:34:40");
        for server in SERVERS {
            assert_eq!(world.connects(server), Some(!confined), "{policy:?} {server}");
        }
        for server in ["192.168.1.1:53", "[fd00:77::1]:53"] {
            assert_eq!(world.connects(server), Some(!confined), "{policy:?}, the router's resolver {server}");
        }
        for address in DEVICE {
            assert_eq!(world.is_reached(address.parse().unwrap()), !confined, "{policy:?} {address}");
        }
    }
    // Another device that takes over its addresses is free when ARP has confirmed it and the first device has been
    // silent for a while. The first device is confined again when it returns.
    world.set_mac("02:00:00:00:00:77");
    world.expire_bindings();
    world.resolve_device();
    world.install_guard();
    assert!(world.is_reached(DEVICE[0].parse().unwrap()) && world.is_reached(DEVICE[1].parse().unwrap()));
    world.set_mac("18:b4:30:26:34:40");
    world.expire_bindings();
    world.resolve_device();
    world.install_guard();
    assert!(!world.is_reached(DEVICE[0].parse().unwrap()) && !world.is_reached(DEVICE[1].parse().unwrap()));
}

/// Without a mark, or without the rule for it, a shaped device's packets are routed past the tunnel. The guard refuses
/// them, and says whose they were.
#[test]
fn packets_routed_past_the_tunnel_are_refused_and_named() {
    if !can_run("packets_routed_past_the_tunnel_are_refused_and_named") {
        return;
    }
    let mut world = World::new();
    for (policy, named) in [(Policy::Direct, false), (Policy::Block, false), (Policy::Shape, true)] {
        world.settings.devices[0].policy = policy;
        world.install_guard();
        for server in SERVERS {
            world.connects(server);
        }
        world.router.enter();
        let guard = world.kernel.guard().unwrap().unwrap();
        let devices: Vec<String> = astray(&guard).iter().map(ToString::to_string).collect();
        assert_eq!(devices, ["18:b4:30:26:34:40"][..usize::from(named)], "{policy:?}");
        world.kernel.forget_astray(&guard).unwrap();
        if let Ok(copy) = OwnedGuardCopy::open().inspect_err(|cause| println!("not tried with an owned copy: {cause}"))
        {
            copy.sync().unwrap();
            for server in SERVERS {
                world.connects(server);
            }
            world.router.enter();
            let devices: Vec<String> = copy.astray().iter().map(ToString::to_string).collect();
            assert_eq!(devices, ["18:b4:30:26:34:40"][..usize::from(named)], "the owned copy, {policy:?}");
            copy.sync_learned(&[]).unwrap();
            assert_eq!(copy.astray(), [], "{policy:?}");
        }
        assert_eq!(astray(&world.kernel.guard().unwrap().unwrap()), [], "{policy:?}");
    }
    // A packet for the home is on its way.
    world.connects("192.168.1.1:9");
    world.router.enter();
    assert_eq!(astray(&world.kernel.guard().unwrap().unwrap()), []);
}

/// The copy confines without a gap: a flushed ruleset does not include it.
#[test]
fn an_owned_copy_confines_after_a_flush() {
    if !can_run("an_owned_copy_confines_after_a_flush") {
        return;
    }
    let mut world = World::new();
    world.outside.enter();
    let _server = TcpListener::bind("[::]:80").unwrap();
    world.router.enter();
    let copy = match OwnedGuardCopy::open() {
        Ok(copy) => copy,
        Err(cause) => {
            println!("skipped an_owned_copy_confines_after_a_flush: no table can be owned here: {cause}");
            return;
        }
    };
    assert!(!copy.sync().unwrap(), "there is no guard to copy yet");
    for (policy, confined) in [(Policy::Shape, true), (Policy::Direct, false), (Policy::Block, true)] {
        world.settings.devices[0].policy = policy;
        world.install_guard();
        world.set_mac("18:b4:30:26:34:40");
        world.router.enter();
        assert!(copy.sync().unwrap(), "{policy:?}: nothing to copy");
        assert!(!copy.sync().unwrap(), "{policy:?}: copied twice");
        // Compare the rules, and one set of learned addresses.
        let list = |table: &str| {
            let listing = shell(&format!("nft -s list table inet {table}")).replace(" expires ", "\n");
            listing.replace(" # progname millpond", "").replace(table, "T").replace("\tflags owner\n", "")
        };
        let rules = |table: &str| list(table).split("chain").skip(1).collect::<String>();
        assert_eq!(rules("millpond_held"), rules("millpond"));
        assert_eq!(shell("nft list set inet millpond_held seen6").contains("fd00:77::50"), confined);
        // The file that the firewall reloads with its own rules contains no learned addresses; the copy still has them.
        let digest = world.kernel.guard().unwrap().unwrap().digest();
        shell(&format!("echo '{}' | nft -f -", guard_table(&world.settings, &world.facts).file(&digest)));
        assert!(!copy.sync().unwrap(), "{policy:?}: the same guard, loaded again");
        assert_eq!(world.is_reached(DEVICE[0].parse().unwrap()), !confined, "{policy:?}, loaded again");
        world.router.enter();
        shell("nft flush ruleset");
        assert!(!copy.sync().unwrap(), "the copy stays if there is no guard");
        assert!(!shell("nft list tables").contains("table inet millpond\n"));
        for server in SERVERS {
            assert_eq!(world.connects(server), Some(!confined), "{policy:?} {server}");
        }
        for address in DEVICE {
            assert_eq!(world.is_reached(address.parse().unwrap()), !confined, "{policy:?} {address}");
        }
        world.router.enter();
        shell("! nft delete table inet millpond_held 2> /dev/null");
    }
    drop(copy);
    assert_eq!(world.connects(SERVERS[0]), Some(true), "the copy has outlived its owner");
}

#[test]
fn a_proxy_on_the_router_is_unreachable() {
    if !can_run("a_proxy_on_the_router_is_unreachable") {
        return;
    }
    let mut world = World::new();
    world.router.enter();
    let _proxy = TcpListener::bind("[::]:8080").unwrap();
    shell(
        "nft 'table inet hijack { chain c { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }; }'",
    );
    assert_eq!(world.connects("198.51.100.7:80"), Some(true), "the control experiment shows nothing");
    world.install_guard();
    assert_ne!(world.connects("198.51.100.8:80"), Some(true));
}

#[test]
fn existing_connections_end_at_once() {
    if !can_run("existing_connections_end_at_once") {
        return;
    }
    let mut world = World::new();
    world.outside.enter();
    let server = TcpListener::bind("[::]:80").unwrap();
    world.settings.devices[0].policy = Policy::Direct;
    world.install_guard();
    let before = world.kernel.snapshot().unwrap().guard.unwrap();
    world.device.enter();
    let mut open = SERVERS.map(|server| TcpStream::connect(server).unwrap());
    let _accepted = [server.accept().unwrap(), server.accept().unwrap()];
    world.settings.devices[0].policy = Policy::Shape;
    world.install_guard();
    let wanted = guard_table(&world.settings, &world.facts);
    assert_eq!(world.kernel.forget_connections(&PolicySubjects::default()).unwrap(), 0);
    // The router's own connections with the device may be among them.
    assert!(world.kernel.enforce(Some(&before), &wanted).unwrap() >= 2);
    assert_eq!(world.kernel.enforce(Some(&before), &wanted).unwrap(), 0);
    for stream in &mut open {
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.write_all(b"more").unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn offloaded_connections_end_too() {
    let table = "table inet fw4 { flowtable ft { hook ingress priority 0; devices = { port, wan0 }; };
        chain c { type filter hook forward priority 0; ct state established flow add @ft; counter; }; }";
    let probe = "unshare -n sh -c 'ip link add port type veth peer name wan0; nft -f -'";
    let probe = std::process::Command::new("sh").args(["-c", &format!("echo '{table}' | {probe}")]).output();
    if !can_run("offloaded_connections_end_too") || !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped offloaded_connections_end_too: no flow tables here");
        return;
    }
    let mut world = World::new();
    world.router.enter();
    shell(&format!("echo '{table}' | nft -f -"));
    world.outside.enter();
    let server = TcpListener::bind("[::]:80").unwrap();
    world.settings.devices[0].policy = Policy::Direct;
    world.install_guard();
    let before = world.kernel.snapshot().unwrap().guard.unwrap();
    world.device.enter();
    let mut open = TcpStream::connect(SERVERS[0]).unwrap();
    let mut accepted = server.accept().unwrap().0;
    // Data in both directions offloads the connection; afterwards it bypasses the forward chain.
    let mut exchange = |times: usize| {
        for _ in 0..times {
            open.write_all(b"ping").unwrap();
            accepted.read_exact(&mut [0; 4]).unwrap();
            accepted.write_all(b"pong").unwrap();
            open.read_exact(&mut [0; 4]).unwrap();
        }
    };
    let forwarded = |world: &World| {
        world.router.enter();
        shell("nft list chain inet fw4 c")
    };
    exchange(5);
    let slow = forwarded(&world);
    exchange(5);
    assert_eq!(forwarded(&world), slow, "the connection is not offloaded");
    world.settings.devices[0].policy = Policy::Block;
    world.install_guard();
    assert!(world.kernel.enforce(Some(&before), &guard_table(&world.settings, &world.facts)).unwrap() >= 1);
    accepted.set_nonblocking(true).unwrap();
    for _ in 0..20 {
        _ = open.write_all(b"ping");
        std::thread::sleep(Duration::from_millis(50));
        assert!(accepted.read(&mut [0; 4]).is_err(), "the connection continues");
    }
    world.router.enter();
    assert!(!shell("nft list tables").contains("millpond_cut"));
}

#[test]
fn neighbours_are_confined_before_they_send_a_packet() {
    if !can_run("neighbours_are_confined_before_they_send_a_packet") {
        return;
    }
    let mut world = World::new();
    world.router.enter();
    apply_guard(&mut world.kernel, Some(&guard_table(&world.settings, &world.facts))).unwrap();
    assert!(world.is_reached(DEVICE[0].parse().unwrap()), "the control experiment shows nothing");
    world.router.enter();
    shell("nft delete table inet millpond");
    world.install_guard();
    for address in DEVICE {
        assert!(!world.is_reached(address.parse().unwrap()), "{address}");
    }
    world.router.enter();
    assert_eq!(world.kernel.snapshot().unwrap().guard.map(|guard| guard.unmodified), Some(true));
}

#[test]
fn a_device_chosen_by_address_is_confined_in_the_other_family_too() {
    if !can_run("a_device_chosen_by_address_is_confined_in_the_other_family_too") {
        return;
    }
    for (chosen, other) in [(0, 1), (1, 0)] {
        let mut world = World::new();
        world.outside.enter();
        let _server = TcpListener::bind("[::]:80").unwrap();
        world.choose_by(DEVICE[chosen], Policy::Shape);
        world.flush_neighbours();
        world.install_guard();
        assert_eq!(world.connects(SERVERS[other]), Some(true), "the control experiment shows nothing");
        // This packet shows the device's Ethernet address.
        assert_eq!(world.connects(SERVERS[chosen]), Some(false));
        let is_confined = |world: &World, when: &str| {
            assert_eq!(world.connects(SERVERS[other]), Some(false), "chosen by {}, {when}", DEVICE[chosen]);
            assert!(!world.is_reached(DEVICE[other].parse().unwrap()), "chosen by {}, {when}", DEVICE[chosen]);
        };
        is_confined(&world, "learned");
        // ARP and neighbour discovery confirm the Ethernet address. Only then is it kept for the next boot.
        world.resolve_device();
        world.install_guard();
        is_confined(&world, "confirmed");
        world.flush_neighbours();
        world.choose_by(DEVICE[chosen], Policy::Block);
        world.install_guard();
        is_confined(&world, "with a new guard");
        world.router.enter();
        let installed = world.kernel.guard().unwrap().unwrap();
        let wanted = guard_table(&world.settings, &world.facts);
        let file =
            TableText { learned: persistent_elements(&installed.learned), ..wanted.clone() }.file(&installed.digest());
        shell(&format!("nft flush ruleset; echo '{file}' | nft -f -"));
        assert_eq!(apply_guard(&mut world.kernel, Some(&wanted)).unwrap().ops, []);
        is_confined(&world, "loaded from the file");
        world.choose_by(DEVICE[chosen], Policy::Direct);
        world.install_guard();
        for server in SERVERS {
            assert_eq!(world.connects(server), Some(true), "the device is free");
        }
    }
}

#[test]
fn a_device_that_has_left_a_chosen_address_is_free_again() {
    if !can_run("a_device_that_has_left_a_chosen_address_is_free_again") {
        return;
    }
    let mut world = World::new();
    world.outside.enter();
    let _server = TcpListener::bind("[::]:80").unwrap();
    world.choose_by(DEVICE[0], Policy::Shape);
    world.resolve_device();
    world.install_guard();
    assert_eq!([world.connects(SERVERS[0]), world.connects(SERVERS[1])], [Some(false); 2]);
    world.device.enter();
    shell("ip addr del 192.168.1.50/24 dev lan0; ip addr add 192.168.1.51/24 dev lan0");
    shell("ip route replace default via 192.168.1.1");
    // It is free in the family of the chosen address at once, and in the other one when its Ethernet address expires,
    // even if it keeps sending.
    assert_eq!([world.connects(SERVERS[0]), world.connects(SERVERS[1])], [Some(true), Some(false)]);
    world.expire_bindings();
    world.router.enter();
    let mac = "18:b4:30:26:34:40";
    assert!(shell("nft list set inet millpond shape_learned4").contains("timeout 1d"));
    shell(&format!("nft delete element inet millpond shape_learned4 '{{ {mac} }}'"));
    shell(&format!("nft add element inet millpond shape_learned4 '{{ {mac} timeout 4s }}'"));
    let start = Instant::now();
    while world.connects(SERVERS[1]) != Some(true) {
        assert_eq!(world.connects(SERVERS[0]), Some(true));
        assert!(start.elapsed() < Duration::from_secs(60), "the device stays confined");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(world.is_reached(DEVICE[1].parse().unwrap()));
    // Another device has the chosen address now.
    world.device.enter();
    shell("ip addr del 192.168.1.51/24 dev lan0");
    world.set_mac("02:00:00:00:00:77");
    assert_eq!([world.connects(SERVERS[0]), world.connects(SERVERS[1])], [Some(false); 2]);
}
