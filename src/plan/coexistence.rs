//! What others have set up where it touches ours: marks, tables and priorities of mwan3, pbr and their like.

use std::fmt;

use super::ownership::ROUTE_PROTOCOL;
use super::routing::Family;
use crate::config::model::RoutingIds;

/// A rule of another's, as far as it matters whom it may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherRule {
    /// Its address family, IPv4 where `false`.
    pub ipv6: bool,
    /// Its priority; lower comes first.
    pub priority: u32,
    /// The mark that it looks for, and which bits of it; a mask of 0 where it looks for none.
    pub mark: u32,
    /// See `mark`.
    pub mask: u32,
    /// The interface that packets must have come in by.
    pub iif: Option<String>,
    /// Whether it looks at what no forwarded packet has, or only at some destinations.
    pub is_narrow: bool,
    /// The table that answers.
    pub table: u32,
}

/// What others have set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Their rules.
    pub rules: Vec<OtherRule>,
    /// Their routes: table, protocol number, and whether it is a default route.
    pub routes: Vec<(u32, u8, bool)>,
}

/// Something of another's that stands in our way. Prints as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A rule before ours may take what belongs into the tunnel. The guard then drops it.
    Rule(OtherRule, RoutingIds),
    /// A rule looks at the bit of the mark that is ours.
    Mark(OtherRule, RoutingIds),
    /// Our table has routes of another's.
    Table(RoutingIds),
}

impl Others {
    /// What of this stands in the way of `numbers`. `lan`: the interfaces that shaped devices are behind.
    pub fn conflicts(&self, routing_ids: RoutingIds, lan: &[&str]) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut seen = Vec::new();
        for rule in &self.rules {
            // Both families mostly have the same rules: once is enough.
            let same = OtherRule { ipv6: false, ..rule.clone() };
            if seen.contains(&same) {
                continue;
            }
            seen.push(same);
            if rule.mask & routing_ids.mark != 0 && rule.mark & routing_ids.mark != 0 {
                conflicts.push(Conflict::Mark(rule.clone(), routing_ids));
            } else if self.may_take(rule, routing_ids, lan) {
                conflicts.push(Conflict::Rule(rule.clone(), routing_ids));
            }
        }
        if self.routes.iter().any(|(table, protocol, _)| *table == routing_ids.table && *protocol != ROUTE_PROTOCOL) {
            conflicts.push(Conflict::Table(routing_ids));
        }
        conflicts
    }

    /// Whether `rule` may take a packet from a shaped device that has our mark, and leads it out of the house.
    fn may_take(&self, rule: &OtherRule, routing_ids: RoutingIds, lan: &[&str]) -> bool {
        let from_inside = rule.iif.as_deref().is_none_or(|iif| lan.contains(&iif));
        // Others may mark the same packet with bits of their own.
        let refuses_mark = rule.mask & routing_ids.mark != 0 && rule.mark & routing_ids.mark == 0;
        let leads_out = self.routes.iter().any(|(table, _, is_default)| *table == rule.table && *is_default);
        rule.priority < routing_ids.priority && !rule.is_narrow && from_inside && !refuses_mark && leads_out
    }
}

impl fmt::Display for OtherRule {
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
                "\"{rule}\" of another program comes before ours (priority {}) and may take what belongs into the \
                 tunnel; the guard drops that",
                routing_ids.priority
            ),
            Conflict::Mark(rule, routing_ids) => {
                write!(f, "\"{rule}\" of another program looks at our bit of the mark ({:#x})", routing_ids.mark)
            }
            Conflict::Table(routing_ids) => {
                write!(f, "routing table {} has another program's routes", routing_ids.table)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: RoutingIds = RoutingIds::DEFAULT;

    fn rule(priority: u32, mark: u32, mask: u32) -> OtherRule {
        OtherRule { priority, mark, mask, table: 1, ..OtherRule::default() }
    }

    fn conflicts(rules: &[OtherRule]) -> Vec<Conflict> {
        let others = Others { rules: rules.to_vec(), routes: vec![(1, 4, true), (220, 4, false), (254, 3, true)] };
        others.conflicts(NUMBERS, &["br-lan"])
    }

    #[test]
    fn a_plain_machine_and_mwan3_and_pbr_are_no_conflict() {
        let main = OtherRule { table: 254, ..rule(32_766, 0, 0) };
        let mwan3 = [rule(1001, 0, 0), rule(2001, 0x100, 0x3f00), rule(2061, 0x3d00, 0x3f00)];
        let pbr = [rule(29_998, 0x1_0000, 0xff_0000), rule(29_990, 0x2_0000, 0xff_0000)];
        let ipsec = OtherRule { table: 220, ..rule(220, 0, 0) };
        let rules: Vec<OtherRule> = [main, ipsec].into_iter().chain(mwan3).chain(pbr).collect();
        assert_eq!(conflicts(&rules), []);
    }

    #[test]
    fn a_rule_before_ours_that_may_take_the_devices_is_named() {
        let before = NUMBERS.priority - 1;
        for (rule, wanted) in [
            (rule(before, 0, 0), true),
            (rule(before, 0x100, 0x3f00), true),
            (OtherRule { iif: Some("br-lan".into()), ..rule(before, 0, 0) }, true),
            (OtherRule { iif: Some("wan".into()), ..rule(before, 0, 0) }, false),
            (OtherRule { iif: Some("lo".into()), ..rule(before, 0, 0) }, false),
            (OtherRule { is_narrow: true, ..rule(before, 0, 0) }, false),
            (rule(before, 0x100, u32::MAX), false),
            (rule(NUMBERS.priority + 5, 0, 0), false),
        ] {
            let found = conflicts(std::slice::from_ref(&rule));
            assert_eq!(matches!(found[..], [Conflict::Rule(..)]), wanted, "{rule}: {found:?}");
        }
        let both = [rule(before, 0, 0), OtherRule { ipv6: true, ..rule(before, 0, 0) }];
        assert_eq!(conflicts(&both).len(), 1);
    }

    #[test]
    fn a_mark_or_a_table_that_is_taken_is_named() {
        let found = conflicts(&[rule(29_999, 0x0100_0000, 0xff00_0000)]);
        assert!(matches!(found[..], [Conflict::Mark(..)]), "{found:?}");
        let others = Others { rules: Vec::new(), routes: vec![(NUMBERS.table, 4, false)] };
        assert_eq!(others.conflicts(NUMBERS, &[]), [Conflict::Table(NUMBERS)]);
        let ours = Others { rules: Vec::new(), routes: vec![(NUMBERS.table, ROUTE_PROTOCOL, true)] };
        assert_eq!(ours.conflicts(NUMBERS, &[]), []);
    }
}
