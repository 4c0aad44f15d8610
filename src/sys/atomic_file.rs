//! Files that are written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Waits until nobody else changes files of `path`'s folder, as far as they ask, until the lock is dropped.
pub fn lock(path: &Path) -> io::Result<Flock<File>> {
    let path = fs::canonicalize(path)?;
    let folder = File::open(path.parent().unwrap_or(&path))?;
    Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Makes `bytes` the content of the file at `path`, through a file beside it, `PATH.new`, and makes its folder where that
/// is missing. `mode` is for a file that is new; one that is there keeps its owner and rights. A link stays one.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let before = fs::metadata(&path).ok();
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // One that an interrupted writer left may have other rights.
    _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let written = options.create_new(true).write(true).mode(mode).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Some(before) = before {
            // Only root may give a file away; nobody else finds one of another's that it may replace.
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
