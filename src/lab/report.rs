//! What the home did against what the provider saw: a table for the terminal and a page for the browser.

mod figures;
mod page;
mod svg;
mod terminal;
mod view;

#[cfg(test)]
mod tests;

pub use page::page;
pub(in crate::lab) use page::{STYLE, escape};
pub use terminal::table;
pub use view::{DeviceView, LineNumbers, View};

use std::path::Path;

use super::error::Error;

/// The same home behind a plain VPN and behind millpond.
pub struct Comparison {
    /// Behind the plain VPN.
    pub plain: View,
    /// Behind millpond.
    pub shaped: View,
}

impl Comparison {
    /// Reads two run directories of the laboratory.
    pub fn read(plain: &Path, shaped: &Path) -> Result<Comparison, Error> {
        Ok(Comparison { plain: View::read(plain)?, shaped: View::read(shaped)? })
    }

    /// Length of the shorter window in whole seconds.
    pub fn seconds(&self) -> usize {
        self.plain.seconds().min(self.shaped.seconds())
    }
}
