//! Compares the home's traffic with the provider's view: a table for the terminal and a page for the browser.

mod figures;
mod page;
mod svg;
mod terminal;
mod view;

#[cfg(test)]
mod tests;

pub(in crate::lab) use page::STYLE;
pub use page::page;
pub(in crate::lab) use svg::escape;
pub use terminal::table;
pub use view::{DeviceTraffic, DirectionStats, RunView};

use std::path::Path;

use super::error::Error;

/// Two runs of the same home, behind a plain VPN and behind millpond.
pub struct VpnComparison {
    /// The run behind a plain VPN.
    pub plain: RunView,
    /// The run behind millpond.
    pub shaped: RunView,
}

impl VpnComparison {
    /// Reads two run directories of the laboratory.
    pub fn read(plain: &Path, shaped: &Path) -> Result<VpnComparison, Error> {
        Ok(VpnComparison { plain: RunView::read(plain)?, shaped: RunView::read(shaped)? })
    }

    /// Length of the shorter window in whole seconds.
    pub fn seconds(&self) -> usize {
        self.plain.seconds().min(self.shaped.seconds())
    }
}
