//! Numbers in answers.

use serde::{Serialize, Serializer};

/// A number with three decimals in answers. The text forms read the number itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct Rounded(pub f64);

impl Serialize for Rounded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e3).round() / 1e3)
    }
}
