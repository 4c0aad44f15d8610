//! Listings of `nft`: of one table, of all flow tables, and of the complete ruleset of an endpoint's host. What was
//! learned from a listing reaches the guard that replaces it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use millpond::cli::fuzzing::closed_chains;
use millpond::config::example;
use millpond::config::model::Settings;
use millpond::plan::nft::{TableName, TableText};
use millpond::plan::{self, Facts};
use millpond::sys;

/// A guard with devices and a network, which the listing may have learned something about.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let sections = "
config device
\toption name 'a'
\toption mac '18:b4:30:26:34:40'

config device
\toption name 'b'
\toption address '192.168.1.7'
\toption policy 'block'
";
    example::settings(&format!("{}{sections}", example::ROUTER))
});
static GUARD: LazyLock<TableText> = LazyLock::new(|| plan::guard_table(&SETTINGS, &Facts::default()));

fuzz_target!(|data: &[u8]| {
    let listing = String::from_utf8_lossy(data);
    sys::fuzzing::flow_tables(&listing);
    for line in closed_chains(&listing, 51820) {
        assert!(!line.contains('\n'), "{line:?}");
    }
    let table = TableText::from_listing(TableName::Guard, &listing);
    assert_eq!(table, TableText::from_listing(TableName::Guard, &listing));
    assert_eq!(table.is_satisfied_by(&table), table.unmodified, "a table that was changed satisfies nobody");
    _ = (table.to_string(), table.draft(), table.file(&table.digest()), table.transaction(&table.digest()));
    // The rest takes a hundred times as long, and only carries on what was learned.
    if table.learned.is_empty() {
        return;
    }
    _ = (plan::unknown_devices(&table), plan::conflicts(&table, &SETTINGS.devices));
    _ = (plan::astray(&table), plan::forget_astray(&table));
    let mut next = GUARD.clone();
    next.learned = plan::initial_elements(Some(&table), &GUARD, &[]);
    for set in next.learned.keys() {
        assert!(GUARD.has_set(set), "{set} is no set of the guard");
    }
    if plan::update(&next, &next.learned).is_some() {
        panic!("a guard needs no update to what it has");
    }
    _ = plan::update(&table, &plan::persistent_elements(&plan::current_elements(&table, &[])));
});
