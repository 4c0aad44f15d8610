//! What others' firewalls have to let through. Nothing of theirs is changed.

use std::fs;
use std::path::Path;

use crate::sys::nft;

/// A line for each thing that the operator has to open, and a line that names the port in any case: providers have
/// firewalls that no server sees.
pub(super) fn advice(port: u16) -> Vec<String> {
    let mut lines = vec![format!("let UDP port {port} in, wherever the provider has a firewall of its own")];
    let enabled = fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| text.contains("ENABLED=yes"));
    if enabled {
        lines.push(format!("ufw is on: ufw allow {port}/udp; ufw route allow in on mp0; ufw allow in on mpwg0 to any port 9347 proto udp"));
    } else if Path::new("/run/firewalld").exists() {
        lines.push(format!("firewalld is on: firewall-cmd --permanent --add-port={port}/udp; firewall-cmd --permanent --zone=trusted --add-interface=mp0 --add-interface=mpwg0; firewall-cmd --reload"));
    } else {
        lines.extend(closed(&nft::list_all().unwrap_or_default(), port));
    }
    lines
}

/// Chains in a listing of nft's that drop what nothing accepts, and what would have to be added to each.
fn closed(listing: &str, port: u16) -> Vec<String> {
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
                    "the firewall's chain {table} {chain} drops what it does not know: {}",
                    rules.join("; ")
                ));
            }
            _ => {
                let opens = match hook {
                    Some("input") => line.contains(&format!("dport {port} ")),
                    Some(_) => line.contains("iifname \"mp0\""),
                    None => false,
                };
                accepted |= opens && line.contains("accept");
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
    fn chains_that_drop_are_named_with_what_opens_them() {
        let lines = closed(DROPPING, 51820);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("nft 'add rule inet filter input udp dport 51820 accept'"), "{}", lines[0]);
        assert!(lines[1].contains("nft 'add rule inet filter forward iifname \"mp0\" accept'"), "{}", lines[1]);
    }

    #[test]
    fn what_is_open_is_not_named() {
        let open = DROPPING.replace("udp dport 53 accept", "udp dport 51820 accept").replace(
            "forward priority 0; policy drop;",
            "forward priority 0; policy drop;\n\t\tiifname \"mp0\" accept",
        );
        assert_eq!(closed(&open, 51820), [""; 0]);
        assert_eq!(closed(&DROPPING.replace("drop", "accept"), 51820), [""; 0]);
        assert_eq!(closed("", 51820), [""; 0]);
    }
}
