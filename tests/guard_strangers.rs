//! A shaped device comes back with another MAC and its old address: the guard notes the unknown device, status names
//! it, and a network with `strict` shuts it out. Needs root and the kernel modules veth, bridge and nf_tables; prints a
//! line if it is skipped.

mod common;

use std::net::TcpListener;

use common::namespace::shell;
use common::world::{DEVICE, SERVERS, World, can_run};
use millpond::config::model::{Device, Mac, Network, Policy};
use millpond::plan::{persistent_elements, unknown_devices};

const CAMERA: &str = "18:b4:30:26:34:40";
const STRANGER: &str = "02:00:00:00:00:77";

/// A home whose camera is shaped by its MAC and has shown its addresses, and a server on the Internet.
fn home(strict: bool) -> (World, TcpListener) {
    let mut world = World::new();
    world.outside.enter();
    let server = TcpListener::bind("[::]:80").unwrap();
    world.settings.devices.truncate(1);
    world.settings.networks =
        vec![Network { name: "lan".into(), device: Some("br-lan".into()), policy: Policy::Direct, strict }];
    world.install_guard();
    world.set_mac(CAMERA);
    world.resolve_device();
    world.install_guard();
    (world, server)
}

/// What status says, and which MACs the guard's file keeps.
fn found(world: &mut World) -> (Vec<String>, Vec<String>) {
    world.install_guard();
    let guard = world.kernel.guard().unwrap().unwrap();
    (unknown_devices(&guard), persistent_elements(&guard.learned).into_values().flatten().collect())
}

fn connects(world: &World) -> [Option<bool>; 2] {
    SERVERS.map(|server| world.connects(server))
}

#[test]
fn an_unknown_device_with_a_shaped_devices_address_is_named() {
    if !can_run("an_unknown_device_with_a_shaped_devices_address_is_named") {
        return;
    }
    let (mut world, _server) = home(false);
    assert_eq!(found(&mut world), (vec![], vec![]));
    // The camera was away for a while.
    world.expire_bindings();
    world.set_mac(STRANGER);
    assert_eq!(connects(&world), [Some(true); 2], "without strict it is not shut out");
    let named: Vec<String> = DEVICE
        .map(|address| {
            format!(
                "{STRANGER} on br-lan uses the address {address}, which a shaped or blocked device had; it is not \
                 protected"
            )
        })
        .into();
    assert_eq!(found(&mut world), (named.clone(), vec![]));
    // The router's neighbours confirm it meanwhile. That makes it no known device.
    world.resolve_device();
    assert_eq!(found(&mut world), (named, vec![]));
    // A section for it settles the matter.
    let macs = vec![Mac([2, 0, 0, 0, 0, 0x77])];
    world.settings.devices.push(Device { macs, ..millpond::config::example::device("phone", Policy::Direct) });
    assert_eq!(found(&mut world), (vec![], vec![]));
}

/// Such as a second router that forwards the device's packets as they are.
#[test]
fn another_device_cannot_send_from_an_address_that_a_shaped_device_has() {
    if !can_run("another_device_cannot_send_from_an_address_that_a_shaped_device_has") {
        return;
    }
    let (world, _server) = home(false);
    world.set_mac(STRANGER);
    assert_eq!(connects(&world), [Some(false); 2]);
    assert_eq!(world.connects("192.168.1.1:9"), Some(false), "the home still answers");
    // Once the shaped device has left the address, it is anybody's.
    world.expire_bindings();
    assert_eq!(connects(&world), [Some(true); 2]);
}

#[test]
fn a_known_device_that_inherits_an_address_is_nothing_to_tell() {
    if !can_run("a_known_device_that_inherits_an_address_is_nothing_to_tell") {
        return;
    }
    for strict in [false, true] {
        let (mut world, _server) = home(strict);
        // A telephone has an address of its own, and later the one that the camera had.
        world.device.enter();
        shell("ip addr del 192.168.1.50/24 dev lan0; ip addr del fd00:77::50/64 dev lan0");
        shell(&format!("ip link set lan0 down; ip link set lan0 address {STRANGER} up"));
        shell("ip addr add 192.168.1.51/24 dev lan0; ip addr add fd00:77::51/64 dev lan0 nodad");
        world.router.enter();
        shell("busybox ping -c 1 -W 2 192.168.1.51 && busybox ping6 -c 1 -W 2 fd00:77::51");
        world.install_guard();
        world.device.enter();
        shell("ip addr del 192.168.1.51/24 dev lan0; ip addr del fd00:77::51/64 dev lan0");
        world.expire_bindings();
        world.set_mac(STRANGER);
        assert_eq!(connects(&world), [Some(true); 2], "strict {strict}");
        assert_eq!(found(&mut world), (vec![], vec![]), "strict {strict}");
    }
}

#[test]
fn a_strict_network_shuts_unknown_devices_out_until_a_section_names_them() {
    if !can_run("a_strict_network_shuts_unknown_devices_out_until_a_section_names_them") {
        return;
    }
    for away in [false, true] {
        let (mut world, _server) = home(true);
        if away {
            world.expire_bindings();
        }
        // Its first packet is the one that asks for the first connection.
        world.set_mac(STRANGER);
        assert_eq!(connects(&world), [Some(false); 2], "away {away}");
        world.router.enter();
        world.expire_bindings();
        world.resolve_device();
        let (named, kept) = found(&mut world);
        assert_eq!(kept, [STRANGER], "away {away}: a boot does not open it");
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(named[0].ends_with("it is shut out"), "{named:?}");
        assert_eq!(connects(&world), [Some(false); 2], "away {away}");
        assert!(!world.is_reached(DEVICE[0].parse().unwrap()), "away {away}");
        // It is a device like any other once somebody has chosen.
        let macs = vec![Mac([2, 0, 0, 0, 0, 0x77])];
        world.settings.devices.push(Device { macs, ..millpond::config::example::device("phone", Policy::Direct) });
        assert_eq!(found(&mut world), (vec![], vec![]), "away {away}");
        assert_eq!(connects(&world), [Some(true); 2], "away {away}");
    }
}
