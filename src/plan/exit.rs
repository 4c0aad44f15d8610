//! An endpoint's exits: tunnels of other programs, such as a VPN provider's, by which homes' packets leave.
//!
//! A rule for the addresses of the homes leads to a routing table of the exit. That has a default route through the
//! tunnel while the tunnel is there, and an `unreachable` one below. The guard drops what would leave elsewhere all the
//! same, so that no home's packet ever shows the endpoint's own address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::Facts;
use super::ownership::{EXIT_RULE_OFFSET, IPV6_METRIC, LAST_METRIC, TUN};
use super::routing::{Family, Prefix, Route, RouteKind, Rule, Selector};
use crate::config::model::{Home, Settings};

/// An exit and the homes that have it.
struct Exit<'a> {
    interface: &'a str,
    homes: Vec<&'a Home>,
    table: u32,
}

impl Exit<'_> {
    /// The addresses of its homes in a family.
    fn addresses(&self, family: Family) -> Vec<IpAddr> {
        let address = |home: &&Home| match family {
            Family::V4 => Some(home.address.into()),
            Family::V6 => home.address6.map(IpAddr::V6),
        };
        self.homes.iter().filter_map(address).collect()
    }
}

/// All exits of the settings, by their names.
fn exits(settings: &Settings) -> Vec<Exit<'_>> {
    let mut homes: BTreeMap<&str, Vec<&Home>> = BTreeMap::new();
    for home in &settings.homes {
        home.exit.iter().for_each(|exit| homes.entry(exit).or_default().push(home));
    }
    let tables = settings.routing_ids.table + 1..;
    homes.into_iter().zip(tables).map(|((interface, homes), table)| Exit { interface, homes, table }).collect()
}

/// The exceptions of the settings that are in the endpoint's own networks, and so not behind an exit.
fn own_networks(settings: &Settings, facts: &Facts) -> Vec<Prefix> {
    let allowed = settings.allow.iter().map(|(address, length)| Prefix { address: *address, length: *length });
    let is_own = |prefix: &Prefix| {
        facts.on_link.iter().any(|network| network.length <= prefix.length && network.contains(prefix.address))
    };
    allowed.filter(is_own).collect()
}

/// The routes and rules of all exits.
pub(super) fn routing(settings: &Settings, facts: &Facts) -> (Vec<Route>, Vec<Rule>) {
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    for exit in exits(settings) {
        let found = facts.exits.iter().find(|found| found.name == exit.interface);
        for (family, at) in [(Family::V4, 0), (Family::V6, 1)] {
            let addresses = exit.addresses(family);
            if addresses.is_empty() {
                continue;
            }
            let first = if family == Family::V6 { IPV6_METRIC } else { 0 };
            let mut add = |prefix, metric, kind| routes.push(Route { table: exit.table, prefix, metric, kind });
            for network in own_networks(settings, facts).into_iter().filter(|network| network.family() == family) {
                add(network, first, RouteKind::Throw);
            }
            if found.is_some_and(|found| found.families[at]) {
                add(Prefix::all(family), first, RouteKind::Dev(exit.interface.to_owned()));
            }
            add(Prefix::all(family), LAST_METRIC, RouteKind::Unreachable);
            rules.extend(joined(addresses).into_iter().map(|prefix| Rule {
                family,
                priority: settings.routing_ids.priority + EXIT_RULE_OFFSET,
                selector: Selector::From(prefix),
                table: exit.table,
            }));
        }
    }
    (routes, rules)
}

/// The fewest networks that have these addresses and no others: an endpoint with many homes needs few rules.
fn joined(addresses: Vec<IpAddr>) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = addresses.into_iter().map(Prefix::host).collect();
    prefixes.sort_unstable();
    let mut joined: Vec<Prefix> = Vec::new();
    for mut prefix in prefixes {
        while let Some(last) = joined.last() {
            let length = prefix.length.saturating_sub(1);
            let both = |one: Prefix| Prefix { length, ..one }.network();
            if last.length != prefix.length || length == prefix.length || both(*last) != both(prefix) {
                break;
            }
            prefix = both(prefix);
            joined.pop();
        }
        joined.push(prefix);
    }
    joined
}

/// The guard's rules that drop what a home with an exit sends elsewhere. They do not depend on whether the exit exists.
pub(super) fn guard_rules(settings: &Settings, facts: &Facts) -> Vec<String> {
    let mut rules = Vec::new();
    for exit in exits(settings) {
        for (family, ip, homes) in [(Family::V4, "ip", "@homes"), (Family::V6, "ip6", "@homes6")] {
            let addresses = exit.addresses(family);
            let own = own_networks(settings, facts).into_iter().filter(|network| network.family() == family);
            let own: Vec<String> = own.map(|Prefix { address, length }| format!("{address}/{length}")).collect();
            let elsewhere =
                if own.is_empty() { String::new() } else { format!(" {ip} daddr != {{ {} }}", own.join(", ")) };
            let list = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            let senders =
                if exit.homes.len() == settings.homes.len() { homes.to_owned() } else { format!("{{ {list} }}") };
            if !addresses.is_empty() {
                let out = format!("oifname != \"{}\"", exit.interface);
                rules.push(format!("iifname \"{TUN}\" {ip} saddr {senders} {out}{elsewhere} drop"));
            }
        }
    }
    rules
}

/// Resolvers of the settings that only an exit reaches: a provider's own, at a private address of its network.
pub(super) fn resolvers(settings: &Settings, facts: &Facts) -> Vec<IpAddr> {
    let has_exit = settings.homes.iter().any(|home| home.exit.is_some());
    let is_own = |server: &IpAddr| facts.on_link.iter().any(|network| network.contains(*server));
    settings.dns.servers.iter().copied().filter(|server| has_exit && !is_own(server)).collect()
}

