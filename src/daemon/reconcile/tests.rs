//! The reconciler by a virtual clock: no job and no lookup starts, and no kernel is watched.

use super::*;
use crate::config::example;

const fn s(seconds: u64) -> Nanos {
    Nanos::from_secs(seconds)
}

fn reconciler(settings: Option<&Settings>) -> Reconciler {
    let paths = Paths { guard_file: PathBuf::new(), socket: PathBuf::new() };
    Reconciler::new(paths, KernelWatch::blind(), SavedSysctls::default(), settings, s(0))
}

/// A router whose endpoint is a name.
fn named(host: &str) -> Settings {
    example::settings(&example::ROUTER.replace("203.0.113.9", host))
}

#[test]
fn the_first_job_is_due_at_once_but_needs_settings() {
    let settings = example::router();
    let reconciler = reconciler(Some(&settings));
    assert_eq!(reconciler.due(true, s(0)), Some(DueWork::Job));
    assert_eq!(reconciler.due(false, s(0)), None, "the endpoint is an address, so there is no lookup either");
}

#[test]
fn a_name_is_looked_up_as_soon_as_no_job_is_due() {
    let settings = named("vpn.example.org");
    let reconciler = reconciler(Some(&settings));
    assert_eq!(reconciler.due(true, s(0)), Some(DueWork::Job), "the guard comes first");
    assert_eq!(reconciler.due(false, s(0)), Some(DueWork::Lookup));
    assert_eq!(reconciler.next_lookup(s(0)), Some(s(0)));
}

#[test]
fn settings_with_another_name_wait_for_its_address_and_the_old_endpoint_stays() {
    let settings = example::router();
    let mut reconciler = reconciler(Some(&settings));
    let in_use = reconciler.endpoint_address();
    assert!(in_use.is_some());
    reconciler.prepare(&settings, s(1));
    assert!(!reconciler.waits_for_address(), "the same endpoint");
    reconciler.prepare(&named("vpn.example.org"), s(1));
    assert!(reconciler.waits_for_address());
    assert_eq!((reconciler.endpoint_address(), reconciler.next_lookup(s(1))), (in_use, Some(s(1))));
    reconciler.drop_next_endpoint();
    assert_eq!((reconciler.waits_for_address(), reconciler.next_lookup(s(2))), (false, None));
}

#[test]
fn a_job_that_applied_new_settings_brings_their_endpoint_into_use() {
    let before = example::router();
    let after = named("203.0.113.77");
    let mut reconciler = reconciler(Some(&before));
    let address = |text: &str| Some(text.parse().expect("an address"));
    reconciler.prepare(&after, s(1));
    reconciler.note_report(&ReconcileReport::default(), false, s(2));
    assert_eq!(reconciler.endpoint_address(), address("203.0.113.9:51820"), "the job applied the settings in force");
    reconciler.note_report(&ReconcileReport::default(), true, s(3));
    assert_eq!(reconciler.endpoint_address(), address("203.0.113.77:51820"));
    let roamed = ReconcileReport { endpoint: address("198.51.100.1:4000"), ..ReconcileReport::default() };
    reconciler.note_report(&roamed, false, s(4));
    assert_eq!(reconciler.endpoint_address(), roamed.endpoint, "WireGuard follows an endpoint that moves");
}

#[test]
fn problems_of_a_job_are_those_that_its_report_lists() {
    assert!(is_reported(Code::Guard) && is_reported(Code::Tunnel) && is_reported(Code::RuleBefore));
    for kept in [Code::Name, Code::Settings, Code::Clock, Code::Socket, Code::Ubus, Code::DataCap, Code::Audit] {
        assert!(!is_reported(kept), "{kept:?} would vanish with the next job");
    }
}
