//! `.ipk` packages for opkg: a compressed tar archive of `debian-binary`, `data.tar.gz` and `control.tar.gz`.

use crate::archive::{gzip, tar};
use crate::error::Result;
use crate::package::Package;
use crate::tree::Tree;

pub fn file_name(package: &Package) -> String {
    format!("{}_{}_{}.ipk", package.name, package.version, package.arch)
}

pub fn write(package: &Package, date: u32) -> Result<Vec<u8>> {
    let mut control = Tree::default();
    control.add("control", 0o644, control_fields(package, date, ""));
    if !package.conffiles.is_empty() {
        control.add("conffiles", 0o644, lines(&package.conffiles));
    }
    control.add("postinst", 0o755, script("default_postinst", "[ \"${IPKG_NO_SCRIPT}\" = 1 ] && exit 0\n"));
    control.add("prerm", 0o755, script("default_prerm", ""));
    let own = [("postinst-pkg", &package.postinst), ("prerm-pkg", &package.prerm), ("postrm", &package.postrm)];
    for (name, script) in own {
        if let Some(script) = script {
            control.add(name, 0o755, script.as_str());
        }
    }
    let mut members = Tree::default();
    members.add("debian-binary", 0o644, "2.0\n");
    members.add("data.tar.gz", 0o644, gzip(&tar(&package.tree, date)?));
    members.add("control.tar.gz", 0o644, gzip(&tar(&control, date)?));
    Ok(gzip(&tar(&members, date)?))
}

/// The fields of the `control` file. The index also has `extra` lines, each with its line break.
pub fn control_fields(package: &Package, date: u32, extra: &str) -> String {
    let Package { name, version, arch, title, description, license, maintainer, section, depends, tree, .. } = package;
    let depends = if depends.is_empty() { String::new() } else { format!("Depends: {}\n", depends.join(", ")) };
    format!(
        "Package: {name}\nVersion: {version}\n{depends}License: {license}\nSection: {section}\nSourceDateEpoch: {date}\n\
         Maintainer: {maintainer}\nArchitecture: {arch}\nInstalled-Size: {}\n{extra}Description: {title}\n {description}\n",
        tree.size()
    )
}

/// A script as in every OpenWrt package: it enables and starts, or stops, the services in /etc/init.d, and runs the
/// package's own script.
fn script(function: &str, first: &str) -> String {
    format!(
        "#!/bin/sh\n{first}[ -s \"${{IPKG_INSTROOT}}/lib/functions.sh\" ] || exit 0\n\
         . \"${{IPKG_INSTROOT}}/lib/functions.sh\"\n{function} \"$0\" \"$@\"\n"
    )
}

fn lines(paths: &[String]) -> String {
    paths.iter().map(|path| format!("{path}\n")).collect()
}
