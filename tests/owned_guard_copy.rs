//! The daemon's owned copy of the guard, on a running kernel. Needs root and nf_tables, and prints a line if it is
//! skipped. tests/guard.rs tests how the copy confines devices.

mod common;

use common::namespace::{Namespace, load_rules, shell};
use millpond::sys::owned_guard_copy::OwnedGuardCopy;

/// The copy also contains rules of any kind that other programs add to the guard, and sets of maximum size.
#[test]
fn the_copy_contains_any_rule_and_many_elements() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped the_copy_contains_any_rule_and_many_elements: not root");
        return;
    }
    let _namespace = Namespace::new();
    let copy = match OwnedGuardCopy::open() {
        Ok(copy) => copy,
        Err(cause) => {
            println!("skipped the_copy_contains_any_rule_and_many_elements: no table can be owned here: {cause}");
            return;
        }
    };
    let elements = |digits: &str| {
        let all: Vec<String> = (0..2000).map(|i| digits.replace('X', &format!("{:x}", 4096 + i))).collect();
        all.join(", ")
    };
    let table = format!(
        "table inet millpond {{
            comment \"one two\"
            set seen6 {{ type ipv6_addr; size 2048; flags dynamic,timeout; timeout 7d; elements = {{ {} }}; }}
            set free6 {{ type ipv6_addr; size 2048; flags dynamic,timeout; timeout 7d; elements = {{ {} }}; }}
            set nets {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.0/8, 192.168.0.0-192.168.5.9 }}; }}
            map ports {{ type inet_service : verdict; }}
            chain c {{ }}
            chain d {{
                type filter hook input priority filter - 1; policy accept;
                tcp dport {{ 53, 100-200, 853 }} counter accept
                tcp dport vmap {{ 80 : jump c, 81 : drop }}
                meta mark set ct mark and 0xff
                limit rate 3/second log prefix \"x\" reject with tcp reset
                update @seen6 {{ ip6 saddr timeout 1h }} comment \"why\"
            }}
        }}",
        elements("fd00::X"),
        elements("fd01::X:1"),
    );
    load_rules(&table);
    assert!(copy.sync().unwrap());
    let sorted = |set: &str, table: &str| {
        let listing = shell(&format!("nft -s list set inet {table} {set}"));
        let mut words: Vec<String> = listing
            .split([',', '{', '}', '\n'])
            .map(|word| word.trim().split(" expires").next().unwrap_or_default().to_owned())
            .collect();
        words.sort();
        words.retain(|word| !word.starts_with("table"));
        words
    };
    for set in ["seen6", "free6", "nets"] {
        assert_eq!(sorted(set, "millpond_held"), sorted(set, "millpond"));
    }
    let rules = |table: &str| shell(&format!("nft -s list chain inet {table} d")).lines().skip(1).collect::<String>();
    assert_eq!(rules("millpond_held"), rules("millpond"));
    assert!(rules("millpond_held").contains("81 : drop"));
}

