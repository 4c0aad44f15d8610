//! The sets and maps of a table.

use std::fmt::Write as _;

/// A named set of single values or networks, or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// nft's type: `ether_addr`, `ipv4_addr`, `ipv6_addr`, `ifname`; of a map with the type of its values.
    pub kind: &'static str,
    /// Its elements.
    pub elements: Elements,
}

/// The elements of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Fixed elements in nft's notation, without duplicates.
    Fixed(Vec<String>),
    /// The elements of a map, in nft's notation, without duplicates.
    Map(Vec<String>),
    /// Fixed networks in nft's notation; none contains another.
    Networks(Vec<String>),
    /// Elements that packets add and that expire.
    Learned {
        /// Time after which an element expires if no packet has added it again, in nft's notation.
        timeout: &'static str,
    },
    /// A limit for each sender, which packets add; at most this many. They are neither read nor loaded again: an
    /// element without its limit would match every packet.
    Limits(usize),
}

/// Maximum number of learned elements of a set: a week of a large home's temporary IPv6 addresses.
const MAX_LEARNED: usize = 2048;
/// Maximum number of elements that millpond itself puts into a learned set. The rest is for what packets show later.
pub(in crate::plan) const MAX_INITIAL: usize = MAX_LEARNED / 2;

impl Set {
    /// Adds the set, as a line for each of its properties.
    pub(super) fn write_to(&self, text: &mut String) {
        let block = if matches!(self.elements, Elements::Map(_)) { "map" } else { "set" };
        let _ = writeln!(text, "\t{block} {} {{\n\t\ttype {}", self.name, self.kind);
        text.push_str(if matches!(self.elements, Elements::Networks(_)) { "\t\tflags interval\n" } else { "" });
        let _ = match &self.elements {
            Elements::Fixed(elements) | Elements::Networks(elements) if elements.is_empty() => Ok(()),
            Elements::Fixed(elements) | Elements::Networks(elements) | Elements::Map(elements) => {
                writeln!(text, "\t\telements = {{ {} }}", elements.join(", "))
            }
            Elements::Learned { timeout } => {
                let interval = collection_interval(timeout);
                writeln!(
                    text,
                    "\t\tsize {MAX_LEARNED}\n\t\tflags dynamic,timeout\n\t\ttimeout {timeout}\n\
                     \t\tgc-interval {interval}"
                )
            }
            Elements::Limits(size) => writeln!(text, "\t\tsize {size}\n\t\tflags dynamic"),
        };
        text.push_str("\t}\n");
    }
}

/// The time between two searches of a set for expired elements, which no packet matches but which take room. By default
/// the kernel searches every set once a second (net/netfilter/nft_set_hash.c, `nft_rhash_gc`). For all sets of a guard
/// together that takes a small router five milliseconds, in which no cell leaves.
fn collection_interval(timeout: &'static str) -> &'static str {
    if timeout.ends_with('m') { timeout } else { "1h" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the laboratory's records of lateness: a stall of five milliseconds each second.
    #[test]
    fn no_set_is_searched_each_second() {
        let mut text = String::new();
        Set { name: "seen4", kind: "ipv4_addr", elements: Elements::Learned { timeout: "7d" } }.write_to(&mut text);
        assert!(text.contains("\t\ttimeout 7d\n\t\tgc-interval 1h\n"), "{text}");
        assert_eq!(collection_interval("5m"), "5m", "expired elements do not take more room than live ones");
    }
}
