//! Failover by a virtual clock: what it asks for while the endpoint is silent.

mod outage;

use super::*;
use crate::config::example;
use crate::config::model::{HostPort, Server, Tunnel};

const JOIN_KEY: &str = "\toption join_key 'eBNMdkZGyLc2wnJjfFxF8OO9ztDaORG0MDJeqOVjHXk='\n";

fn silent_situation(settings: &Settings) -> Situation<'_> {
    Situation {
        in_force: settings,
        configured: settings,
        is_up: false,
        has_tunnel: true,
        is_unresolved: false,
        is_changing: false,
    }
}

fn at(host: &str) -> HostPort {
    HostPort { host: host.into(), port: 1 }
}

fn with_backup(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    let wireguard = example::wireguard(&mut settings);
    let public_key = wireguard.public_key.clone().expect("a key");
    wireguard.backup = vec![Server { at: at("backup.example.org"), public_key }];
    settings
}

/// Runs `seconds` of silence, each change in force at once. Returns the time, server and key of each.
fn changes(failover: &mut Failover, mut settings: Settings, seconds: u64) -> Vec<(u64, String, bool)> {
    let mut changes = Vec::new();
    for second in 0..seconds {
        let Some(action) = failover.handle_tick(&silent_situation(&settings), Nanos::from_secs(second)) else {
            continue;
        };
        let Action::ChangeSettings(changed) = action else { panic!("unexpected: {action:?}") };
        settings = *changed;
        let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { panic!("no WireGuard tunnel") };
        let host = wireguard.endpoint.as_ref().expect("an endpoint").host.clone();
        changes.push((second, host, wireguard.tries_join_key));
    }
    changes
}

#[test]
fn a_lone_server_with_one_key_is_never_left() {
    assert_eq!(changes(&mut Failover::new(Nanos::ZERO, || 0), example::router(), 600), []);
}

#[test]
fn servers_take_turns_every_half_minute() {
    let hosts: Vec<_> = changes(&mut Failover::new(Nanos::ZERO, || 0), with_backup(&example::router()), 100)
        .into_iter()
        .map(|(second, host, _)| (second, host))
        .collect();
    let (first, backup) = ("203.0.113.9".to_owned(), "backup.example.org".to_owned());
    assert_eq!(hosts, [(30, backup.clone()), (60, first), (90, backup)]);
}

#[test]
fn both_keys_are_tried_at_each_server() {
    let settings = with_backup(&example::settings(&format!("{}{JOIN_KEY}", example::ROUTER)));
    let mut failover = Failover::new(Nanos::ZERO, || 0);
    let tried = changes(&mut failover, settings, 60);
    for host in ["203.0.113.9", "backup.example.org"] {
        for key in [false, true] {
            assert!(tried.iter().any(|(_, at, join)| at == host && *join == key), "{host} {key}: {tried:?}");
        }
    }
}

#[test]
fn nothing_is_tried_while_it_cannot_help() {
    let settings = with_backup(&example::router());
    let at = Nanos::from_secs(300);
    let mut failover = Failover::new(Nanos::ZERO, || 0);
    let waiting = Situation { is_changing: true, ..silent_situation(&settings) };
    assert_eq!(failover.handle_tick(&waiting, at), None, "a change is not in force yet");
    let without_tunnel = Situation { has_tunnel: false, ..silent_situation(&settings) };
    assert_eq!(failover.handle_tick(&without_tunnel, at), None, "the kernel lacks something");
    let up = Situation { is_up: true, ..silent_situation(&settings) };
    assert_eq!(failover.handle_tick(&up, at), None);
    assert_eq!(failover.handle_tick(&silent_situation(&settings), at), None, "cells have just come");
    let unresolved = Situation { is_unresolved: true, ..without_tunnel };
    assert!(failover.handle_tick(&unresolved, at + at).is_some(), "another server may have a name that resolves");
}

/// An endpoint as it treats one home.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Knows {
    /// The join text's key. A router that uses it for some seconds has announced its own.
    JoinKey { used_for: u64 },
    /// The router's own key.
    OwnKey,
    /// Neither: the endpoint is away.
    Nothing,
}

