//! Routing rules.

use nix::libc;

use super::netlink::{Body, Mode, Netlink, NetlinkError, attribute, number, string};
use crate::plan::ownership::{ROUTE_PROTOCOL, RULE_PRIORITIES};
use crate::plan::routing::{Family, Rule, Selector};

/// The rules that are ours, of both families.
pub(super) fn list(netlink: &mut Netlink) -> Result<Vec<Rule>, NetlinkError> {
    let mut rules = Vec::new();
    for family in [Family::V4, Family::V6] {
        let mut header = [0; HEADER_BYTES];
        header[0] = family_number(family);
        match netlink.dump(libc::RTM_GETRULE, &Body::new(&header)) {
            Ok(messages) => rules.extend(messages.iter().filter_map(|message| parse(message))),
            // A kernel without IPv6 or without policy routing for it.
            Err(_) if family == Family::V6 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rules)
}

fn parse(message: &[u8]) -> Option<Rule> {
    let rest = message.get(HEADER_BYTES..)?;
    let priority = number(rest, FRA_PRIORITY).unwrap_or(0);
    if attribute(rest, FRA_PROTOCOL)? != [ROUTE_PROTOCOL] || !RULE_PRIORITIES.contains(&priority) {
        return None;
    }
    let selector = match (number(rest, FRA_FWMARK), string(rest, FRA_OIFNAME)) {
        (Some(mark), None) if number(rest, FRA_FWMASK) == Some(mark) => Selector::Mark(mark),
        (None, Some(dev)) => Selector::Oif(dev),
        _ => return None,
    };
    let family = if i32::from(message[0]) == libc::AF_INET { Family::V4 } else { Family::V6 };
    Some(Rule { family, priority, selector, table: number(rest, FRA_TABLE).unwrap_or(u32::from(message[4])) })
}

/// Adds a rule.
pub(super) fn add(netlink: &mut Netlink, rule: &Rule) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_NEWRULE, Mode::Create, &body(rule))
}

/// Removes a rule.
pub(super) fn delete(netlink: &mut Netlink, rule: &Rule) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_DELRULE, Mode::Change, &body(rule))
}

fn body(rule: &Rule) -> Body {
    let mut header = [0; HEADER_BYTES];
    header[0] = family_number(rule.family);
    header[7] = FR_ACT_TO_TBL;
    let body = Body::new(&header).number(FRA_PRIORITY, rule.priority).number(FRA_TABLE, rule.table);
    let body = body.attribute(FRA_PROTOCOL, &[ROUTE_PROTOCOL]);
    match &rule.selector {
        Selector::Mark(mark) => body.number(FRA_FWMARK, *mark).number(FRA_FWMASK, *mark),
        Selector::Oif(dev) => body.string(FRA_OIFNAME, dev),
    }
}

fn family_number(family: Family) -> u8 {
    (if family == Family::V4 { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// `struct fib_rule_hdr` and the attributes of include/uapi/linux/fib_rules.h.
const HEADER_BYTES: usize = 12;
const FR_ACT_TO_TBL: u8 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        for (family, selector) in
            [(Family::V4, Selector::Oif("mpwg0".into())), (Family::V6, Selector::Mark(0x0100_0000))]
        {
            let rule = Rule { family, priority: 28_011, selector, table: 28_016 };
            assert_eq!(parse(&body(&rule).0), Some(rule));
        }
    }

    #[test]
    fn anothers_rule_is_not_ours() {
        let rule = Rule { family: Family::V4, priority: 1_001, selector: Selector::Mark(0x100), table: 1 };
        assert_eq!(parse(&body(&rule).0), None);
    }
}
