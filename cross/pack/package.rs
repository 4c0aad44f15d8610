//! A package for OpenWrt, before it has a format.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::tree::Tree;

#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    /// With the release, such as `0.1.0-r1`.
    pub version: String,
    /// OpenWrt's name, `all` if it runs everywhere.
    pub arch: String,
    pub title: String,
    pub description: String,
    pub license: String,
    pub maintainer: String,
    pub section: String,
    /// Names of packages, sorted.
    pub depends: Vec<String>,
    /// Paths from the router's root, with the slash.
    pub conffiles: Vec<String>,
    /// Shell to run after an installation or upgrade.
    pub postinst: Option<String>,
    /// Shell to run before a removal or, where the system does so, before an upgrade.
    pub prerm: Option<String>,
    pub tree: Tree,
}

/// Hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