/// Runs a router that has just got a join text. A change is in force after two seconds, and cells of the endpoint
/// before still count for one. Returns the endpoints at the end, the one in use, and the seconds without an answer.
fn join(mut endpoints: Vec<(&str, Knows)>, seconds: u64) -> (Vec<(&str, Knows)>, String, u64) {
    let mut settings = example::settings(&format!("{}{JOIN_KEY}", example::ROUTER));
    let wireguard = example::wireguard(&mut settings);
    let public_key = wireguard.public_key.clone().expect("a key");
    let mut servers = endpoints.iter().map(|(host, _)| Server { at: at(host), public_key: public_key.clone() });
    wireguard.endpoint = servers.next().map(|server| server.at);
    wireguard.backup = servers.collect();
    wireguard.tries_join_key = true;
    let (mut failover, mut changing, mut up_until, mut silent) = (Failover::new(Nanos::ZERO, || 0), None, 0, 0);
    for second in 0..seconds {
        if let Some((_, changed)) = changing.take_if(|(from, _)| *from <= second) {
            settings = changed;
        }
        let wireguard = example::wireguard(&mut settings);
        let host = wireguard.endpoint.clone().expect("an endpoint").host;
        let knows = &mut endpoints.iter_mut().find(|(name, _)| *name == host).expect("a known endpoint").1;
        let answers = match (&mut *knows, wireguard.tries_join_key) {
            (Knows::JoinKey { used_for }, true) => {
                *used_for += 1;
                true
            }
            (Knows::OwnKey, false) => true,
            _ => false,
        };
        if matches!(knows, Knows::JoinKey { used_for: 4.. }) {
            *knows = Knows::OwnKey;
        }
        if answers {
            up_until = second + 1;
        }
        silent += u64::from(!answers);
        let situation =
            Situation { is_up: second <= up_until, is_changing: changing.is_some(), ..silent_situation(&settings) };
        if let Some(Action::ChangeSettings(changed)) = failover.handle_tick(&situation, Nanos::from_secs(second)) {
            changing = Some((second + 2, *changed));
        }
    }
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { panic!("no WireGuard tunnel") };
    assert!(!wireguard.tries_join_key, "the router uses its own key");
    (endpoints, wireguard.endpoint.clone().expect("an endpoint").host, silent)
}

/// A text that still worked at a backup would let another router become the home there.
#[test]
fn a_join_text_ends_at_every_endpoint_at_once() {
    let joined = Knows::JoinKey { used_for: 0 };
    for count in 1..=4 {
        let hosts = &["a.example.org", "b.example.org", "c.example.org", "d.example.org"][..count];
        let (endpoints, used, silent) = join(hosts.iter().map(|host| (*host, joined)).collect(), 90);
        assert!(endpoints.iter().all(|(_, knows)| *knows == Knows::OwnKey), "{endpoints:?}");
        assert_eq!(used, "a.example.org", "the router returns to the endpoint that it joined first");
        assert!(silent <= 10 * count as u64, "{silent} s without an answer, {count} endpoints");
    }
}

#[test]
fn an_endpoint_that_does_not_accept_the_key_is_left() {
    let joined = Knows::JoinKey { used_for: 0 };
    let three = vec![("a.example.org", joined), ("b.example.org", Knows::Nothing), ("c.example.org", joined)];
    let (endpoints, used, silent) = join(three, 120);
    assert_eq!((endpoints[0].1, endpoints[2].1, used.as_str()), (Knows::OwnKey, Knows::OwnKey, "a.example.org"));
    assert!(silent < 60, "{silent} s without an answer");
}

/// The visits belong to the text's first use: a router that starts again keeps its endpoint.
#[test]
fn a_router_whose_own_key_is_known_visits_nobody() {
    let settings = with_backup(&example::settings(&format!("{}{JOIN_KEY}", example::ROUTER)));
    let mut failover = Failover::new(Nanos::ZERO, || 0);
    for second in 0..300 {
        let up = Situation { is_up: true, ..silent_situation(&settings) };
        assert_eq!(failover.handle_tick(&up, Nanos::from_secs(second)), None);
    }
}
