//! The files of a package, sorted and independent of the build machine: without owner, date and umask.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Error, Result};

/// A file's permission bits and content.
#[derive(Clone, Debug)]
pub struct File {
    pub mode: u32,
    pub content: Vec<u8>,
}

/// Files by their path on the router, relative to its root.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
    empty_folders: BTreeSet<String>,
}

impl Tree {
    /// Adds everything under `folder` at `prefix` on the router. Files that git marks executable get mode 0755, UCI
    /// configuration 0600 because it may contain keys, and everything else 0644.
    pub fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).map_err(Error::io("reading", folder))?;
        for entry in entries {
            let path = entry.map_err(Error::io("reading", folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| Error::content(&path, "the file name is not UTF-8"))?;
            let to = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let metadata = fs::symlink_metadata(&path).map_err(Error::io("reading", &path))?;
            if metadata.is_dir() {
                self.add_folder(&path, &to)?;
            } else if metadata.is_file() {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                let mode = match () {
                    () if executable => 0o755,
                    () if to.starts_with("etc/config/") => 0o600,
                    () => 0o644,
                };
                self.add_file(&path, &to, mode)?;
            } else {
                return Err(Error::content(&path, "only files and folders can be packaged"));
            }
        }
        Ok(())
    }

    /// Adds the file `from` at the path `to`.
    pub fn add_file(&mut self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let content = fs::read(from).map_err(Error::io("reading", from))?;
        self.add(to, mode, content);
        Ok(())
    }

    /// Adds a file with this content.
    pub fn add(&mut self, to: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.files.insert(to.to_owned(), File { mode, content: content.into() });
    }

    /// Adds an empty folder, for files that a program writes later.
    pub fn add_empty_folder(&mut self, path: &str) {
        self.empty_folders.insert(path.to_owned());
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// All folders except the root, by path, each after its parent.
    pub fn folders<'a>(&'a self) -> BTreeSet<&'a str> {
        let parents = |path: &'a String| path.match_indices('/').map(|(at, _)| &path[..at]);
        let empty = self.empty_folders.iter();
        self.files.keys().chain(empty.clone()).flat_map(parents).chain(empty.map(String::as_str)).collect()
    }

    /// The names and files directly in `folder` (the empty string is the root), by name.
    pub fn files_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.files().filter_map(move |(path, file)| {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            (parent == folder).then_some((name, file))
        })
    }

    /// Total bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.values().map(|file| file.content.len() as u64).sum()
    }
}
