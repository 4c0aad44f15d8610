//! Failover by a virtual clock: what it asks for while the endpoint is silent.

use super::*;
use crate::config::example;
use crate::config::model::{HostPort, Server, Tunnel};

const JOIN_KEY: &str = "\toption join_key 'eBNMdkZGyLc2wnJjfFxF8OO9ztDaORG0MDJeqOVjHXk='\n";

fn silent(settings: &Settings) -> Situation<'_> {
    Situation {
        in_force: settings,
        configured: settings,
        is_up: false,
        has_tunnel: true,
        is_unresolved: false,
        is_changing: false,
    }
}

fn with_backup(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    let wireguard = example::wireguard(&mut settings);
    let public_key = wireguard.public_key.clone().expect("a key");
    wireguard.backup = vec![Server { at: HostPort { host: "backup.example.org".into(), port: 1 }, public_key }];
    settings
}

/// Runs `seconds` of silence, each change in force at once. Returns the time, server and key of each.
fn changes(failover: &mut Failover, mut settings: Settings, seconds: u64) -> Vec<(u64, String, bool)> {
    let mut changes = Vec::new();
    for second in 0..seconds {
        let Some(action) = failover.handle_tick(&silent(&settings), Nanos::from_secs(second)) else { continue };
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
    assert_eq!(changes(&mut Failover::new(Nanos::ZERO), example::router(), 600), []);
}

#[test]
fn servers_take_turns_every_half_minute() {
    let hosts: Vec<_> = changes(&mut Failover::new(Nanos::ZERO), with_backup(&example::router()), 100)
        .into_iter()
        .map(|(second, host, _)| (second, host))
        .collect();
    let (first, backup) = ("203.0.113.9".to_owned(), "backup.example.org".to_owned());
    assert_eq!(hosts, [(30, backup.clone()), (60, first), (90, backup)]);
}

#[test]
fn both_keys_are_tried_at_each_server() {
    let settings = with_backup(&example::settings(&format!("{}{JOIN_KEY}", example::ROUTER)));
    let mut failover = Failover::new(Nanos::ZERO);
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
    let mut failover = Failover::new(Nanos::ZERO);
    let waiting = Situation { is_changing: true, ..silent(&settings) };
    assert_eq!(failover.handle_tick(&waiting, at), None, "a change is not in force yet");
    let without_tunnel = Situation { has_tunnel: false, ..silent(&settings) };
    assert_eq!(failover.handle_tick(&without_tunnel, at), None, "the kernel lacks something");
    let up = Situation { is_up: true, ..silent(&settings) };
    assert_eq!(failover.handle_tick(&up, at), None);
    assert_eq!(failover.handle_tick(&silent(&settings), at), None, "cells have just come");
    let unresolved = Situation { is_unresolved: true, ..without_tunnel };
    assert!(failover.handle_tick(&unresolved, at + at).is_some(), "another server may have a name that resolves");
}
