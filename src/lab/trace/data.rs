//! The data folder with real captures, and its list of devices.

use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::capture::Mac;
use crate::lab::error::Error;

/// The default data folder, relative to the project's root; `MILLPOND_DATA` overrides it.
const DEFAULT_DATA_FOLDER: &str = "../shared/data";

/// A folder with captures and a `devices.csv`.
#[derive(Clone, Debug)]
pub struct DataFolder {
    root: PathBuf,
}

/// A device of `devices.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// Name of the device.
    pub name: String,
    /// Ethernet address of the device in the captures.
    pub mac: Mac,
    /// The existing captures, sorted by name.
    pub captures: Vec<PathBuf>,
}

impl DataFolder {
    /// The folder of `MILLPOND_DATA`, or else `../shared/data`; `None` without a `devices.csv` in it. Setting
    /// `MILLPOND_DATA` to a folder without `devices.csv` thus selects synthetic traces.
    pub fn find() -> Option<DataFolder> {
        let root = std::env::var_os("MILLPOND_DATA").map_or_else(|| PathBuf::from(DEFAULT_DATA_FOLDER), PathBuf::from);
        DataFolder::at(root)
    }

    /// The folder at `root`; `None` if it has no `devices.csv`.
    pub fn at(root: PathBuf) -> Option<DataFolder> {
        root.join("devices.csv").is_file().then_some(DataFolder { root })
    }

    /// Path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The devices in the order of the file.
    pub fn devices(&self) -> Result<Vec<KnownDevice>, Error> {
        let path = self.root.join("devices.csv");
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let mut devices = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let mut fields = line.split(',').map(str::trim);
            let (Some(name), Some(mac), Some(pattern)) = (fields.next(), fields.next(), fields.next()) else {
                return Err(Error::content(&path, index + 1, "expected device,mac,captures"));
            };
            let mac = mac.parse().map_err(|problem: String| Error::content(&path, index + 1, problem))?;
            devices.push(KnownDevice { name: name.to_owned(), mac, captures: self.matching(pattern)? });
        }
        Ok(devices)
    }

    /// The existing files in the folder that match a pattern, whose path components may contain `*`.
    pub fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, Error> {
        let mut found = vec![self.root.clone()];
        for component in pattern.split('/') {
            let mut next = Vec::new();
            for folder in found.iter().filter(|path| path.is_dir()) {
                if !component.contains('*') {
                    next.push(folder.join(component));
                    continue;
                }
                for entry in fs::read_dir(folder).map_err(Error::io("listing", folder))? {
                    let entry = entry.map_err(Error::io("listing", folder))?;
                    if matches(component.as_bytes(), entry.file_name().as_encoded_bytes()) {
                        next.push(entry.path());
                    }
                }
            }
            next.retain(|path| path.exists());
            next.sort();
            found = next;
        }
        Ok(found)
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
        Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}
