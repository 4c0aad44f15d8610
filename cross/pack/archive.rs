//! Reproducible tar, gzip and ar archives: nothing in them differs from build to build.

use std::num::NonZero;
use std::path::Path;

use tar::{Builder, EntryType, Header};
use zopfli::{Format, Options};

use crate::error::{Error, Result};
use crate::tree::Tree;

/// A tar archive in the GNU format. Everything is owned by root, every path starts with `./`, and a folder comes before
/// its content.
pub fn tar(tree: &Tree, date: u32) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut append = |path: &str, kind: EntryType, mode: u32, content: &[u8]| -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(u64::from(date));
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root").and_then(|()| header.set_groupname("root")).expect("names that fit");
        // Written directly: the crate would remove the leading "./", by which opkg finds the files.
        let name = &mut header.as_old_mut().name;
        let field = name
            .get_mut(..path.len())
            .ok_or_else(|| Error::content(Path::new(path), "the path must have at most 100 bytes"))?;
        field.copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, content).expect("memory to write to");
        Ok(())
    };
    append("./", EntryType::Directory, 0o755, &[])?;
    let folders = tree.folders().into_iter().map(|path| (path, None));
    let mut entries: Vec<_> = folders.chain(tree.files().map(|(path, file)| (path, Some(file)))).collect();
    entries.sort_by_key(|(path, _)| *path);
    for (path, file) in entries {
        match file {
            None => append(&format!("./{path}/"), EntryType::Directory, 0o755, &[])?,
            Some(file) => append(&format!("./{path}"), EntryType::Regular, file.mode, &file.content)?,
        }
    }
    Ok(builder.into_inner().expect("memory to write to"))
}

/// Gzip without a name or date.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    compressed(Format::Gzip, bytes)
}

/// Raw deflate (RFC 1951).
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    compressed(Format::Deflate, bytes)
}

/// Zopfli makes files that are 4 % smaller than those of `gzip -9`. More iterations would save only hundreds of bytes.
fn compressed(format: Format, bytes: &[u8]) -> Vec<u8> {
    let options = Options { iteration_count: NonZero::new(5).expect("not zero"), ..Options::default() };
    let mut compressed = Vec::new();
    zopfli::compress(options, format, bytes, &mut compressed).expect("memory to write to");
    compressed
}

/// An ar archive as dpkg requires it (deb(5)): names of at most 15 characters.
pub fn ar(members: &[(&str, &[u8])], date: u32) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let size = content.len();
        archive.extend(format!("{name:<16}{date:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644").into_bytes());
        archive.extend(*content);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}
