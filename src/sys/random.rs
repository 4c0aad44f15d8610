//! The kernel's random number generator.

use std::io;

/// Random bytes to seed a generator. Early at boot this waits until the kernel's generator is initialised.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    loop {
        // SAFETY: the pointer and length describe `seed`, which lives through the call.
        let length = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
        // A request of up to 256 bytes is filled completely or interrupted (getrandom(2)).
        if length == seed.len() as isize {
            return Ok(seed);
        }
        let error = io::Error::last_os_error();
        if length >= 0 || error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
