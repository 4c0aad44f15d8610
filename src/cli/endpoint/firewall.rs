//! Advice on other firewalls, which millpond never changes.

use std::fs;
use std::path::Path;

use crate::sys::nft;

/// Returns one line for each thing that the operator must allow. The port is always named, because a provider's
/// firewall is invisible to the server.
pub(super) fn advice(port: u16) -> Vec<String> {
    let mut lines = vec![format!("allow UDP port {port} in the provider's firewall, if it has one")];
    let enabled = fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| text.contains("ENABLED=yes"));
    if enabled {
        lines.push(format!(
            "ufw is active: ufw allow {port}/udp; ufw route allow in on mp0; \
             ufw allow in on mpwg0 to any port 9347 proto udp"
        ));
    } else if Path::new("/run/firewalld").exists() {
        lines.push(format!(
            "firewalld is active: firewall-cmd --permanent --add-port={port}/udp; \
             firewall-cmd --permanent --zone=trusted --add-interface=mp0 --add-interface=mpwg0; firewall-cmd --reload"
        ));
    } else {
        lines.extend(closed_chains(&nft::list_all().unwrap_or_default(), port));
    }
    lines
}

/// Finds chains with policy drop in an nft listing, and the rules to add to each.
pub fn closed_chains(listing: &str, port: u16) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut table, mut chain, mut hook) = (String::new(), String::new(), None);
    let mut accepted = false;
    for line in listing.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", family, name, "{"] => table = format!("{family} {name}"),
            ["chain", name, "{"] => (chain, hook, accepted) = (name.to_owned(), None, false),
            ["type", "filter", "hook", which, ..] if line.ends_with("policy drop;") => {
                hook = ["input", "forward"].into_iter().find(|hook| *hook == which);
            }
            ["}"] => {
                let rules = match hook.take().filter(|_| !accepted && !is_ours(&table)) {
                    Some("input") => {
                        vec![format!("udp dport {port} accept"), "iifname \"mpwg0\" udp dport 9347 accept".into()]
                    }
                    Some(_) => vec![
                        "iifname \"mp0\" accept".into(),
                        "oifname \"mp0\" ct state established,related accept".into(),
                    ],
                    None => continue,
                };
                let rules: Vec<String> =
                    rules.iter().map(|rule| format!("nft 'add rule {table} {chain} {rule}'")).collect();
                lines.push(format!(
                    "the firewall's chain {table} {chain} drops packets by default; add: {}",
                    rules.join("; ")
                ));
            }
            _ => {
                let matches_ours = match hook {
                    Some("input") => line.contains(&format!("dport {port} ")),
                    Some(_) => line.contains("iifname \"mp0\""),
                    None => false,
                };
                accepted |= matches_ours && line.contains("accept");
            }
        }
    }
    lines
}

fn is_ours(table: &str) -> bool {
    matches!(table, "inet millpond" | "inet millpond_tunnel")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPPING: &str = "table inet filter {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state 0x2,0x4 accept
		udp dport 53 accept
	}

	chain forward {
		type filter hook forward priority 0; policy drop;
	}

	chain output {
		type filter hook output priority 0; policy accept;
	}
}
table inet millpond {
	chain input {
		type filter hook input priority -1; policy drop;
	}
}
";

    #[test]
    fn dropping_chains_are_reported_with_rules_to_add() {
        let lines = closed_chains(DROPPING, 51820);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("nft 'add rule inet filter input udp dport 51820 accept'"), "{}", lines[0]);
        assert!(lines[1].contains("nft 'add rule inet filter forward iifname \"mp0\" accept'"), "{}", lines[1]);
    }

    #[test]
    fn open_chains_are_not_reported() {
        let open = DROPPING.replace("udp dport 53 accept", "udp dport 51820 accept").replace(
            "forward priority 0; policy drop;",
            "forward priority 0; policy drop;\n\t\tiifname \"mp0\" accept",
        );
        assert_eq!(closed_chains(&open, 51820), [""; 0]);
        assert_eq!(closed_chains(&DROPPING.replace("drop", "accept"), 51820), [""; 0]);
        assert_eq!(closed_chains("", 51820), [""; 0]);
    }
}
