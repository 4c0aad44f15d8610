use std::fmt;

use crate::plan::ownership::{GUARD_TABLE, TUNNEL_TABLE};

/// One of millpond's tables. Prints as nft names it: family and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    /// Prevents devices from sending outside the tunnel.
    Guard,
    /// Keeps frames of confined devices off bridge ports that are tunnels.
    Bridge,
    /// Routes devices' packets into the tunnel.
    Tunnel,
}

impl TableName {
    /// The table's family in nft's notation.
    pub fn family(self) -> &'static str {
        match self {
            TableName::Guard | TableName::Tunnel => "inet",
            TableName::Bridge => "bridge",
        }
    }

    /// The table's name in the kernel.
    pub fn as_str(self) -> &'static str {
        match self {
            TableName::Guard | TableName::Bridge => GUARD_TABLE,
            TableName::Tunnel => TUNNEL_TABLE,
        }
    }

    /// Family and name of the table's draft.
    pub fn draft(self) -> String {
        format!("{self}_draft")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family(), self.as_str())
    }
}
