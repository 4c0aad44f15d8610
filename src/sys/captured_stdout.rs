//! What a function prints on standard output.

use std::io::{self, Read, Seek};
use std::os::fd::AsFd;

use nix::unistd::dup2_stdout;

use super::memfd;

/// Calls `print` while standard output is a file in memory, and returns what it printed. `println!` cannot fail there,
/// whereas it ends the process if the reader of standard output has gone or the disk is full. Call this only in a
/// process with one thread.
pub fn captured_stdout(print: impl FnOnce()) -> io::Result<Vec<u8>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let mut file = memfd::create()?;
    dup2_stdout(&file)?;
    print();
    dup2_stdout(&stdout)?;
    file.rewind()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}
