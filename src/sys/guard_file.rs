//! The guard file, from which the firewall loads the guard at boot before the network is up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{atomic_file, nft};

/// OpenWrt's firewall includes every file in this directory when it loads its own rules.
const FIREWALL_DIRECTORY: &str = "/usr/share/nftables.d/ruleset-post";
const FIREWALL_NAME: &str = "30-millpond.nft";
/// The path on other systems, where an init script loads the file.
const OTHER_PATH: &str = "/etc/millpond/guard.nft";

/// The path of the guard file on this host.
pub fn default_path() -> PathBuf {
    let directory = Path::new(FIREWALL_DIRECTORY);
    // The firewall package installs the parent directory; the first package with a file for it creates this one.
    if directory.parent().is_some_and(Path::is_dir) { directory.join(FIREWALL_NAME) } else { OTHER_PATH.into() }
}

/// Writes the guard file atomically. Returns whether its content changed. Fails without writing if the kernel would
/// refuse `text`, because then the firewall's own rules would fail to load with it.
pub fn write(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(false);
    }
    nft::check(text).map_err(|cause| io::Error::other(cause.to_string()))?;
    // The temporary file is not named *.nft, so that a firewall that loads at this moment skips it.
    atomic_file::write(path, text.as_bytes(), 0o600).map(|()| true)
}

/// Loads the guard from the file at `path`, as the firewall does at boot.
pub fn load(path: &Path) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    nft::load(&text).map_err(|cause| io::Error::other(cause.to_string()))
}

/// Removes the guard file. Returns whether it existed.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
