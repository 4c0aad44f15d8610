//! The endpoint's rules of `table inet millpond`: from the homes only cells reach the endpoint itself, and only packets
//! with a home's own address go to the Internet; only answers come back.

use super::nft::{NftTable, TableName};
use super::ownership::{CELL_PORT, TUN};
use super::policy_sets::{chain, homes};
use crate::config::model::Settings;
use crate::tunnel;

/// The guard's table of an endpoint.
pub(super) fn table(settings: &Settings) -> NftTable {
    let carrier = tunnel::interface(settings);
    NftTable {
        name: TableName::Guard,
        sets: homes(settings),
        chains: vec![
            chain(
                "input",
                Some("type filter hook input priority filter - 1"),
                [
                    format!("iifname \"{carrier}\" ip saddr @homes udp dport {CELL_PORT} accept"),
                    format!("iifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
                ],
            ),
            chain(
                "forward",
                Some("type filter hook forward priority filter - 1"),
                [
                    format!("iifname \"{carrier}\" drop"),
                    format!("oifname \"{carrier}\" drop"),
                    format!("iifname \"{TUN}\" oifname \"{TUN}\" drop"),
                    format!("iifname \"{TUN}\" ip saddr != @homes drop"),
                    format!("iifname \"{TUN}\" ip6 saddr != @homes6 drop"),
                    // A service in a container on the endpoint, published by DNAT.
                    format!("iifname \"{TUN}\" ct status dnat drop"),
                    format!("oifname \"{TUN}\" ct state != {{ established, related }} drop"),
                ],
            ),
        ],
    }
}