/// The rule that fits TCP's segments to the exits, whose packets are shorter than those of `mp0`.
pub(super) fn clamp(settings: &Settings) -> Option<String> {
    let names: Vec<String> = exits(settings).iter().map(|exit| format!("\"{}\"", exit.interface)).collect();
    let rule = format!("oifname {{ {} }} tcp flags syn tcp option maxseg size set rt mtu", names.join(", "));
    (!names.is_empty()).then_some(rule)
}

/// Names the exits that lead nowhere.
pub(super) fn issues(settings: &Settings, facts: &Facts) -> Vec<String> {
    let exits = exits(settings).into_iter();
    let missing = exits.filter(|exit| !facts.exits.iter().any(|found| found.name == exit.interface));
    let text = |exit: Exit<'_>| {
        let names: Vec<&str> = exit.homes.iter().map(|home| home.name.as_str()).take(3).collect();
        let more = if exit.homes.len() > names.len() { " and others" } else { "" };
        let (homes, interface) = (names.join(", "), exit.interface);
        format!("exit {interface}: no tunnel of that name is up, so these homes have no Internet: {homes}{more}")
    };
    missing.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::plan::ExitInterface;

    fn settings(exits: &[Option<&str>]) -> Settings {
        let home = |(host, exit): (u8, &Option<&str>)| {
            let address6 = (host == 2).then(|| "fd77::2".parse().unwrap());
            Home { exit: exit.map(str::to_owned), ..example::home(host, address6) }
        };
        Settings { homes: (2..).zip(exits).map(home).collect(), ..example::endpoint() }
    }

    fn shown(settings: &Settings, facts: &Facts) -> (Vec<String>, Vec<String>) {
        let (routes, rules) = routing(settings, facts);
        (routes.iter().map(Route::to_string).collect(), rules.iter().map(Rule::to_string).collect())
    }

    #[test]
    fn without_an_exit_nothing_changes() {
        let (settings, facts) = (settings(&[None, None]), Facts::default());
        assert_eq!(shown(&settings, &facts), (vec![], vec![]));
        assert_eq!((guard_rules(&settings, &facts), clamp(&settings)), (vec![], None));
        assert_eq!(issues(&settings, &facts), [""; 0]);
    }

    #[test]
    fn homes_leave_by_their_exit_or_not_at_all() {
        let settings = settings(&[Some("wg-exit"), Some("wg-exit"), Some("tun7"), None]);
        let up = ExitInterface { name: "wg-exit".into(), families: [true, false] };
        let gone = shown(&settings, &Facts::default());
        let last = |table| format!("unreachable default table {table} proto 109 metric 4278198272");
        assert_eq!(gone.0, [last(28_017), last(28_018), last(28_018)], "IPv4 of tun7, both families of wg-exit");
        let facts = Facts { exits: vec![up], ..Facts::default() };
        let there = shown(&settings, &facts);
        assert_eq!(there.0[1], "default dev wg-exit table 28018 proto 109", "{there:?}");
        assert_eq!(there.0.len(), 4, "IPv6 does not leave by a tunnel without IPv6: {there:?}");
        let rule = |from: &str, table| format!("priority 912 from {from} lookup {table} protocol 109");
        let rules = [("10.77.0.4/32", 28_017), ("10.77.0.2/31", 28_018), ("fd77::2/128", 28_018)];
        assert_eq!((&gone.1, &there.1), (&rules.map(|(from, table)| rule(from, table)).to_vec(), &gone.1));
        let guard = [
            "iifname \"mp0\" ip saddr { 10.77.0.4 } oifname != \"tun7\" drop",
            "iifname \"mp0\" ip saddr { 10.77.0.2, 10.77.0.3 } oifname != \"wg-exit\" drop",
            "iifname \"mp0\" ip6 saddr { fd77::2 } oifname != \"wg-exit\" drop",
        ];
        assert_eq!(guard_rules(&settings, &Facts::default()), guard, "whether or not the exit is there");
        assert_eq!(guard_rules(&settings, &facts), guard);
        let missing = "exit tun7: no tunnel of that name is up, so these homes have no Internet: 4";
        assert_eq!(issues(&settings, &facts), [missing]);
    }

    #[test]
    fn exceptions_in_the_endpoints_own_networks_need_no_exit() {
        let prefix = |text: &str| Prefix::parse(text).unwrap();
        let allow = ["10.9.0.5/32", "10.64.0.1/32"].map(|text| (prefix(text).address, 32)).to_vec();
        let settings = Settings { allow, ..settings(&[Some("wg-exit")]) };
        let facts = Facts { on_link: vec![prefix("10.9.0.0/24")], ..Facts::default() };
        assert!(shown(&settings, &facts).0.contains(&"throw 10.9.0.5/32 table 28017 proto 109".to_owned()));
        let guard = guard_rules(&settings, &facts);
        assert_eq!(guard[0], "iifname \"mp0\" ip saddr @homes oifname != \"wg-exit\" ip daddr != { 10.9.0.5/32 } drop");
    }

    #[test]
    fn many_homes_need_few_rules() {
        let addresses = |hosts: std::ops::Range<u16>| {
            hosts.map(|host| IpAddr::from([10, 77, (host >> 8) as u8, host as u8])).collect::<Vec<_>>()
        };
        let all = joined(addresses(2..5002));
        assert!(all.len() <= 20, "{all:?}");
        for host in 0..6000 {
            let [address] = addresses(host..host + 1)[..] else { panic!() };
            assert_eq!(
                all.iter().filter(|prefix| prefix.contains(address)).count(),
                usize::from((2..5002).contains(&host))
            );
        }
    }
}
