//! The firewall's flow tables, whose connections bypass all rules. A connection that is deleted from conntrack leaves
//! its flow table within about a second (the garbage collection in net/netfilter/nf_flow_table_core.c runs once a
//! second). Until then a netdev table drops its packets at ingress, before the flow table.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::thread;
use std::time::Duration;

use super::nft;
use crate::apply::Cause;
use crate::plan::ownership::BLOCK_TABLE;
use crate::plan::routing::Prefix;

/// Longer than a connection stays in a flow table after it was deleted from conntrack.
const GC_WAIT: Duration = Duration::from_millis(2_500);

/// All flow tables of the host.
pub(super) struct FlowTables {
    /// Interfaces whose packets enter a flow table.
    devices: BTreeSet<String>,
    /// Whether any flow table offloads connections to hardware.
    pub hardware: bool,
}

/// Drops packets of some devices at ingress. Dropping this value ends that; after 5 s the block expires in any case.
pub(super) struct FlowBlock;

impl FlowTables {
    pub fn list() -> Result<FlowTables, Cause> {
        nft::list_flow_tables().map(|listing| FlowTables::from_listing(&listing))
    }

    /// Reads the output of `nft list flowtables`.
    pub fn from_listing(listing: &str) -> FlowTables {
        let lines = || listing.lines().map(str::trim);
        let lists = lines().filter_map(|line| line.strip_prefix("devices = {")?.strip_suffix('}'));
        let names = lists.flat_map(|list| list.split(',')).map(|name| name.trim().trim_matches('"').to_owned());
        FlowTables {
            devices: names.filter(|name| !name.is_empty()).collect(),
            hardware: lines().any(|line| line == "flags offload"),
        }
    }

    /// Blocks packets from these MAC addresses and networks at ingress. `None` if there is no flow table or no address.
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
            "add table netdev {BLOCK_TABLE}\ndelete table netdev {BLOCK_TABLE}\n\
             table netdev {BLOCK_TABLE} {{\n\
             {}{}{}\tchain cut {{\n\
             \t\ttype filter hook ingress devices = {{ {} }} priority -500; policy accept;\n\
             \t\tether saddr @macs ether type {{ ip, ip6 }} drop\n\
             \t\tip saddr @v4 drop\n\t\tip6 saddr @v6 drop\n\t}}\n}}\n",
            set("macs", "ether_addr", "timeout", macs),
            set("v4", "ipv4_addr", "interval,timeout", networks(true).map(shown)),
            set("v6", "ipv6_addr", "interval,timeout", networks(false).map(shown)),
            devices.join(", "),
        )
    }
}

/// A set whose elements expire after 5 s, in case millpond is killed before it removes the table.
fn set(name: &str, kind: &str, flags: &str, elements: impl IntoIterator<Item = impl Display>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|element| format!("{element} timeout 5s")).collect();
    let elements =
        if elements.is_empty() { String::new() } else { format!("\t\telements = {{ {} }}\n", elements.join(", ")) };
    format!("\tset {name} {{\n\t\ttype {kind}\n\t\tflags {flags}\n{elements}\t}}\n")
}

impl FlowBlock {
    /// Waits until the connections have left all flow tables, then ends the block.
    pub fn wait_for_gc(self) {
        thread::sleep(GC_WAIT);
    }
}

impl Drop for FlowBlock {
    fn drop(&mut self) {
        // If this fails, the elements expire soon and the empty table only costs a little time.
        _ = nft::load(&format!("delete table netdev {BLOCK_TABLE}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_listing_of_every_nft_version() {
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
    fn the_block_names_devices_and_networks() {
        let tables = FlowTables::from_listing("devices = { lan1 }");
        let network = Prefix { address: [192, 168, 3, 0].into(), length: 24 };
        let text = tables.transaction(&["02:00:00:00:00:01".to_owned()].into(), &[network]);
        for part in ["{ 02:00:00:00:00:01 timeout 5s }", "{ 192.168.3.0/24 timeout 5s }", "devices = { \"lan1\" }"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
