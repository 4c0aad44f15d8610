//! The loop's part of a home's other servers: the next one is tried where the one in use is silent.

use log::info;

use super::super::problem::Code;
use super::EventLoop;
use crate::config::model::{Role, Server, Settings, Tunnel};
use crate::units::Nanos;

/// Each is given so long to be heard. WireGuard begins anew after 6 s, and takes a few more for it.
const FAILOVER_TIMEOUT: Nanos = Nanos::from_secs(30);

/// Whose turn it is.
#[derive(Debug)]
pub struct EndpointFailover {
    /// When the server in use was last heard, or another was last tried.
    since: Nanos,
    /// How many have been tried in vain, all round the list.
    tried: usize,
}

impl EndpointFailover {
    /// The server in use is given its time.
    pub fn new(now: Nanos) -> EndpointFailover {
        EndpointFailover { since: now, tried: 0 }
    }

    /// Which of `servers` is to be tried, counted from the one in use (0), where there are others and it is time.
    fn next(&mut self, servers: usize, now: Nanos) -> Option<usize> {
        if servers < 2 || now.saturating_since(self.since) < FAILOVER_TIMEOUT {
            return None;
        }
        self.since = now;
        self.tried += 1;
        Some(1 + (self.tried - 1) % (servers - 1))
    }
}

impl EventLoop {
    /// Once a second: tries the next server where the one in use has been silent for long.
    pub(super) fn poll_failover(&mut self, now: Nanos) {
        if self.state(now).is_up() {
            self.failover = EndpointFailover::new(now);
            return;
        }
        // What the kernel lacks for one, it lacks for all.
        let may_help = self.tunnel.is_complete() || self.problems.iter().any(|problem| problem.code == Code::Name);
        let Some(written) = self.clock.written().filter(|_| may_help && self.reload.is_none()) else { return };
        let Some(place) = self.failover.next(servers(written).len(), now) else { return };
        let mut written = written.clone();
        put_first(&mut written, place);
        if let [next, .., before] = servers(&written).as_slice() {
            info!("nothing comes from {}: trying {}", before.at, next.at);
        }
        self.join_key.begin(now);
        self.change_to(written, None, true, now);
    }
}

/// Has settings that were just read keep to the server that those in force use, where they have it too.
pub fn retain_server(read: &mut Settings, in_force: Option<&Settings>) {
    let used = in_force.and_then(|settings| servers(settings).into_iter().next());
    if let Some(place) = servers(read).iter().position(|server| Some(server) == used.as_ref()) {
        put_first(read, place);
    }
}

/// A router's servers, the one in use first.
fn servers(settings: &Settings) -> Vec<Server> {
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { return Vec::new() };
    let (Role::Router, Some(at), Some(key)) = (settings.role, &wireguard.endpoint, &wireguard.public_key) else {
        return Vec::new();
    };
    let first = Server { at: at.clone(), public_key: key.clone() };
    [first].into_iter().chain(wireguard.backup.iter().cloned()).collect()
}

/// Turns the list of servers so that the one at `place` comes first.
fn put_first(settings: &mut Settings, place: usize) {
    let mut servers = servers(settings);
    servers.rotate_left(place);
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

    fn settings(names: &[&str]) -> Settings {
        let key = |name: &str| Server { at: at(name), public_key: crate::config::model::Key([name.as_bytes()[0]; 32]) };
        let text = "config millpond 'main'\n option enabled '1'\nconfig tunnel 'tunnel'\n option private_key \
             'GMAbpM9Ri5vqDJrBGxQSB6bqEPqsxWpS0jRrnLoOAEg='\n option public_key \
             'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='\n option endpoint 'a:1'\n option address '10.77.0.2'\n \
             option peer_address '10.77.0.1'\n";
        let mut settings = crate::config::parse(text.as_bytes()).settings.unwrap();
        let Some(Tunnel::Wireguard(wireguard)) = &mut settings.tunnel else { unreachable!() };
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
    fn each_server_gets_its_time_and_all_get_their_turn() {
        let s = Nanos::from_secs;
        let mut turn = EndpointFailover::new(s(100));
        assert_eq!(turn.next(1, s(1000)), None, "there is no other");
        assert_eq!(turn.next(3, s(129)), None);
        let tried: Vec<_> = (130..300).filter_map(|at| Some((at, turn.next(3, s(at))?))).collect();
        assert_eq!(tried, [(130, 1), (160, 2), (190, 1), (220, 2), (250, 1), (280, 2)]);
    }

    #[test]
    fn the_list_is_turned_with_its_keys() {
        let mut turned = settings(&["a", "b", "c"]);
        put_first(&mut turned, 1);
        assert_eq!((names(&turned).as_str(), &turned), ("bca", &settings(&["b", "c", "a"])));
        // A file that is read again, and changed.
        let mut read = settings(&["a", "b", "d"]);
        retain_server(&mut read, Some(&turned));
        assert_eq!(names(&read), "bda");
        let mut read = settings(&["d", "a"]);
        retain_server(&mut read, Some(&turned));
        retain_server(&mut read, None);
        assert_eq!(names(&read), "da", "one that is not listed any more is left");
    }
}
