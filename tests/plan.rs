//! What a plan says, word for word.

mod common;

use millpond::config::model::Settings;
use millpond::plan::{Desired, DesiredError, Op, Snapshot, guard_table, plan, plan_guard};

fn from_nothing(desired: &Desired) -> Vec<Op> {
    plan(desired, &Snapshot { ipv6: true, ..Snapshot::default() })
}

fn text(ops: &[Op]) -> String {
    ops.iter().map(|op| format!("{op}\n")).collect()
}

/// The guard first, then the tunnel.
fn whole(settings: &Settings, desired: &Desired) -> String {
    let guard = guard_table(settings, &common::facts());
    text(&plan_guard(Some(&guard), &Snapshot::default())) + &text(&from_nothing(desired))
}

/// Both tables as they are loaded; the digest depends on the machine's nft.
fn tables(settings: &Settings, desired: &Desired) -> String {
    let guard = guard_table(settings, &common::facts());
    guard.file("(digest)") + &desired.table.as_ref().unwrap().file("(digest)")
}

fn router() -> Desired {
    Desired::from_settings(&common::router([1; 32], [2; 32]), &common::facts(), &common::guard()).unwrap()
}

fn endpoint() -> Desired {
    Desired::from_settings(&common::endpoint([3; 32], [4; 32]), &common::facts(), &common::guard()).unwrap()
}

#[test]
fn router_plan() {
    assert_eq!(whole(&common::router([1; 32], [2; 32]), &router()), include_str!("golden/router.plan"));
}

#[test]
fn router_tables() {
    let settings = common::router([1; 32], [2; 32]);
    assert_eq!(tables(&settings, &router()), include_str!("golden/router.nft"));
}

#[test]
fn endpoint_plan() {
    assert_eq!(whole(&common::endpoint([3; 32], [4; 32]), &endpoint()), include_str!("golden/endpoint.plan"));
}

#[test]
fn endpoint_tables() {
    let settings = common::endpoint([3; 32], [4; 32]);
    assert_eq!(tables(&settings, &endpoint()), include_str!("golden/endpoint.nft"));
}

#[test]
fn a_kernel_without_ipv6_is_asked_for_none() {
    let ops = text(&plan(&router(), &Snapshot::default()));
    assert!(!ops.contains("ip -6") && !ops.contains("net.ipv6"), "{ops}");
    assert!(ops.contains("ip -4 rule add"));
}

#[test]
fn what_is_not_enabled_asks_for_nothing() {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.enabled = false;
    settings.tunnel = None;
    let desired = Desired::from_settings(&settings, &common::facts(), &common::guard()).unwrap();
    assert_eq!(from_nothing(&desired), []);
}

#[test]
fn what_is_missing_is_named() {
    let refused = |change: &dyn Fn(&mut millpond::config::model::Settings, &mut millpond::plan::Facts)| {
        let (mut settings, mut facts) = (common::router([1; 32], [2; 32]), common::facts());
        change(&mut settings, &mut facts);
        Desired::from_settings(&settings, &facts, &common::guard()).unwrap_err()
    };
    assert_eq!(refused(&|settings, _| settings.tunnel = None), DesiredError::NoTunnel);
    assert_eq!(refused(&|_, facts| facts.endpoint = None), DesiredError::Unresolved);
}
