//! Files that exist only in memory (memfd_create(2)).

use std::fs::File;
use std::io;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Creates an empty file, which disappears when its last descriptor is closed.
pub fn create() -> io::Result<File> {
    Ok(memfd_create(c"millpond", MFdFlags::MFD_CLOEXEC)?.into())
}
