//! Rules against forged and outdated source addresses. Whatever answers a packet, such as a refusal, an echo reply or
//! "time exceeded", sends to the packet's source address and quotes the packet. If the router's route to that address
//! leads out of the home, the answer does, too.

use crate::plan::nft::Chain;
use crate::plan::policy_sets::{PolicySets, chain};

/// The chains that drop packets of confined devices if their source address is not routed back to the interface that
/// they came from. They precede connection tracking and everything that answers.
pub(super) fn chains(policy_sets: &PolicySets) -> Vec<Chain> {
    if !policy_sets.confines() {
        return Vec::new();
    }
    vec![
        chain(
            "check_source",
            None,
            [
                // A device without an address sends from these; the kernel answers on the same link.
                "ip saddr 0.0.0.0 return",
                "ip6 saddr { ::, fe80::/10 } return",
                "fib saddr . iif oif missing drop",
            ],
        ),
        chain(
            "sources",
            Some("type filter hook prerouting priority raw"),
            policy_sets
                .by_sender("goto check_source", "goto check_source", "return")
                .into_iter()
                .chain(policy_sets.by_learned_mac("goto check_source")),
        ),
    ]
}
