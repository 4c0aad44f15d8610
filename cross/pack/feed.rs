//! Feeds: a folder of packages for one architecture, with the index that opkg or apk reads.

use std::fs;
use std::path::Path;

use crate::apk;
use crate::archive::gzip;
use crate::error::{Error, Result};
use crate::ipk;
use crate::package::{Package, hex, sha256};
use crate::sign::Keys;

/// Writes the packages, `Packages`, `Packages.gz` and, with a key, `Packages.sig`.
pub fn write_opkg(folder: &Path, packages: &[Package], date: u32, keys: Option<&Keys>) -> Result<()> {
    let mut index = String::new();
    for package in packages {
        let (name, bytes) = (ipk::file_name(package), ipk::write(package, date)?);
        let extra = format!("Filename: {name}\nSize: {}\nSHA256sum: {}\n", bytes.len(), hex(&sha256(&bytes)));
        index += &ipk::control_fields(package, date, &extra);
        index.push('\n');
        write(folder, &name, &bytes)?;
    }
    write(folder, "Packages", index.as_bytes())?;
    write(folder, "Packages.gz", &gzip(index.as_bytes()))?;
    match keys {
        Some(keys) => write(folder, "Packages.sig", &keys.opkg.sign(&folder.join("Packages"))?),
        None => Ok(()),
    }
}

/// Writes the packages and `packages.adb`, all signed if there is a key.
pub fn write_apk(folder: &Path, packages: &[Package], date: u32, keys: Option<&Keys>) -> Result<()> {
    let key = keys.map(|keys| &keys.apk);
    let mut written = Vec::new();
    for package in packages {
        let apk = apk::write(package, date, key)?;
        write(folder, &apk::file_name(package), &apk.bytes)?;
        written.push(apk);
    }
    write(folder, "packages.adb", &apk::index(&written, date, key)?)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(Error::io("writing", &path))
}
