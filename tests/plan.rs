//! What a plan says, word for word.

mod common;

use millpond::plan::{Desired, DesiredError, Op, Snapshot, plan};

fn from_nothing(desired: &Desired) -> Vec<Op> {
    plan(desired, &Snapshot { ipv6: true, ..Snapshot::default() })
}

fn text(ops: &[Op]) -> String {
    ops.iter().map(|op| format!("{op}\n")).collect()
}

fn router() -> Desired {
    Desired::from_settings(&common::router([1; 32], [2; 32]), &common::facts(), &common::guard()).unwrap()
}

fn endpoint() -> Desired {
    Desired::from_settings(&common::endpoint([3; 32], [4; 32]), &common::facts(), &common::guard()).unwrap()
}

#[test]
fn router_plan() {
    assert_eq!(text(&from_nothing(&router())), include_str!("golden/router.plan"));
}

#[test]
fn router_table() {
    assert_eq!(router().table.unwrap().text, include_str!("golden/router.nft"));
}

#[test]
fn endpoint_plan() {
    assert_eq!(text(&from_nothing(&endpoint())), include_str!("golden/endpoint.plan"));
}

#[test]
fn endpoint_table() {
    assert_eq!(endpoint().table.unwrap().text, include_str!("golden/endpoint.nft"));
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
