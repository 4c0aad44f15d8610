//! A package for OpenWrt, independent of its format.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::tree::Tree;

#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    /// Version and release, such as `0.1.0-r1`.
    pub version: String,
    /// OpenWrt's name of the architecture; `all` if the package runs on every one.
    pub arch: String,
    pub title: String,
    pub description: String,
    pub license: String,
    pub maintainer: String,
    pub section: String,
    /// Names of packages, sorted.
    pub depends: Vec<String>,
    /// Absolute paths on the router.
    pub conffiles: Vec<String>,
    /// Shell script that runs after an installation or upgrade.
    pub postinst: Option<String>,
    /// Shell script that runs before a removal and, with opkg, before an upgrade.
    pub prerm: Option<String>,
    /// Shell script that runs after a removal and, with opkg, after the old files of an upgrade are gone.
    pub postrm: Option<String>,
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
