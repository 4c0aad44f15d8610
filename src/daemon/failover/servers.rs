//! Failover between a home's servers: the next one is tried after the one in use falls silent.
//!
//! When a server dies, all of its homes lose it at once. Their join texts have the other servers in different orders,
//! and each home waits a little longer or shorter: they come neither to the same server nor at the same moment.

use log::info;

use super::situation::Situation;
use crate::config::model::{HostPort, Role, Server, Settings, Tunnel};
use crate::units::Nanos;

/// Time for each server to answer. WireGuard restarts a handshake after 6 s and needs a few seconds more.
const FAILOVER_TIMEOUT: Nanos = Nanos::from_secs(30);
/// Each time is longer by a random part of this.
const MAX_JITTER_MS: u16 = 10_000;

/// Which server to try.
#[derive(Debug)]
pub struct ServerRotation {
    /// When cells of the server in use last came, or when millpond switched to it.
    since: Nanos,
    /// How long the server in use may be silent, once it is.
    timeout: Option<Nanos>,
    /// Servers tried without an answer. After the last server all are tried again.
    tried: Vec<HostPort>,
    draw: fn() -> u16,
}

impl ServerRotation {
    /// Starts the time-out of the server in use. `draw` makes random numbers.
    pub fn new(now: Nanos, draw: fn() -> u16) -> ServerRotation {
        ServerRotation { since: now, timeout: None, tried: Vec::new(), draw }
    }

    /// Returns the settings with the next server first, once the one in use has been silent for too long.
    pub fn handle_tick(&mut self, situation: &Situation<'_>, now: Nanos) -> Option<Settings> {
        if situation.is_up {
            *self = ServerRotation::new(now, self.draw);
            return None;
        }
        // Without a tunnel another server helps only if the name of this one does not resolve. If the kernel lacks
        // something, every server fails.
        if situation.is_changing || !(situation.has_tunnel || situation.is_unresolved) {
            return None;
        }
        let position = self.next(&servers(situation.configured), now)?;
        let mut configured = situation.configured.clone();
        put_first(&mut configured, position);
        if let [next, .., previous] = servers(&configured).as_slice() {
            info!("no answer from {}; switching to {}", previous.at, next.at);
        }
        Some(configured)
    }

    /// The server to try, as a position in the list of `servers` that starts with the one in use (0). `None` before the
    /// time-out, and if there is no other server.
    fn next(&mut self, servers: &[Server], now: Nanos) -> Option<usize> {
        let [current, others @ ..] = servers else { return None };
        let draw = self.draw;
        let jitter = || Nanos::from_millis(u64::from(draw() % MAX_JITTER_MS));
        let timeout = *self.timeout.get_or_insert_with(|| FAILOVER_TIMEOUT + jitter());
        if others.is_empty() || now.saturating_since(self.since) < timeout {
            return None;
        }
        if others.iter().all(|server| self.tried.contains(&server.at)) {
            self.tried.clear();
        }
        self.tried.push(current.at.clone());
        (self.since, self.timeout) = (now, None);
        (1..servers.len()).find(|position| !self.tried.contains(&servers[*position].at))
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

    /// The servers that are tried in these seconds of silence, each with the second.
    fn tried(names: &[&str], draw: fn() -> u16, seconds: std::ops::Range<u64>) -> Vec<(u64, String)> {
        let mut configured = settings(names);
        let mut rotation = ServerRotation::new(Nanos::from_secs(seconds.start), draw);
        let mut tried = Vec::new();
        for second in seconds {
            let situation = Situation {
                in_force: &configured,
                configured: &configured,
                is_up: false,
                has_tunnel: true,
                is_unresolved: false,
                is_changing: false,
            };
            if let Some(changed) = rotation.handle_tick(&situation, Nanos::from_secs(second)) {
                tried.push((second, servers(&changed)[0].at.host.clone()));
                configured = changed;
            }
        }
        tried
    }

    #[test]
    fn every_server_is_tried_before_one_is_tried_again() {
        assert_eq!(tried(&["a"], || 0, 0..600), [], "there is no other server");
        let all = tried(&["a", "b", "c", "d"], || 0, 100..400);
        let seconds: Vec<u64> = all.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [130, 160, 190, 220, 250, 280, 310, 340, 370]);
        let names: String = all.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, "bcdabcdab");
    }

    #[test]
    fn homes_do_not_come_at_the_same_time() {
        let draws: [fn() -> u16; 3] = [|| 0, || 5_000, || 19_999];
        let seconds = draws.map(|draw| tried(&["a", "b"], draw, 0..60)[0].0);
        assert_eq!(seconds, [30, 35, 40]);
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
