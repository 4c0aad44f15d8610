//! Writes files atomically.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Waits for an exclusive advisory lock on the directory of `path`. Dropping the lock releases it.
pub fn lock(path: &Path) -> io::Result<Flock<File>> {
    let path = fs::canonicalize(path)?;
    let directory = File::open(path.parent().unwrap_or(&path))?;
    Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Replaces the content of the file at `path` atomically, through `PATH.new` beside it. Creates the directory if it is
/// missing. An existing file keeps its owner and permissions; a new one gets `mode`, and the owner of its directory:
/// under systemd the daemon is not root. A symbolic link stays a link.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let before = fs::metadata(&path).ok();
    #[cfg(feature = "endpoint")]
    let owner = path.parent().filter(|_| before.is_none()).and_then(|directory| fs::metadata(directory).ok());
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // A file that an interrupted writer left may have other permissions.
    _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let written = options.create_new(true).write(true).mode(mode).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        #[cfg(feature = "endpoint")]
        if let Some(owner) = owner {
            _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        if let Some(before) = before {
            // Only root may change the owner; other users can replace only files of their own anyway.
            _ = fchown(&file, Some(before.uid()), Some(before.gid()));
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    if written.is_err() {
        _ = fs::remove_file(&new);
    }
    written
}
