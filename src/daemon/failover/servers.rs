//! Failover between a home's servers: the next one is tried after the one in use falls silent.

use log::info;

use super::situation::Situation;
use crate::config::model::{Role, Server, Settings, Tunnel};
use crate::units::Nanos;

/// Time for each server to answer. WireGuard restarts a handshake after 6 s and needs a few seconds more.
const FAILOVER_TIMEOUT: Nanos = Nanos::from_secs(30);

/// Which server to try.
#[derive(Debug)]
pub struct ServerRotation {
    /// When cells of the server in use last came, or when millpond switched to it.
    since: Nanos,
    /// Servers tried without an answer. After the last server comes the first.
    tried: usize,
}

impl ServerRotation {
    /// Starts the time-out of the server in use.
    pub fn new(now: Nanos) -> ServerRotation {
        ServerRotation { since: now, tried: 0 }
    }

    /// Returns the settings with the next server first, once the one in use has been silent for too long.
    pub fn handle_tick(&mut self, situation: &Situation<'_>, now: Nanos) -> Option<Settings> {
        if situation.is_up {
            *self = ServerRotation::new(now);
            return None;
        }
        // Without a tunnel another server helps only if the name of this one does not resolve. If the kernel lacks
        // something, every server fails.
        if situation.is_changing || !(situation.has_tunnel || situation.is_unresolved) {
            return None;
        }
        let position = self.next(servers(situation.configured).len(), now)?;
        let mut configured = situation.configured.clone();
        put_first(&mut configured, position);
        if let [next, .., previous] = servers(&configured).as_slice() {
            info!("no answer from {}; switching to {}", previous.at, next.at);
        }
        Some(configured)
    }

    /// The server to try, as a position in a list of `servers` that starts with the one in use (0). `None` before the
    /// time-out, and if there is no other server.
    fn next(&mut self, servers: usize, now: Nanos) -> Option<usize> {
        if servers < 2 || now.saturating_since(self.since) < FAILOVER_TIMEOUT {
            return None;
        }
        self.since = now;
        self.tried += 1;
        Some(1 + (self.tried - 1) % (servers - 1))
    }
}

/// Makes newly read settings keep the server in use, if they list it.
pub fn retain_server(read: &mut Settings, in_force: Option<&Settings>) {
    let used = in_force.and_then(|settings| servers(settings).into_iter().next());
    if let Some(position) = servers(read).iter().position(|server| Some(server) == used.as_ref()) {
        put_first(read, position);
    }
}

/// A router's servers, the one in use first.
pub(super) fn servers(settings: &Settings) -> Vec<Server> {
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { return Vec::new() };
    let (Role::Router, Some(at), Some(key)) = (settings.role, &wireguard.endpoint, &wireguard.public_key) else {
        return Vec::new();
    };
    let first = Server { at: at.clone(), public_key: key.clone() };
    [first].into_iter().chain(wireguard.backup.iter().cloned()).collect()
}

/// Rotates the list of servers so that the one at `position` comes first.
pub(super) fn put_first(settings: &mut Settings, position: usize) {
    let mut servers = servers(settings);
    servers.rotate_left(position);
    let Some(Tunnel::Wireguard(wireguard)) = &mut settings.tunnel else { return };
    let mut servers = servers.into_iter();
    if let Some(Server { at, public_key }) = servers.next() {
        (wireguard.endpoint, wireguard.public_key) = (Some(at), Some(public_key));
        wireguard.backup = servers.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;

    fn settings(names: &[&str]) -> Settings {
        let key = |name: &str| Server { at: at(name), public_key: crate::config::model::Key([name.as_bytes()[0]; 32]) };
        let mut settings = example::router();
        let wireguard = example::wireguard(&mut settings);
        let mut servers = names.iter().map(|name| key(name));
        let Server { at, public_key } = servers.next().unwrap();
        (wireguard.endpoint, wireguard.public_key) = (Some(at), Some(public_key));
        wireguard.backup = servers.collect();
        settings
    }

    fn at(name: &str) -> crate::config::model::HostPort {
        crate::config::model::HostPort { host: name.into(), port: 1 }
    }

    fn names(settings: &Settings) -> String {
        servers(settings).into_iter().map(|server| server.at.host).collect()
    }

    #[test]
    fn all_servers_are_tried_in_turn() {
        let s = Nanos::from_secs;
        let mut failover = ServerRotation::new(s(100));
        assert_eq!(failover.next(1, s(1000)), None, "there is no other server");
        assert_eq!(failover.next(3, s(129)), None);
        let tried: Vec<_> = (130..300).filter_map(|at| Some((at, failover.next(3, s(at))?))).collect();
        assert_eq!(tried, [(130, 1), (160, 2), (190, 1), (220, 2), (250, 1), (280, 2)]);
    }

    #[test]
    fn the_list_rotates_with_its_keys() {
        let mut rotated = settings(&["a", "b", "c"]);
        put_first(&mut rotated, 1);
        assert_eq!((names(&rotated).as_str(), &rotated), ("bca", &settings(&["b", "c", "a"])));
        // The settings file has changed.
        let mut read = settings(&["a", "b", "d"]);
        retain_server(&mut read, Some(&rotated));
        assert_eq!(names(&read), "bda");
        let mut read = settings(&["d", "a"]);
        retain_server(&mut read, Some(&rotated));
        retain_server(&mut read, None);
        assert_eq!(names(&read), "da", "the server in use is not listed any more");
    }
}
