//! Files that are written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes `bytes` the file's content and makes its folder where there is none. A new file can be read by its owner alone;
/// another keeps its mode. Meanwhile a file of that name with `.new` behind it is there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a link leads to is meant, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mode = fs::metadata(path).map_or(0o600, |found| found.permissions().mode() & 0o7777);
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    let written = options.create(true).truncate(true).write(true).mode(0o600).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = std::env::temp_dir().join(format!("millpond-whole-{}", std::process::id()));
        let path = folder.join("sub/file");
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        assert!(write(&path.join("below"), b"x").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
