//! Reads `cross/targets`, the table of packaged targets.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// One program, and the architectures that run it.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// Rust's name of the target, such as `mipsel-unknown-linux-musl`.
    pub rust: String,
    /// Debian's name of the architecture, if there is a Debian package for it.
    pub debian: Option<String>,
    /// OpenWrt's names of the architectures, at least one.
    pub openwrt: Vec<String>,
}

pub fn read(path: &Path) -> Result<Vec<Target>> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        match (words.next(), words.next(), words.collect::<Vec<_>>()) {
            (Some(rust), Some(debian), openwrt) if !openwrt.is_empty() => {
                Ok(Target { rust, debian: Some(debian).filter(|name| name != "-"), openwrt })
            }
            _ => Err(Error::content(path, format!("'{line}' is not of the form TARGET DEBIAN OPENWRT..."))),
        }
    })
    .collect()
}
