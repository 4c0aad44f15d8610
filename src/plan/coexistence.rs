//! Conflicts with the routing of other programs such as mwan3 and pbr: their marks, tables and rule priorities.

use std::fmt;
use std::net::IpAddr;

use super::ownership::ROUTE_PROTOCOL;
use super::routing::{Family, MAIN};
use crate::config::model::RoutingIds;
use crate::tunnel::TunnelFacts;

/// A routing rule of another program: the parts that decide which packets it may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignRule {
    /// Its address family: IPv6 if true, else IPv4.
    pub ipv6: bool,
    /// Its priority; the kernel tries lower numbers first.
    pub priority: u32,
    /// The packet mark that it requires, after applying `mask`.
    pub mark: u32,
    /// The bits of the packet mark that it compares; 0 if it ignores the mark.
    pub mask: u32,
    /// The incoming interface that it requires.
    pub iif: Option<String>,
    /// Whether it has a selector that no forwarded packet matches, or one for some destinations only.
    pub is_narrow: bool,
    /// The routing table that it looks up.
    pub table: u32,
}

/// The routing of other programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignRouting {
    /// Their rules.
    pub rules: Vec<ForeignRule>,
    /// Their routes: table, protocol number, and whether the route is a default route.
    pub routes: Vec<(u32, u8, bool)>,
}

/// A conflict with another program's routing. Prints as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A rule before millpond's may divert packets that belong in the tunnel. The guard then drops them.
    Rule(ForeignRule, RoutingIds),
    /// A rule matches millpond's bit of the packet mark.
    Mark(ForeignRule, RoutingIds),
    /// millpond's routing table contains routes of another program.
    Table(RoutingIds),
    /// The tunnel's own packets leave by another program's tunnel.
    InOtherTunnel {
        /// The endpoint's address.
        endpoint: IpAddr,
        /// The interface of that tunnel.
        interface: String,
        /// The rule that sends them there; `None` if the table `main` does.
        rule: Option<ForeignRule>,
    },
}

impl ForeignRouting {
    /// The conflicts with millpond's `routing_ids`. `lan` are the interfaces of the networks of shaped devices.
    pub fn conflicts(&self, routing_ids: RoutingIds, lan: &[&str]) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut checked = Vec::new();
        for rule in &self.rules {
            // Most rules exist in both families; report them once.
            let same = ForeignRule { ipv6: false, ..rule.clone() };
            if checked.contains(&same) {
                continue;
            }
            checked.push(same);
            if rule.mask & routing_ids.mark != 0 && rule.mark & routing_ids.mark != 0 {
                conflicts.push(Conflict::Mark(rule.clone(), routing_ids));
            } else if self.may_divert(rule, routing_ids, lan) {
                conflicts.push(Conflict::Rule(rule.clone(), routing_ids));
            }
        }
        if self.routes.iter().any(|(table, protocol, _)| *table == routing_ids.table && *protocol != ROUTE_PROTOCOL) {
            conflicts.push(Conflict::Table(routing_ids));
        }
        conflicts
    }

    /// The conflict with what routes the tunnel's own packets, if that is another program's tunnel.
    pub fn outer_conflict(&self, tunnel: &TunnelFacts) -> Option<Conflict> {
        let (endpoint, route) = (tunnel.endpoint?.ip(), tunnel.route.as_ref().filter(|route| route.is_in_tunnel())?);
        let leads_there = |rule: &&ForeignRule| rule.table == route.table && rule.ipv6 == endpoint.is_ipv6();
        let rules = self.rules.iter().filter(leads_there).filter(|_| route.table != MAIN);
        let rule = rules.min_by_key(|rule| rule.priority).cloned();
        Some(Conflict::InOtherTunnel { endpoint, interface: route.interface.clone(), rule })
    }

    /// Whether `rule` may match a shaped device's packet with millpond's mark and route it out of the home.
    fn may_divert(&self, rule: &ForeignRule, routing_ids: RoutingIds, lan: &[&str]) -> bool {
        let matches_lan = rule.iif.as_deref().is_none_or(|iif| lan.contains(&iif));
        // Other programs may set their own bits of the same packet's mark.
        let excludes_mark = rule.mask & routing_ids.mark != 0 && rule.mark & routing_ids.mark == 0;
        let leads_out = self.routes.iter().any(|(table, _, is_default)| *table == rule.table && *is_default);
        rule.priority < routing_ids.priority && !rule.is_narrow && matches_lan && !excludes_mark && leads_out
    }
}

