//! Key files: files with one key each, so that the settings file need not contain keys.

use super::plain_file;

/// Longer than any key as text, with white space around it.
const MAX_BYTES: usize = 256;

/// The text of the file at `path`, or the reason why it cannot be read.
pub fn read(path: &str) -> Result<String, String> {
    String::from_utf8(plain_file::read(path, MAX_BYTES)?).map_err(|error| error.to_string())
}
