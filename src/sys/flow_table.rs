//! The firewall's flow tables: connections in them pass no rule. One that the kernel has forgotten leaves its table within
//! about a second (the collection in net/netfilter/nf_flow_table_core.c runs once a second); until then it is cut off where
//! packets come in, before the table.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::thread;
use std::time::Duration;

use super::nft;
use crate::apply::Cause;
use crate::plan::ownership::BLOCK_TABLE;
use crate::plan::routing::Prefix;

/// Longer than a connection stays in a flow table that has left the kernel's list.
const COLLECTED: Duration = Duration::from_millis(2_500);

/// The flow tables that there are.
pub(super) struct FlowTables {
    /// Interfaces whose packets they take.
    devices: BTreeSet<String>,
    /// Whether any may hand connections to hardware.
    pub hardware: bool,
}

/// Devices that are cut off as long as this lives, and no longer than a few seconds whatever happens.
pub(super) struct FlowBlock;

impl FlowTables {
    pub fn list() -> Result<FlowTables, Cause> {
        nft::list_flow_tables().map(|listing| FlowTables::from_listing(&listing))
    }

    fn from_listing(listing: &str) -> FlowTables {
        let lines = || listing.lines().map(str::trim);
        let lists = lines().filter_map(|line| line.strip_prefix("devices = {")?.strip_suffix('}'));
        let names = lists.flat_map(|list| list.split(',')).map(|name| name.trim().trim_matches('"').to_owned());
        FlowTables {
            devices: names.filter(|name| !name.is_empty()).collect(),
            hardware: lines().any(|line| line == "flags offload"),
        }
    }

    /// Cuts off what comes in from these, where there are flow tables at all.
    pub fn block(&self, macs: &BTreeSet<String>, networks: &[Prefix]) -> Result<Option<FlowBlock>, Cause> {
        if self.devices.is_empty() || macs.is_empty() && networks.is_empty() {
            return Ok(None);
        }
        let text = self.transaction(macs, networks);
        nft::load(&text).map(|()| Some(FlowBlock))
    }

    fn transaction(&self, macs: &BTreeSet<String>, networks: &[Prefix]) -> String {
        let devices: Vec<String> = self.devices.iter().map(|name| format!("\"{name}\"")).collect();
        let networks = |is_v4| networks.iter().filter(move |network| network.address.is_ipv4() == is_v4);
        let shown = |network: &Prefix| format!("{}/{}", network.address, network.length);
        format!(
            "add table netdev {BLOCK_TABLE}\ndelete table netdev {BLOCK_TABLE}\ntable netdev {BLOCK_TABLE} {{\n\
             {}{}{}\tchain cut {{\n\t\ttype filter hook ingress devices = {{ {} }} priority -500; policy accept;\n\
             \t\tether saddr @macs ether type {{ ip, ip6 }} drop\n\t\tip saddr @v4 drop\n\t\tip6 saddr @v6 drop\n\t}}\n}}\n",
            set("macs", "ether_addr", "timeout", macs),
            set("v4", "ipv4_addr", "interval,timeout", networks(true).map(shown)),
            set("v6", "ipv6_addr", "interval,timeout", networks(false).map(shown)),
            devices.join(", "),
        )
    }
}

/// Its elements go by themselves, should nobody be left to remove the table.
fn set(name: &str, kind: &str, flags: &str, elements: impl IntoIterator<Item = impl Display>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|element| format!("{element} timeout 5s")).collect();
    let elements =
        if elements.is_empty() { String::new() } else { format!("\t\telements = {{ {} }}\n", elements.join(", ")) };
    format!("\tset {name} {{\n\t\ttype {kind}\n\t\tflags {flags}\n{elements}\t}}\n")
}

impl FlowBlock {
    /// Waits until no flow table has the connections any more.
    pub fn outlast(self) {
        thread::sleep(COLLECTED);
    }
}

impl Drop for FlowBlock {
    fn drop(&mut self) {
        // Without elements soon, it does no more than cost a little.
        _ = nft::load(&format!("delete table netdev {BLOCK_TABLE}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_tables_are_read_as_every_nft_writes_them() {
        let quoted = "table inet fw4 {\n\tflowtable ft {\n\t\thook ingress priority filter\n\
            \t\tdevices = { \"lan1\", \"wan\" }\n\t\tflags offload\n\t}\n}\n";
        let tables = FlowTables::from_listing(quoted);
        assert!(tables.hardware && tables.devices.iter().eq(["lan1", "wan"]));
        let plain = FlowTables::from_listing(&quoted.replace('"', "").replace("\t\tflags offload\n", ""));
        assert!(!plain.hardware && plain.devices == tables.devices);
        let none = FlowTables::from_listing("");
        assert!(none.devices.is_empty());
        assert!(none.block(&["02:00:00:00:00:01".to_owned()].into(), &[]).unwrap().is_none());
    }

    #[test]
    fn the_cut_names_what_is_cut() {
        let tables = FlowTables::from_listing("devices = { lan1 }");
        let network = Prefix { address: [192, 168, 3, 0].into(), length: 24 };
        let text = tables.transaction(&["02:00:00:00:00:01".to_owned()].into(), &[network]);
        for part in ["{ 02:00:00:00:00:01 timeout 5s }", "{ 192.168.3.0/24 timeout 5s }", "devices = { \"lan1\" }"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
