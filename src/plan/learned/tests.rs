use std::net::IpAddr;

use super::*;
use crate::config::example;
use crate::config::model::Mac;
use crate::plan::nft::TableName;

const ONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn guard(sets: &[(&str, &str)]) -> TableText {
    let of = |(name, elements): &(&str, &str)| format!("\tset {name} {{\n\t\telements = {{ {elements} }}\n\t}}\n");
    let learns = [SEEN, FREE, UNCONFIRMED, BINDINGS, BOUND, CONFLICTS].concat();
    let learns = learns.into_iter().chain(CONFINING.into_iter().flat_map(learned_names));
    let learns: String = learns.map(|name| format!("\tset {name} {{\n\t\tflags dynamic\n\t}}\n")).collect();
    let lan = of(&("lan", "\"br-lan\""));
    let body = lan + &sets.iter().map(of).collect::<String>() + &learns;
    TableText { name: TableName::Guard, body, fingerprint: None, unmodified: true, learned: Learned::new() }
}

fn with_learned(guard: TableText, sets: &[(&str, &str)]) -> TableText {
    let learned = sets.iter().map(|(set, element)| ((*set).to_owned(), [(*element).to_owned()].into())).collect();
    TableText { learned, ..guard }
}

fn as_lines(learned: &Learned) -> Vec<String> {
    let is_shown = |set: &&String| !BINDINGS.into_iter().chain(BOUND).any(|bindings| bindings == **set);
    let full = learned.iter().filter(|(set, of)| !of.is_empty() && is_shown(set));
    full.map(|(set, of)| format!("{set} {}", of.iter().cloned().collect::<Vec<_>>().join(" "))).collect()
}

