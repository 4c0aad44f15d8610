//! nftables tables: built here from chains and sets, and recognised in nft's own listing.
//!
//! nft lists a table differently from the text that it was given, and every version of nft does so in its own way. The
//! comment of an installed table therefore holds two marks: the fingerprint of millpond's text, and the digest of the
//! listing that this host's nft prints for a dormant draft of the table. The fingerprint shows whether it is the wanted
//! table, the digest whether it has been changed since.

mod set;
mod table_name;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

pub(super) use self::set::MAX_INITIAL;
pub use self::set::{Elements, Set};
pub use self::table_name::TableName;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftTable {
    /// Its family and name.
    pub name: TableName,
    /// Named sets; they precede the chains that use them.
    pub sets: Vec<Set>,
    /// Chains; those without a hook precede those that jump to them.
    pub chains: Vec<Chain>,
}

/// A chain with its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: Cow<'static, str>,
    /// `type … hook … priority …`; `None` for a chain that only other chains jump to.
    pub hook: Option<&'static str>,
    /// Rules, one line each.
    pub rules: Vec<String>,
}

impl NftTable {
    /// The text between the table's braces, without its comment.
    fn body(&self) -> String {
        let mut text = String::new();
        for set in &self.sets {
            set.write_to(&mut text);
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

/// A table as text, with the marks that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableText {
    /// The table's name.
    pub name: TableName,
    /// The text between the table's braces, without its comment.
    pub body: String,
    /// The fingerprint of millpond's text, 16 hexadecimal digits; `None` if the table is not millpond's.
    pub fingerprint: Option<String>,
    /// Whether the installed table is still as millpond loaded it; true if it has not been loaded yet.
    pub unmodified: bool,
    /// The elements of learned sets, or their initial elements. Fingerprint and digest do not cover them.
    pub learned: Learned,
}

/// The elements of learned sets, in nft's notation, by the name of the set.
pub type Learned = BTreeMap<String, BTreeSet<String>>;

impl From<&NftTable> for TableText {
    fn from(table: &NftTable) -> TableText {
        let body = table.body();
        TableText { name: table.name, fingerprint: Some(hash(&body)), unmodified: true, body, learned: Learned::new() }
    }
}

impl TableText {
    /// Reads the output of `nft -s list table FAMILY NAME`.
    pub fn from_listing(name: TableName, listing: &str) -> TableText {
        let marks = listing.lines().find_map(|line| line.trim().strip_prefix("comment "));
        let marks = marks.and_then(|marks| marks.trim_matches('"').split_once(' '));
        let (body, learned) = parts(listing);
        TableText {
            name,
            fingerprint: marks.map(|(fingerprint, _)| fingerprint.to_owned()),
            unmodified: marks.is_some_and(|(_, digest)| digest == hash(&body)) && !is_dormant(listing),
            body,
            learned,
        }
    }

    /// Whether `installed` was loaded from the same text and has not been changed since.
    pub fn is_satisfied_by(&self, installed: &TableText) -> bool {
        self.name == installed.name && self.fingerprint == installed.fingerprint && installed.unmodified
    }

    /// The elements of the set with that name, in nft's notation.
    pub fn elements(&self, set: &str) -> impl Iterator<Item = &str> {
        let list = self.set(set).filter_map(|line| line.strip_prefix("elements = {")?.strip_suffix('}')).next();
        list.unwrap_or_default().split(',').map(str::trim).filter(|element| !element.is_empty())
    }

    /// Whether there is a set with that name.
    pub fn has_set(&self, set: &str) -> bool {
        self.set(set).next().is_some()
    }

    /// Whether there is a learned set with that name.
    pub fn has_learned_set(&self, set: &str) -> bool {
        self.set(set).any(|line| line.starts_with("flags ") && line.contains("dynamic"))
    }

    /// The lines of the set with that name, the first and the last one included.
    fn set(&self, set: &str) -> impl Iterator<Item = &str> {
        let start = format!("set {set} {{");
        let mut is_open = true;
        self.body
            .lines()
            .map(str::trim)
            .skip_while(move |line| *line != start)
            .take_while(move |line| std::mem::replace(&mut is_open, *line != "}"))
    }

    /// The digest of an installed table's listing, for the comment in [`TableText::file`].
    pub fn digest(&self) -> String {
        hash(&self.body)
    }

    /// The transaction that loads a dormant draft of the table, which affects no packet.
    pub fn draft(&self) -> String {
        format!("{}table {} {{\n\tflags dormant\n{}}}\n", self.without_draft(), self.name.draft(), self.body)
    }

    /// The transaction that atomically replaces any table of this name by this one and removes the draft. `digest` is
    /// the digest of the draft's listing.
    pub fn transaction(&self, digest: &str) -> String {
        format!("{}{}", self.without_draft(), self.file(digest))
    }

    /// The same transaction for a file, which may be loaded at any time: it leaves the draft alone.
    pub fn file(&self, digest: &str) -> String {
        let fingerprint = self.fingerprint.as_deref().unwrap_or("foreign");
        let name = self.name;
        let mut text = format!(
            "add table {name}\ndelete table {name}\n\
             table {name} {{\n\tcomment \"{fingerprint} {digest}\"\n{}}}\n",
            self.body
        );
        for (set, elements) in self.learned.iter().filter(|(set, elements)| !elements.is_empty() && self.has_set(set)) {
            let elements: Vec<&str> = elements.iter().map(String::as_str).collect();
            let _ = writeln!(text, "add element {name} {set} {{ {} }}", elements.join(", "));
        }
        text
    }

    fn without_draft(&self) -> String {
        let draft = self.name.draft();
        format!("add table {draft}\ndelete table {draft}\n")
    }
}

/// The digest of the listing of a draft or of a table, by which a change is detected: 16 hexadecimal digits.
pub fn digest(listing: &str) -> String {
    hash(&parts(listing).0)
}

/// FNV-1a, which suffices: the digest must detect a change, not an attack by root.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Whether the table has been made dormant.
fn is_dormant(listing: &str) -> bool {
    listing.lines().any(|line| line.trim() == "flags dormant")
}

/// The sets and chains of a listing without the parts that packets or the order of a hash table change, and the
/// elements of learned sets, which expire. Fixed elements are sorted.
fn parts(listing: &str) -> (String, Learned) {
    let (mut body, mut learned) = (String::new(), Learned::new());
    let mut lines = listing.lines().map(str::trim);
    let (mut is_dynamic, mut is_learned) = (false, false);
    let mut block = "";
    while let Some(line) = lines.next() {
        let is_block = ["set ", "map ", "chain "].iter().any(|block| line.starts_with(block));
        if let Some(first) = line.strip_prefix("elements = {") {
            let mut elements = first.to_owned();
            while !elements.ends_with('}') {
                let Some(line) = lines.next() else { break };
                elements.push_str(line);
            }
            let mut elements: Vec<&str> = elements.trim_end_matches('}').split(',').map(str::trim).collect();
            elements.sort_unstable();
            if is_dynamic && !is_learned {
                continue;
            } else if is_learned {
                learned.entry(block.to_owned()).or_default().extend(elements.iter().map(|element| key(element)));
            } else {
                let _ = writeln!(body, "\t\telements = {{ {} }}", elements.join(", "));
            }
        } else if is_block && line.ends_with('{') {
            (is_dynamic, is_learned) = (false, false);
            block = line.split_whitespace().nth(1).unwrap_or_default();
            let _ = writeln!(body, "\t{line}");
        } else if line == "}" && !body.is_empty() && !body.ends_with("\t}\n") {
            body.push_str("\t}\n");
        } else if !line.is_empty() && line != "}" && !body.is_empty() && !body.ends_with("\t}\n") {
            if line.starts_with("flags ") && line.contains("dynamic") {
                (is_dynamic, is_learned) = (true, line.contains("timeout"));
            }
            let _ = writeln!(body, "\t\t{line}");
        }
    }
    (body, learned)
}

/// The key of a learned element, which its timeout and expiry follow. A key may have several parts: `a . b`.
fn key(element: &str) -> String {
    let words: Vec<&str> = element.split_whitespace().collect();
    let further = words.get(1..).unwrap_or_default().chunks(2).take_while(|pair| pair[0] == ".").count();
    words[..(1 + 2 * further).min(words.len())].join(" ")
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
        write!(f, "table {}: {rules} rules in {chains} chains, {elements} elements in {sets} sets", self.name)?;
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
                Chain { name: "confine".into(), hook: None, rules: vec!["drop".into()] },
                Chain {
                    name: "forward".into(),
                    hook: Some("type filter hook forward priority filter - 1"),
                    rules: vec!["oifname \"mp0\" accept".into(), "ip saddr @shape_ip goto confine".into()],
                },
            ],
        }
    }

    /// The listing by an nft that prints a table as it was given.
    fn installed() -> String {
        let table = TableText::from(&table());
        let draft = table.draft();
        let file = table.file(&digest(&draft[draft.find("table inet millpond_draft {").unwrap()..]));
        file[file.find("table inet millpond {").unwrap()..].to_owned()
    }

    fn satisfied_by(listing: &str) -> bool {
        TableText::from(&table()).is_satisfied_by(&TableText::from_listing(TableName::Guard, listing))
    }

    #[test]
    fn an_unchanged_listing_is_recognised() {
        assert!(satisfied_by(&installed()), "{}", installed());
        assert!(!satisfied_by(&table().body()), "a table without marks");
    }

    #[test]
    fn changes_by_packets_are_ignored() {
        let learned =
            "\t\tgc-interval 1h\n\t\telements = { 192.0.2.9 timeout 7d,\n\t\t\t     192.0.2.10 timeout 7d }\n";
        for (from, to) in [
            ("192.0.2.1, ", "192.0.2.1,\n\t\t\t     "),
            ("192.0.2.1, 192.0.2.2", "192.0.2.2, 192.0.2.1"),
            ("\t\tgc-interval 1h\n", learned),
        ] {
            assert!(satisfied_by(&installed().replace(from, to)), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn changes_by_others_are_detected() {
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
            assert!(!satisfied_by(&changed), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_listed_table_can_be_loaded_again() {
        let read = TableText::from_listing(TableName::Guard, &installed());
        let again = read.file(&digest(&installed()));
        assert!(satisfied_by(&again[again.find("table inet millpond {").unwrap()..]), "{again}");
    }

    #[test]
    fn learned_elements_are_read_and_loaded_with_the_table() {
        let learned =
            "\t\tgc-interval 1h\n\t\telements = { 192.0.2.9 timeout 7d expires 1h,\n\t\t\t     192.0.2.10 }\n";
        let read = TableText::from_listing(TableName::Guard, &installed().replace("\t\tgc-interval 1h\n", learned));
        assert_eq!(read.learned.keys().collect::<Vec<_>>(), ["seen4"]);
        let line = "add element inet millpond seen4 { 192.0.2.10, 192.0.2.9 }\n";
        assert!(read.file("digest").ends_with(&format!("}}\n{line}")));
        assert!(read.transaction("digest").ends_with(line) && !read.draft().contains("add element"));
        // A table without that set must still load.
        let without_set = TableText { body: read.body.replace("seen4", "other4"), ..read };
        assert!(!without_set.file("digest").contains("add element"));
    }

    #[test]
    fn arbitrary_text_does_not_panic() {
        for text in
            ["", "}", "set {", "chain x {\n}\n}", "set a {\nelements = {", "\u{fe0f}{}", "comment \"", "comment "]
        {
            TableText::from_listing(TableName::Tunnel, text);
        }
    }
}
