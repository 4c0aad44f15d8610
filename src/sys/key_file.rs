//! Key files: files with one key each, so that the settings file need not contain keys.

use std::fs::File;
use std::io::Read;

/// Longer than any key as text, and small enough to read from any file.
const MAX_BYTES: u64 = 256;

/// The text of the file at `path`, or the reason why it cannot be read. Reads only regular files: opening another kind
/// might block forever.
pub fn read(path: &str) -> Result<String, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}
