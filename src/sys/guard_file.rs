//! The file from which the firewall loads the guard at boot, before the network is up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{atomic_file, nft};

/// What OpenWrt's firewall includes whenever it loads its own rules.
const FIREWALL_DIRECTORY: &str = "/usr/share/nftables.d/ruleset-post";
const FIREWALL_NAME: &str = "30-millpond.nft";
/// Elsewhere, and for an init script to load.
const ELSEWHERE: &str = "/etc/millpond/guard.nft";

/// Where the file belongs on this machine.
pub fn default_path() -> PathBuf {
    let directory = Path::new(FIREWALL_DIRECTORY);
    // The firewall comes with the folder above; this one is made by whoever first puts something in.
    if directory.parent().is_some_and(Path::is_dir) { directory.join(FIREWALL_NAME) } else { ELSEWHERE.into() }
}

/// Makes `text` the file's content, whole or not at all; gives whether that changed anything. A file that the kernel
/// would not load is never written: it would take the firewall's own rules down with it.
pub fn write(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(false);
    }
    nft::check(text).map_err(|cause| io::Error::other(cause.to_string()))?;
    // Meanwhile not named *.nft, so that a firewall that loads just then passes it by.
    atomic_file::write(path, text.as_bytes(), 0o600).map(|()| true)
}

/// Makes the guard that the file at `path` describes stand, as the firewall does at boot.
pub fn load(path: &Path) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    nft::load(&text).map_err(|cause| io::Error::other(cause.to_string()))
}

/// Removes the file; gives whether there was one.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
