//! An nftables table: built here as chains and sets, applied as one transaction, and recognised in nft's own listing.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::ownership::NFT_TABLE;

/// A table of family `inet`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
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
    /// Elements in nft's notation, without repetition.
    pub elements: Vec<String>,
}

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

impl Table {
    /// Everything between the table's braces.
    fn body(&self) -> String {
        let mut text = String::new();
        for set in &self.sets {
            let elements = set.elements.join(", ");
            let (name, kind) = (set.name, set.kind);
            let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}\n\t\telements = {{ {elements} }}\n\t}}");
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

    /// What marks this table, with exactly these sets and rules, as the one installed: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        // FNV-1a: it has to notice a change of settings, not an attack by root.
        let hash = self
            .body()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// The table as `nft -f` takes it.
    pub fn text(&self) -> String {
        format!("table inet {NFT_TABLE} {{\n\tcomment \"{}\"\n{}}}\n", self.fingerprint(), self.body())
    }

    /// How many rules each chain, and elements each set has.
    pub fn shape(&self) -> Shape {
        let sets = self.sets.iter().map(|s| (format!("set {}", s.name), s.elements.len()));
        let chains = self.chains.iter().map(|c| (format!("chain {}", c.name), c.rules.len()));
        Shape(sets.chain(chains).collect())
    }
}

/// The number of rules by `chain NAME` and of elements by `set NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape(BTreeMap<String, usize>);

/// A table as text that `nft -f` takes, with what it takes to recognise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableText {
    /// `table inet millpond { … }`.
    pub text: String,
    /// The table's comment: [`Table::fingerprint`] if millpond made it.
    pub fingerprint: Option<String>,
    /// Counted from the text, so that a rule or element that someone took away or added is missed.
    pub shape: Shape,
}

impl From<&Table> for TableText {
    fn from(table: &Table) -> TableText {
        TableText { text: table.text(), fingerprint: Some(table.fingerprint()), shape: table.shape() }
    }
}

impl TableText {
    /// Reads the output of `nft -s list table inet millpond`.
    pub fn from_listing(listing: &str) -> TableText {
        let mut fingerprint = None;
        let mut shape = BTreeMap::new();
        let mut block: Option<String> = None;
        let mut in_elements = false;
        for line in listing.lines().map(str::trim) {
            let Some(name) = &block else {
                if let Some(comment) = line.strip_prefix("comment ") {
                    fingerprint = Some(comment.trim_matches('"').to_owned());
                } else if (line.starts_with("chain ") || line.starts_with("set ")) && line.ends_with('{') {
                    let name = line.trim_end_matches('{').trim().to_owned();
                    shape.insert(name.clone(), 0);
                    block = Some(name);
                }
                continue;
            };
            let count = shape.entry(name.clone()).or_insert(0);
            if line == "}" {
                block = None;
                in_elements = false;
            } else if name.starts_with("set ") {
                let elements = line.strip_prefix("elements = {");
                in_elements |= elements.is_some();
                if in_elements {
                    *count += elements
                        .unwrap_or(line)
                        .trim_end_matches('}')
                        .split(',')
                        .filter(|e| !e.trim().is_empty())
                        .count();
                    in_elements = !line.ends_with('}');
                }
            } else if !line.is_empty() && !line.starts_with("type ") && !line.starts_with("comment ") {
                *count += 1;
            }
        }
        TableText { text: listing.to_owned(), fingerprint, shape: Shape(shape) }
    }

    /// Whether `installed` has the same fingerprint and as many rules and elements.
    pub fn is_met_by(&self, installed: &TableText) -> bool {
        self.fingerprint == installed.fingerprint && self.shape == installed.shape
    }

    /// The transaction that puts this table in the place of whatever has its name, with no moment in between.
    pub fn transaction(&self) -> String {
        format!("add table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n{}", self.text)
    }
}

impl fmt::Display for TableText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kind| self.shape.0.iter().filter(move |(name, _)| name.starts_with(kind)).map(|(_, count)| count);
        write!(f, "table inet {NFT_TABLE}: {} rules", of("chain ").sum::<usize>())?;
        write!(
            f,
            " in {} chains, {} elements in {} sets",
            of("chain ").count(),
            of("set ").sum::<usize>(),
            of("set ").count()
        )?;
        self.fingerprint.iter().try_for_each(|mark| write!(f, " ({mark})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            sets: vec![Set {
                name: "shape_ip",
                kind: "ipv4_addr",
                elements: vec!["192.0.2.1".into(), "192.0.2.2".into()],
            }],
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

    #[test]
    fn own_text_meets_itself() {
        let wanted = TableText::from(&table());
        assert!(wanted.is_met_by(&TableText::from_listing(&table().text())));
    }

    #[test]
    fn elements_over_several_lines_are_counted() {
        let listing = table().text().replace("192.0.2.1, ", "192.0.2.1,\n\t\t\t     ");
        assert!(TableText::from(&table()).is_met_by(&TableText::from_listing(&listing)));
    }

    #[test]
    fn what_someone_took_away_is_missed() {
        let wanted = TableText::from(&table());
        for gone in ["\t\tdrop\n", "192.0.2.1, ", "\t\toifname \"mp0\" accept\n"] {
            let listing = table().text().replacen(gone, "", 1);
            assert!(!wanted.is_met_by(&TableText::from_listing(&listing)), "without {gone:?}");
        }
    }

    #[test]
    fn any_text_is_read_without_panic() {
        for text in ["", "}", "set {", "chain x {\n}\n}", "set a {\nelements = {", "\u{fe0f}{}"] {
            TableText::from_listing(text);
        }
    }
}
