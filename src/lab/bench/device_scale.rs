//! What the number of devices costs, as `tests/device_scale.rs` measures it, from `devices.json`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::lab::error::Error;

/// Reads `path`. Returns `None` if the file is absent.
pub fn device_scale(path: &Path) -> Result<Option<Value>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|error: serde_json::Error| Error::content(path, error.line(), error.to_string()))
}
