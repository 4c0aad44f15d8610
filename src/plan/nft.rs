//! An nftables table: built here as chains and sets, and recognised in nft's own listing.
//!
//! nft prints a table otherwise than it was given, and each version in its own way. A table that is installed therefore
//! carries in its comment two marks: the fingerprint of the text that millpond gave, and the digest of how this
//! machine's nft prints it, taken from a dormant draft. The first tells whether it is the table that is wanted, the
//! second whether anybody has changed it since.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::ownership::{GUARD_TABLE, TUNNEL_TABLE};

/// Which of millpond's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    /// Keeps devices from passing beside the tunnel.
    Guard,
    /// Leads them into it.
    Tunnel,
}

impl TableName {
    /// The kernel's name.
    pub fn as_str(self) -> &'static str {
        match self {
            TableName::Guard => GUARD_TABLE,
            TableName::Tunnel => TUNNEL_TABLE,
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A table of family `inet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftTable {
    /// Its name.
    pub name: TableName,
    /// Named sets, before the chains that use them.
    pub sets: Vec<Set>,
    /// Chains, those without a hook before those that jump to them.
    pub chains: Vec<Chain>,
}

/// A named set of single values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// nft's type: `ether_addr`, `ipv4_addr`, `ipv6_addr`, `ifname`.
    pub kind: &'static str,
    /// What it holds.
    pub elements: Elements,
}

/// What a set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// These, in nft's notation, without repetition.
    Fixed(Vec<String>),
    /// What packets put there, forgotten when none has done so again for this time, in nft's notation.
    Learned {
        /// How long it is remembered.
        timeout: &'static str,
    },
}

/// The names of the guard's sets of addresses that confined devices have, IPv4 and IPv6.
pub const SEEN: [&str; 2] = ["seen4", "seen6"];

/// The most that a set learns: a week of a large home's temporary IPv6 addresses.
const LEARNED_SIZE: usize = 2048;

/// A chain, and where it hooks in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// `type … hook … priority …`; `None` for a chain that is only jumped to.
    pub hook: Option<&'static str>,
    /// Rules, one line each.
    pub rules: Vec<String>,
}

impl NftTable {
    /// Everything between the table's braces, but for its comment.
    fn body(&self) -> String {
        let mut text = String::new();
        for set in &self.sets {
            let _ = writeln!(text, "\tset {} {{\n\t\ttype {}", set.name, set.kind);
            let _ = match &set.elements {
                Elements::Fixed(elements) if elements.is_empty() => Ok(()),
                Elements::Fixed(elements) => writeln!(text, "\t\telements = {{ {} }}", elements.join(", ")),
                Elements::Learned { timeout } => {
                    writeln!(text, "\t\tsize {LEARNED_SIZE}\n\t\tflags dynamic,timeout\n\t\ttimeout {timeout}")
                }
            };
            text.push_str("\t}\n");
        }
        for chain in &self.chains {
            let _ = writeln!(text, "\tchain {} {{", chain.name);
            if let Some(hook) = chain.hook {
                let _ = writeln!(text, "\t\t{hook}; policy accept;");
            }
            for rule in &chain.rules {
                let _ = writeln!(text, "\t\t{rule}");
            }
            text.push_str("\t}\n");
        }
        text
    }
}

/// A table as text, with what it takes to recognise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableText {
    /// Which one.
    pub name: TableName,
    /// Everything between the table's braces, but for its comment.
    pub body: String,
    /// The fingerprint of the text that was given, if millpond gave it: 16 hexadecimal digits.
    pub fingerprint: Option<String>,
    /// Whether the table stands as it was made; always so where it has not been made yet.
    pub untouched: bool,
    /// What the sets that learn hold, or are to hold from the beginning. It is no part of what the table is known by.
    pub learned: Learned,
}

/// Elements by the name of their set, in nft's notation.
pub type Learned = BTreeMap<String, BTreeSet<String>>;

impl From<&NftTable> for TableText {
    fn from(table: &NftTable) -> TableText {
        let body = table.body();
        TableText { name: table.name, fingerprint: Some(hash(&body)), untouched: true, body, learned: Learned::new() }
    }
}

impl TableText {
    /// Reads the output of `nft -s list table inet NAME`.
    pub fn from_listing(name: TableName, listing: &str) -> TableText {
        let marks = listing.lines().find_map(|line| line.trim().strip_prefix("comment "));
        let marks = marks.and_then(|marks| marks.trim_matches('"').split_once(' '));
        let (body, learned) = parts(listing);
        TableText {
            name,
            fingerprint: marks.map(|(fingerprint, _)| fingerprint.to_owned()),
            untouched: marks.is_some_and(|(_, digest)| digest == hash(&body)) && !is_dormant(listing),
            body,
            learned,
        }
    }

    /// Whether `installed` came of the same text, and nobody has changed it since.
    pub fn is_met_by(&self, installed: &TableText) -> bool {
        self.name == installed.name && self.fingerprint == installed.fingerprint && installed.untouched
    }

    /// The elements of the set of that name, as nft writes them.
    pub fn elements(&self, set: &str) -> impl Iterator<Item = &str> {
        let start = format!("set {set} {{");
        let mut lines = self.body.lines().map(str::trim).skip_while(move |line| *line != start);
        let block = lines.by_ref().take_while(|line| *line != "}");
        let list = block.filter_map(|line| line.strip_prefix("elements = {")?.strip_suffix('}')).next();
        list.unwrap_or_default().split(',').map(str::trim).filter(|element| !element.is_empty())
    }

    /// Whether there is a set of that name.
    pub fn has_set(&self, set: &str) -> bool {
        let start = format!("set {set} {{");
        self.body.lines().any(|line| line.trim() == start)
    }

    /// The digest of an installed table's listing, which is to stand in its comment.
    pub fn digest(&self) -> String {
        hash(&self.body)
    }

    /// The transaction that makes a draft of the table, without effect on any packet.
    pub fn draft(&self) -> String {
        format!("{}table inet {} {{\n\tflags dormant\n{}}}\n", self.without_draft(), self.draft_name(), self.body)
    }

    /// The name of the draft.
    pub fn draft_name(&self) -> String {
        format!("{}_draft", self.name)
    }

    /// The transaction that puts this table in the place of whatever has its name, with no moment in between, and
    /// removes the draft; `digest` is that of the draft's listing.
    pub fn transaction(&self, digest: &str) -> String {
        format!("{}{}", self.without_draft(), self.file(digest))
    }

    /// The same for a file that is loaded at any time, draft or none.
    pub fn file(&self, digest: &str) -> String {
        let fingerprint = self.fingerprint.as_deref().unwrap_or("foreign");
        let name = self.name;
        let mut text = format!(
            "add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n\tcomment \"{fingerprint} {digest}\"\n{}}}\n",
            self.body
        );
        for (set, elements) in self.learned.iter().filter(|(set, elements)| !elements.is_empty() && self.has_set(set)) {
            let elements: Vec<&str> = elements.iter().map(String::as_str).collect();
            let _ = writeln!(text, "add element inet {name} {set} {{ {} }}", elements.join(", "));
        }
        text
    }

    fn without_draft(&self) -> String {
        let draft = self.draft_name();
        format!("add table inet {draft}\ndelete table inet {draft}\n")
    }
}

/// What to remember of the listing of a draft, or of a table, to notice a change: 16 hexadecimal digits.
pub fn digest(listing: &str) -> String {
    hash(&parts(listing).0)
}

/// FNV-1a: it has to notice a change, not an attack by root.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Whether somebody put the table to sleep.
fn is_dormant(listing: &str) -> bool {
    listing.lines().any(|line| line.trim() == "flags dormant")
}

/// The sets and chains of a listing, without what packets or the order of a hash table change: the order of elements, and
/// those of sets that learn, which come by themselves.
fn parts(listing: &str) -> (String, Learned) {
    let (mut body, mut learned) = (String::new(), Learned::new());
    let mut lines = listing.lines().map(str::trim);
    let mut learns = false;
    let mut block = "";
    while let Some(line) = lines.next() {
        let is_block = line.starts_with("set ") || line.starts_with("chain ");
        if let Some(first) = line.strip_prefix("elements = {") {
            let mut elements = first.to_owned();
            while !elements.ends_with('}') {
                let Some(line) = lines.next() else { break };
                elements.push_str(line);
            }
            let mut elements: Vec<&str> = elements.trim_end_matches('}').split(',').map(str::trim).collect();
            elements.sort_unstable();
            if learns {
                // Behind an element stands how long it is remembered.
                let keys = elements.iter().filter_map(|element| element.split_whitespace().next());
                learned.entry(block.to_owned()).or_default().extend(keys.map(str::to_owned));
            } else {
                let _ = writeln!(body, "\t\telements = {{ {} }}", elements.join(", "));
            }
        } else if is_block && line.ends_with('{') {
            learns = false;
            block = line.split_whitespace().nth(1).unwrap_or_default();
            let _ = writeln!(body, "\t{line}");
        } else if line == "}" && !body.is_empty() && !body.ends_with("\t}\n") {
            body.push_str("\t}\n");
        } else if !line.is_empty() && line != "}" && !body.is_empty() && !body.ends_with("\t}\n") {
            learns |= line.starts_with("flags ") && line.contains("dynamic");
            let _ = writeln!(body, "\t\t{line}");
        }
    }
    (body, learned)
}

impl fmt::Display for TableText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut chains, mut rules, mut sets, mut elements) = (0, 0, 0, 0);
        let mut in_chain = false;
        for line in self.body.lines().map(str::trim) {
            if line.ends_with('{') {
                in_chain = line.starts_with("chain ");
                *(if in_chain { &mut chains } else { &mut sets }) += 1;
            } else if line.starts_with("elements = {") {
                elements += line.split(',').count();
            } else if in_chain && line != "}" && !line.starts_with("type ") {
                rules += 1;
            }
        }
        write!(f, "table inet {}: {rules} rules in {chains} chains, {elements} elements in {sets} sets", self.name)?;
        self.fingerprint.iter().try_for_each(|mark| write!(f, " ({mark})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> NftTable {
        let fixed = Elements::Fixed(vec!["192.0.2.1".into(), "192.0.2.2".into()]);
        NftTable {
            name: TableName::Guard,
            sets: vec![
                Set { name: "shape_ip", kind: "ipv4_addr", elements: fixed },
                Set { name: "seen4", kind: "ipv4_addr", elements: Elements::Learned { timeout: "7d" } },
                Set { name: "lan", kind: "ifname", elements: Elements::Fixed(Vec::new()) },
            ],
            chains: vec![
                Chain { name: "confine", hook: None, rules: vec!["drop".into()] },
                Chain {
                    name: "forward",
                    hook: Some("type filter hook forward priority filter - 1"),
                    rules: vec!["oifname \"mp0\" accept".into(), "ip saddr @shape_ip goto confine".into()],
                },
            ],
        }
    }

    /// As an nft that prints what it is given lists the table.
    fn installed() -> String {
        let table = TableText::from(&table());
        let draft = table.draft();
        let file = table.file(&digest(&draft[draft.find("table inet millpond_draft {").unwrap()..]));
        file[file.find("table inet millpond {").unwrap()..].to_owned()
    }

    fn met_by(listing: &str) -> bool {
        TableText::from(&table()).is_met_by(&TableText::from_listing(TableName::Guard, listing))
    }

    #[test]
    fn own_text_meets_itself() {
        assert!(met_by(&installed()), "{}", installed());
        assert!(!met_by(&table().body()), "nobody's table");
    }

    #[test]
    fn what_packets_change_does_not_matter() {
        let learned = "\t\ttimeout 7d\n\t\telements = { 192.0.2.9 timeout 7d,\n\t\t\t     192.0.2.10 timeout 7d }\n";
        for (from, to) in [
            ("192.0.2.1, ", "192.0.2.1,\n\t\t\t     "),
            ("192.0.2.1, 192.0.2.2", "192.0.2.2, 192.0.2.1"),
            ("\t\ttimeout 7d\n", learned),
        ] {
            assert!(met_by(&installed().replace(from, to)), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn what_someone_changed_is_noticed() {
        for (from, to) in [
            ("\t\tdrop\n", ""),
            ("\t\tdrop\n", "\t\taccept\n"),
            ("192.0.2.1, ", ""),
            ("192.0.2.1,", "192.0.2.3,"),
            ("\t\toifname \"mp0\" accept\n", ""),
            (
                "\t\toifname \"mp0\" accept\n\t\tip saddr @shape_ip goto confine\n",
                "\t\tip saddr @shape_ip goto confine\n\t\toifname \"mp0\" accept\n",
            ),
            ("filter - 1", "filter - 2"),
            ("\tcomment", "\tflags dormant\n\tcomment"),
            ("\tset lan {\n\t\ttype ifname\n", "\tset lan {\n\t\ttype ifname\n\t\telements = { \"wan\" }\n"),
        ] {
            let changed = installed().replacen(from, to, 1);
            assert_ne!(changed, installed());
            assert!(!met_by(&changed), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn what_is_listed_can_be_put_back() {
        let read = TableText::from_listing(TableName::Guard, &installed());
        let again = read.file(&digest(&installed()));
        assert!(met_by(&again[again.find("table inet millpond {").unwrap()..]), "{again}");
    }

    #[test]
    fn what_packets_taught_is_read_and_put_back_with_the_table() {
        let learned = "\t\ttimeout 7d\n\t\telements = { 192.0.2.9 timeout 7d expires 1h,\n\t\t\t     192.0.2.10 }\n";
        let read = TableText::from_listing(TableName::Guard, &installed().replace("\t\ttimeout 7d\n", learned));
        assert_eq!(read.learned.keys().collect::<Vec<_>>(), ["seen4"]);
        let line = "add element inet millpond seen4 { 192.0.2.10, 192.0.2.9 }\n";
        assert!(read.file("digest").ends_with(&format!("}}\n{line}")));
        assert!(read.transaction("digest").ends_with(line) && !read.draft().contains("add element"));
        // A table without that set is not to fail for it.
        let lacks = TableText { body: read.body.replace("seen4", "other4"), ..read };
        assert!(!lacks.file("digest").contains("add element"));
    }

    #[test]
    fn any_text_is_read_without_panic() {
        for text in
            ["", "}", "set {", "chain x {\n}\n}", "set a {\nelements = {", "\u{fe0f}{}", "comment \"", "comment "]
        {
            TableText::from_listing(TableName::Tunnel, text);
        }
    }
}
