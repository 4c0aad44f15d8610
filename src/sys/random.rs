//! The system's randomness.

use std::io;

use nix::libc;

/// Bytes for the seed of a generator; waits, early at boot, until the kernel has gathered enough.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    loop {
        // SAFETY: the pointer and length describe `seed`, which lives through the call.
        let length = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
        // Requests of up to 256 bytes are filled whole or interrupted (getrandom(2)).
        if length == seed.len() as isize {
            return Ok(seed);
        }
        let error = io::Error::last_os_error();
        if length >= 0 || error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
