//! The commands' readers of other programs' output, for fuzzing.

use crate::cli::endpoint::firewall;

/// The lines of advice on a listing of all nftables tables, for an endpoint at `port`.
pub fn closed_chains(listing: &str, port: u16) -> Vec<String> {
    firewall::closed_chains(listing, port)
}