/// A neighbour on the home's interface that has answered.
fn answered(mac: [u8; 6], address: IpAddr) -> Binding {
    Binding { mac: Mac(mac), address, interface: "br-lan".to_owned(), is_confirmed: true }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn neighbours_show_the_owner_of_a_chosen_address_and_its_other_addresses() {
    let wanted = guard(&[("shape_ip", "192.0.2.1"), ("block_mac", "02:00:00:00:00:02")]);
    let (v4, v6) = (address("192.0.2.1"), address("2001:db8::1"));
    let neighbours = [(ONE, v4), (ONE, v6), (ONE, address("192.0.2.9")), (TWO, address("192.0.2.2"))];
    let neighbours = neighbours.map(|(mac, address)| answered(mac, address));
    let found = initial_elements(None, &wanted, &neighbours);
    let expected = ["seen4 192.0.2.2", "seen6 2001:db8::1", "shape_learned4 02:00:00:00:00:01"];
    assert_eq!(as_lines(&found), expected);
    assert_eq!(as_lines(&persistent_elements(&found)), expected[2..]);
    // A section for the device's Ethernet address takes precedence.
    assert_eq!(
        as_lines(&initial_elements(
            None,
            &guard(&[("shape_ip", "192.0.2.1"), ("direct_mac", "02:00:00:00:00:01")]),
            &neighbours
        )),
        ["free4 192.0.2.1 192.0.2.9", "free6 2001:db8::1"]
    );
}

#[test]
fn a_new_guard_keeps_learned_elements_under_the_new_policy() {
    let learned_macs = "02:00:00:00:00:01";
    let before = guard(&[("shape_ip", "192.0.2.1, 192.0.2.2")]);
    let before = with_learned(before, &[("shape_learned4", learned_macs), ("seen6", "2001:db8::1")]);
    let after = |sets: &[(&str, &str)], neighbours: &[Binding]| {
        as_lines(&initial_elements(Some(&before), &guard(sets), neighbours))
    };
    let one = answered(ONE, address("192.0.2.1"));
    for neighbours in [&[][..], std::slice::from_ref(&one)] {
        assert_eq!(
            after(&[("shape_ip", "192.0.2.1, 192.0.2.2")], neighbours),
            ["seen6 2001:db8::1", "shape_learned4 02:00:00:00:00:01"]
        );
        assert_eq!(after(&[("block_ip", "192.0.2.1, 192.0.2.2")], neighbours)[0], "block_learned4 02:00:00:00:00:01");
    }
    // No address is chosen any more, or only the other one.
    assert_eq!(after(&[], &[])[..], ["seen6 2001:db8::1"]);
    assert_eq!(after(&[("shape_ip", "192.0.2.2")], &[one, answered(ONE, address("2001:db8::1"))]), [""; 0]);
    assert_eq!(after(&[("shape_ip", "192.0.2.2")], &[])[1], "shape_learned4 02:00:00:00:00:01");
}

#[test]
fn full_sets_start_below_their_size_with_the_neighbours() {
    let addresses = |network: u32| (0..4000).map(move |n| IpAddr::from((network + n).to_be_bytes()));
    let seen = addresses(0x0a00_0000).map(|ip| ip.to_string()).collect();
    let before = TableText { learned: [("seen4".to_owned(), seen)].into(), ..guard(&[]) };
    let wanted = guard(&[("block_mac", "02:00:00:00:00:01")]);
    let neighbours: Vec<_> = addresses(0xc0a8_0000).take(300).map(|ip| answered(ONE, ip)).collect();
    let found = initial_elements(Some(&before), &wanted, &neighbours);
    assert_eq!(found["seen4"].len(), MAX_INITIAL);
    assert!(neighbours.iter().all(|one| found["seen4"].contains(&one.address.to_string())));
}

#[test]
fn missing_sets_get_no_elements() {
    let wanted = TableText { body: String::new(), ..guard(&[]) };
    assert_eq!(initial_elements(None, &wanted, &[answered(ONE, address("192.0.2.1"))]), Learned::new());
}

/// The guard with what it has learned from these neighbours.
fn after(installed: &TableText, neighbours: &[Binding]) -> TableText {
    TableText { learned: current_elements(installed, neighbours), ..installed.clone() }
}

#[test]
fn a_second_device_with_a_bound_address_is_a_conflict_and_learned_only_when_the_binding_has_expired() {
    let (chosen, v6) = (address("192.0.2.1"), address("2001:db8::2"));
    let first = after(&guard(&[("shape_ip", "192.0.2.1")]), &[answered(ONE, chosen)]);
    assert_eq!(as_lines(&first.learned), ["shape_learned4 02:00:00:00:00:01"]);
    assert_eq!(conflicts(&first, &[]), [""; 0]);
    let second = after(&first, &[answered(TWO, chosen), answered(TWO, v6)]);
    let conflict = "conflicts4 02:00:00:00:00:02 . 192.0.2.1 . \"br-lan\"";
    assert_eq!(as_lines(&second.learned), [conflict, "shape_learned4 02:00:00:00:00:01"]);
    let sentence = "02:00:00:00:00:02 on br-lan uses the address 192.0.2.1, which 02:00:00:00:00:01 on br-lan has";
    assert_eq!(conflicts(&second, &[]), [sentence]);
    // The first device is silent, so its binding expires.
    let mut expired = second;
    [BINDINGS, BOUND].concat().into_iter().for_each(|set| _ = expired.learned.remove(set));
    assert!(conflicts(&expired, &[])[0].ends_with("which another device had"));
    let third = after(&expired, &[answered(TWO, chosen), answered(TWO, v6)]);
    assert!(as_lines(&third.learned).contains(&"seen6 2001:db8::2".to_owned()));
    assert!(third.learned["shape_learned4"].contains("02:00:00:00:00:02"));
    assert_eq!(conflicts(&third, &[]), [""; 0]);
}

/// A device that leaves its cable for Wi-Fi keeps its address and shows another Ethernet address.
#[test]
fn the_second_ethernet_address_of_a_device_is_no_conflict() {
    let lease = address("192.0.2.1");
    let guard = guard(&[("shape_mac", "02:00:00:00:00:01, 02:00:00:00:00:02")]);
    let both = after(&after(&guard, &[answered(ONE, lease)]), &[answered(TWO, lease)]);
    let sections = |list: &str| {
        let text = format!("{}\nconfig device\n\toption name 'Camera'\n{list}", example::ROUTER);
        example::settings(&text).devices
    };
    let one = "\tlist mac '02:00:00:00:00:01'\n\tlist mac '02:00:00:00:00:02'\n";
    assert_eq!(conflicts(&both, &sections(one)), [""; 0]);
    let two = one.replace(
        "\tlist mac '02:00:00:00:00:02'",
        "config device\n\toption name 'Plug'\n\tlist mac '02:00:00:00:00:02'",
    );
    assert_eq!(conflicts(&both, &sections(&two)).len(), 1, "two devices");
}

#[test]
fn a_device_on_another_interface_of_the_home_is_the_same_device() {
    let guard = guard(&[("shape_ip", "192.0.2.1")]);
    let guard = TableText { body: guard.body.replace("\"br-lan\"", "\"br-lan\", \"br-iot\""), ..guard };
    let one = answered(ONE, address("192.0.2.1"));
    let moved = Binding { interface: "br-iot".to_owned(), ..one.clone() };
    let first = after(&guard, &[one]);
    let second = after(&first, std::slice::from_ref(&moved));
    assert_eq!(second.learned["bindings4"].len(), 2);
    assert_eq!(conflicts(&second, &[]), [""; 0]);
    // The same link-local address on two links is no conflict, and an interface outside the home has no say.
    let local = answered(ONE, address("fe80::1"));
    let other = Binding { mac: Mac(TWO), interface: "br-iot".to_owned(), ..local.clone() };
    let outside = Binding { mac: Mac(TWO), interface: "wan".to_owned(), ..moved };
    let third = after(&second, &[local, other, outside]);
    assert_eq!((third.learned["bindings6"].len(), third.learned["conflicts4"].len()), (2, 0));
}

#[test]
fn an_unconfirmed_neighbour_of_a_chosen_address_is_never_saved() {
    let wanted = guard(&[("shape_ip", "192.0.2.1"), ("shape_mac", "02:00:00:00:00:02")]);
    let unconfirmed = |mac, text| Binding { is_confirmed: false, ..answered(mac, address(text)) };
    let neighbours = [unconfirmed(ONE, "192.0.2.1"), unconfirmed(TWO, "192.0.2.2")];
    let found = initial_elements(None, &wanted, &neighbours);
    assert_eq!(as_lines(&found), ["seen4 192.0.2.2", "unconfirmed4 02:00:00:00:00:01"]);
    assert!(persistent_elements(&found).values().all(BTreeSet::is_empty));
    assert_eq!(as_lines(&current_elements(&wanted, &neighbours)), ["seen4 192.0.2.2"]);
}

#[test]
fn an_address_follows_its_confirmed_owner() {
    let wanted = guard(&[("shape_mac", "02:00:00:00:00:01"), ("direct_mac", "02:00:00:00:00:02")]);
    let lines = |mac| {
        let stale = [("seen4", "192.0.2.1"), ("free4", "192.0.2.1")];
        as_lines(&current_elements(&with_learned(wanted.clone(), &stale), &[answered(mac, address("192.0.2.1"))]))
    };
    assert_eq!(lines(ONE), ["seen4 192.0.2.1"]);
    assert_eq!(lines(TWO), ["free4 192.0.2.1"]);
    assert_eq!(lines([2, 0, 0, 0, 0, 3]), [""; 0]);
}

#[test]
fn only_differences_are_loaded() {
    let installed = with_learned(guard(&[]), &[("seen4", "192.0.2.1")]);
    let load = |elements: &[&str]| {
        let elements = elements.iter().map(|element| (*element).to_owned()).collect();
        update(&installed, &[("seen4".to_owned(), elements)].into())
    };
    assert_eq!(load(&["192.0.2.1"]), None);
    assert_eq!(load(&["192.0.2.1", "192.0.2.2"]).unwrap(), "add element inet millpond seen4 { 192.0.2.2 }\n");
    let replaced = "flush set inet millpond seen4\nadd element inet millpond seen4 { 192.0.2.2 }\n";
    assert_eq!(load(&["192.0.2.2"]).unwrap(), replaced);
    assert_eq!(load(&[]).unwrap(), "flush set inet millpond seen4\n");
    let fixed = TableText { body: installed.body.replace("flags dynamic", ""), ..installed.clone() };
    assert_eq!(update(&fixed, &[("seen4".to_owned(), BTreeSet::new())].into()), None);
}
