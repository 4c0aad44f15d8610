//! Files that hold one key, so that the settings need not.

use std::fs::File;
use std::io::Read;

/// More than any key as text, and little enough to read whatever the path leads to.
const MAX_BYTES: u64 = 256;

/// The text of the file at `path`, or why there is none. Only a plain file is read: opening another kind might wait for ever.
pub fn read(path: &str) -> Result<String, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("not a plain file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}