/// fw4 loads the guard again from its file, which leaves out the addresses that devices have shown. The copy still knows
/// them, with the time that is left.
#[test]
fn a_guard_loaded_from_its_file_gets_back_what_the_copy_knows() {
    const NAME: &str = "a_guard_loaded_from_its_file_gets_back_what_the_copy_knows";
    if !nix::unistd::geteuid().is_root() {
        println!("skipped {NAME}: not root");
        return;
    }
    let _namespace = Namespace::new();
    let copy = match OwnedGuardCopy::open() {
        Ok(copy) => copy,
        Err(cause) => {
            println!("skipped {NAME}: no table can be owned here: {cause}");
            return;
        }
    };
    let set = |name, kind| format!("set {name} {{ type {kind}; size 9; flags dynamic,timeout; timeout 7d; }}");
    let table = |comment: &str| {
        let sets = [
            set("seen6", "ipv6_addr"),
            set("bound4", "ipv4_addr"),
            set("bindings4", "ether_addr . ipv4_addr . ifname"),
            set("astray", "ether_addr"),
        ];
        format!("table inet millpond {{ comment \"{comment}\"\n{}\n}}", sets.join("\n"))
    };
    let load = |table: &str| {
        load_rules(&format!("add table inet millpond\ndelete table inet millpond\n{table}\n"));
    };
    let add = |set: &str, element: &str| shell(&format!("nft add element inet millpond {set} '{{ {element} }}'"));
    let listed = |set: &str| shell(&format!("nft list set inet millpond {set}"));
    let sets = ["seen6", "bound4", "bindings4"];

    load(&table("one"));
    add("seen6", "fd00::1 timeout 1h");
    add("seen6", "fd00::2");
    add("bindings4", "02:00:00:00:00:01 . 192.168.1.2 . \"br-lan\"");
    add("astray", "02:00:00:00:00:01");
    copy.sync_learned(&sets).unwrap();
    assert!(!copy.restore_learned(&sets).unwrap(), "the guard knows everything");

    load(&table("one"));
    add("seen6", "fd00::2 timeout 2h");
    assert!(copy.restore_learned(&sets).unwrap());
    assert!(listed("seen6").contains("fd00::1 timeout 1h expires 59m"), "{}", listed("seen6"));
    assert!(listed("seen6").contains("fd00::2 timeout 2h"), "what the guard knows stays: {}", listed("seen6"));
    assert!(listed("bindings4").contains("02:00:00:00:00:01 . 192.168.1.2 . \"br-lan\""), "{}", listed("bindings4"));
    assert!(!listed("astray").contains("02:00"), "{}", listed("astray"));
    assert!(!copy.restore_learned(&sets).unwrap(), "nothing is missing");

    // The guard is loaded from its file between the two steps of a job.
    load(&table("one"));
    assert!(copy.sync_learned(&sets).unwrap());
    assert!(listed("seen6").contains("fd00::1 timeout 1h expires 59m"), "{}", listed("seen6"));
    assert!(shell("nft list set inet millpond_held seen6").contains("fd00::1 timeout 1h expires 59m"));

    // What the daemon takes out of a guard that stays loaded is not given back.
    shell("nft delete element inet millpond seen6 '{ fd00::1 }'");
    assert!(copy.sync_learned(&sets).unwrap());
    assert!(!listed("seen6").contains("fd00::1"), "{}", listed("seen6"));
    assert!(!shell("nft list set inet millpond_held seen6").contains("fd00::1"));
    assert!(!copy.restore_learned(&sets).unwrap(), "nothing is missing");

    load(&table("two"));
    assert!(!copy.restore_learned(&sets).unwrap(), "another guard means other sets");
    assert!(!listed("seen6").contains("fd00"), "{}", listed("seen6"));
    shell("nft delete table inet millpond");
    assert!(!copy.restore_learned(&sets).unwrap(), "without a guard there is nothing to restore");
}

/// The guard is deleted and loaded all the time. Whenever a copy is made, it is one of the complete guard: a listing
/// that another program's flush interrupts must not replace it.
#[test]
fn a_flush_while_the_guard_is_copied_leaves_a_complete_copy() {
    const NAME: &str = "a_flush_while_the_guard_is_copied_leaves_a_complete_copy";
    const RULES: usize = 2000;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped {NAME}: not root");
        return;
    }
    let _namespace = Namespace::new();
    let copy = match OwnedGuardCopy::open() {
        Ok(copy) => copy,
        Err(cause) => {
            println!("skipped {NAME}: no table can be owned here: {cause}");
            return;
        }
    };
    // Many rules make the listing long.
    let table = format!(
        "table inet millpond {{ chain guard {{ type filter hook forward priority 0; policy accept; {} }}; }}",
        "counter drop; ".repeat(RULES),
    );
    load_rules(&table);
    copy.sync_learned(&[]).unwrap();
    let ends = std::sync::atomic::AtomicBool::new(false);
    let mut copies = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                shell("nft delete table inet millpond");
                load_rules(&table);
            }
        });
        for _ in 0..200 {
            // It may give up if the guard keeps changing; then the old copy stays.
            copies += usize::from(copy.sync_learned(&[]).unwrap_or(false));
            let rules = shell("nft list chain inet millpond_held guard").matches("drop").count();
            if rules != RULES {
                ends.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{rules} rules of {RULES} after {copies} copies");
            }
        }
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(copies > 0, "no copy was made while the guard came and went");
}
