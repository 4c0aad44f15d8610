//! Files that are nowhere but in memory.

use std::fs::File;
use std::io;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// An empty file that is gone once nobody has it open.
pub fn create() -> io::Result<File> {
    Ok(memfd_create(c"millpond", MFdFlags::MFD_CLOEXEC)?.into())
}