impl fmt::Display for ForeignRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { Family::V6 } else { Family::V4 };
        write!(f, "ip {family} rule priority {}", self.priority)?;
        self.iif.iter().try_for_each(|iif| write!(f, " iif {iif}"))?;
        if self.mask != 0 {
            write!(f, " fwmark {:#x}/{:#x}", self.mark, self.mask)?;
        }
        write!(f, " lookup {}", self.table)
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::Rule(rule, routing_ids) => write!(
                f,
                "another program's rule \"{rule}\" precedes millpond's rule (priority {}) and may divert packets that \
                 belong in the tunnel; the guard drops them",
                routing_ids.priority
            ),
            Conflict::Mark(rule, routing_ids) => {
                write!(
                    f,
                    "another program's rule \"{rule}\" matches millpond's bit of the mark ({:#x})",
                    routing_ids.mark
                )
            }
            Conflict::Table(routing_ids) => {
                write!(f, "routing table {} contains another program's routes", routing_ids.table)
            }
            Conflict::InOtherTunnel { endpoint, interface, rule } => {
                write!(f, "the tunnel's own packets to {endpoint} leave by another program's tunnel, {interface}")?;
                rule.iter().try_for_each(|rule| write!(f, ": its rule \"{rule}\" takes them"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::EndpointRoute;

    const IDS: RoutingIds = RoutingIds::DEFAULT;

    fn rule(priority: u32, mark: u32, mask: u32) -> ForeignRule {
        ForeignRule { priority, mark, mask, table: 1, ..ForeignRule::default() }
    }

    fn conflicts(rules: &[ForeignRule]) -> Vec<Conflict> {
        let others =
            ForeignRouting { rules: rules.to_vec(), routes: vec![(1, 4, true), (220, 4, false), (254, 3, true)] };
        others.conflicts(IDS, &["br-lan"])
    }

    #[test]
    fn default_rules_mwan3_and_pbr_do_not_conflict() {
        let main = ForeignRule { table: 254, ..rule(32_766, 0, 0) };
        let mwan3 = [rule(1001, 0, 0), rule(2001, 0x100, 0x3f00), rule(2061, 0x3d00, 0x3f00)];
        let pbr = [rule(29_998, 0x1_0000, 0xff_0000), rule(29_990, 0x2_0000, 0xff_0000)];
        let ipsec = ForeignRule { table: 220, ..rule(220, 0, 0) };
        let rules: Vec<ForeignRule> = [main, ipsec].into_iter().chain(mwan3).chain(pbr).collect();
        assert_eq!(conflicts(&rules), []);
    }

    #[test]
    fn a_preceding_rule_that_may_divert_devices_is_reported() {
        let before = IDS.priority - 1;
        for (rule, wanted) in [
            (rule(before, 0, 0), true),
            (rule(before, 0x100, 0x3f00), true),
            (ForeignRule { iif: Some("br-lan".into()), ..rule(before, 0, 0) }, true),
            (ForeignRule { iif: Some("wan".into()), ..rule(before, 0, 0) }, false),
            (ForeignRule { iif: Some("lo".into()), ..rule(before, 0, 0) }, false),
            (ForeignRule { is_narrow: true, ..rule(before, 0, 0) }, false),
            (rule(before, 0x100, u32::MAX), false),
            (rule(IDS.priority + 5, 0, 0), false),
        ] {
            let found = conflicts(std::slice::from_ref(&rule));
            assert_eq!(matches!(found[..], [Conflict::Rule(..)]), wanted, "{rule}: {found:?}");
        }
        let both = [rule(before, 0, 0), ForeignRule { ipv6: true, ..rule(before, 0, 0) }];
        assert_eq!(conflicts(&both).len(), 1);
    }

    #[test]
    fn a_rule_that_takes_the_tunnels_own_packets_is_named() {
        let tailscale = [5210, 5230, 5250].map(|priority| rule(priority, 0x8_0000, 0xff_0000));
        let exit = ForeignRule { table: 52, ..rule(5270, 0, 0) };
        let rules = [&tailscale[..], &[ForeignRule { ipv6: true, ..exit.clone() }, exit]].concat();
        let others = ForeignRouting { rules, routes: vec![(52, 4, true)] };
        let named = |interface: &str, kind: &str, table| {
            let route = EndpointRoute { interface: interface.into(), kind: kind.into(), mtu: 1280, table };
            let endpoint = "198.51.100.2:51820".parse().ok();
            others.outer_conflict(&TunnelFacts { endpoint, route: Some(route), ..TunnelFacts::default() })
        };
        let text = |conflict: Option<Conflict>| conflict.map(|conflict| conflict.to_string()).unwrap_or_default();
        let left = "the tunnel's own packets to 198.51.100.2 leave by another program's tunnel, ";
        let taken = ": its rule \"ip -4 rule priority 5270 lookup 52\" takes them";
        assert_eq!(text(named("tailscale0", "tun", 52)), format!("{left}tailscale0{taken}"));
        assert_eq!(text(named("tun0", "tun", MAIN)), format!("{left}tun0"), "two routes of half the addresses each");
        for (interface, kind) in [("wan", ""), ("pppoe-wan", "ppp"), ("br-wan", "bridge"), ("wan.7", "vlan")] {
            assert_eq!(named(interface, kind, 1), None, "a line to the Internet");
        }
        assert_eq!(others.outer_conflict(&TunnelFacts::default()), None);
    }

    #[test]
    fn a_shared_mark_bit_or_table_is_reported() {
        let found = conflicts(&[rule(29_999, 0x0100_0000, 0xff00_0000)]);
        assert!(matches!(found[..], [Conflict::Mark(..)]), "{found:?}");
        let others = ForeignRouting { rules: Vec::new(), routes: vec![(IDS.table, 4, false)] };
        assert_eq!(others.conflicts(IDS, &[]), [Conflict::Table(IDS)]);
        let ours = ForeignRouting { rules: Vec::new(), routes: vec![(IDS.table, ROUTE_PROTOCOL, true)] };
        assert_eq!(ours.conflicts(IDS, &[]), []);
    }
}
