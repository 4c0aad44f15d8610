//! The `.deb` package for both roles (deb(5)): the program, its man pages, its systemd units and template settings.

use std::fs;
use std::path::Path;

use crate::archive::{ar, gzip, tar};
use crate::error::{Error, Result};
use crate::tree::Tree;

/// The package's sources except the program: `root` has the files as installed, `control` has dpkg's control files.
const SOURCES: &str = "cross/debian";

/// Writes `millpond_VERSION_ARCH.deb` into `folder`. `man` is the folder that `cross/man` wrote to.
pub fn write(folder: &Path, root: &Path, program: &Path, man: &Path, arch: &str, date: u32) -> Result<()> {
    let sources = root.join(SOURCES);
    let mut data = Tree::default();
    data.add_folder(&sources.join("root"), "")?;
    data.add_file(program, "usr/bin/millpond", 0o755)?;
    for example in ["endpoint.example", "client.ovpn.example", "server.ovpn.example"] {
        let file = root.join("files/etc/millpond").join(example);
        data.add_file(&file, &format!("usr/share/doc/millpond/{example}"), 0o644)?;
    }
    data.add_file(&root.join("README.md"), "usr/share/doc/millpond/README.md", 0o644)?;
    for section in ["1", "5"] {
        let path = man.join(format!("millpond.{section}"));
        let page = fs::read(&path).map_err(Error::io("reading", &path))?;
        data.add(&format!("usr/share/man/man{section}/millpond.{section}.gz"), 0o644, gzip(&page));
    }
    // The daemon cannot create this folder: its systemd unit makes the rest of /etc read-only.
    data.add_empty_folder("etc/millpond");
    let version = concat!(env!("CARGO_PKG_VERSION"), "-1");
    let mut control = Tree::default();
    control.add_folder(&sources.join("control"), "")?;
    let path = sources.join("control/control");
    let fields = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    let kilobytes = data.size().div_ceil(1024);
    control.add(
        "control",
        0o644,
        fields.replace("@VERSION@", version).replace("@ARCH@", arch).replace("@SIZE@", &kilobytes.to_string()),
    );
    let members: [(&str, &[u8]); 3] = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &gzip(&tar(&control, date)?)),
        ("data.tar.gz", &gzip(&tar(&data, date)?)),
    ];
    fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let path = folder.join(format!("millpond_{version}_{arch}.deb"));
    fs::write(&path, ar(&members, date)).map_err(Error::io("writing", &path))
}
