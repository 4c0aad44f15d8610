//! `.apk` packages of version 3 and the index of their feed. The slots of each object are in the order of apk-tools'
//! schemas.

use crate::adb::{self, Adb, Data, Value};
use crate::archive::deflate;
use crate::error::Result;
use crate::package::{Package, hex, sha256};
use crate::sign::ApkKey;
use crate::tree::{File, Tree};

/// The folder in a package where OpenWrt's scripts and its `apk` look for lists of files and configuration.
const LISTS_FOLDER: &str = "lib/apk/packages";

/// A package file, and its data for the index.
pub struct Apk<'a> {
    pub package: &'a Package,
    pub bytes: Vec<u8>,
    /// SHA-256 of the package's tree. A signed index authenticates the package by this digest.
    digest: [u8; 32],
}

pub fn file_name(package: &Package) -> String {
    format!("{}-{}.apk", package.name, package.version)
}

pub fn write<'a>(package: &'a Package, date: u32, key: Option<&ApkKey>) -> Result<Apk<'a>> {
    let tree = with_lists(package);
    let mut adb = Adb::new();
    // A unique identity of this build, as long as a SHA-1 digest.
    let mut identity = Vec::from(sha256(package.version.as_bytes()));
    for (path, file) in tree.files() {
        identity.extend(sha256(path.as_bytes()));
        identity.extend(sha256(&file.content));
    }
    let info = info(&mut adb, package, &tree, date, &sha256(&identity)[..20], None);
    let (folders, data) = folders(&mut adb, &tree, date);
    let scripts = scripts(&mut adb, package);
    let root = adb.object(&[info, folders, scripts]);
    let tree = adb.finish(root);
    Ok(Apk { package, digest: sha256(&tree), bytes: compressed(&adb::file(b"pckg", &tree, &data, key)?) })
}

/// The index of a feed with these packages: `packages.adb`.
pub fn index(packages: &[Apk], date: u32, key: Option<&ApkKey>) -> Result<Vec<u8>> {
    let mut adb = Adb::new();
    let mut sorted: Vec<&Apk> = packages.iter().collect();
    sorted.sort_by_key(|apk| &apk.package.name);
    let infos: Vec<Value> = sorted
        .iter()
        .map(|apk| {
            let tree = with_lists(apk.package);
            info(&mut adb, apk.package, &tree, date, &apk.digest, Some(apk.bytes.len()))
        })
        .collect();
    let infos = adb.array(&infos);
    let root = adb.object(&[Value::NULL, infos]);
    let tree = adb.finish(root);
    Ok(compressed(&adb::file(b"indx", &tree, &[], key)?))
}

fn info(adb: &mut Adb, package: &Package, tree: &Tree, date: u32, hash: &[u8], file_size: Option<usize>) -> Value {
    let depends: Vec<Value> = package
        .depends
        .iter()
        .map(|name| {
            let name = adb.blob(name.as_bytes());
            adb.object(&[name])
        })
        .collect();
    let arch = if package.arch == "all" { "noarch" } else { &package.arch };
    let slots = [
        adb.blob(package.name.as_bytes()),
        adb.blob(package.version.as_bytes()),
        adb.blob(hash),
        adb.blob(package.description.as_bytes()),
        adb.blob(arch.as_bytes()),
        adb.blob(package.license.as_bytes()),
        adb.blob(package.name.as_bytes()), // origin
        adb.blob(package.maintainer.as_bytes()),
        Value::NULL, // URL
        Value::NULL, // commit
        adb.int(u64::from(date)),
        adb.int(tree.size()),
        file_size.map_or(Value::NULL, |size| adb.int(size as u64)),
        Value::NULL, // priority among providers
        adb.array(&depends),
    ];
    adb.object(&slots)
}

/// The folders with their files, and the content of each file that is not empty.
fn folders<'a>(adb: &mut Adb, tree: &'a Tree, date: u32) -> (Value, Vec<Data<'a>>) {
    let mut data = Vec::new();
    let paths: Vec<&str> = [""].into_iter().chain(tree.folders()).collect();
    let mut values = Vec::new();
    for (folder, path) in (1..).zip(paths) {
        let mut files = Vec::new();
        for (index, (name, file)) in (1..).zip(tree.files_in(path)) {
            files.push(file_value(adb, name, file, date));
            if !file.content.is_empty() {
                data.push(([folder, index], file.content.as_slice()));
            }
        }
        let slots = [adb.blob(path.as_bytes()), permissions(adb, 0o755), adb.array(&files)];
        values.push(adb.object(&slots));
    }
    (adb.array(&values), data)
}

fn file_value(adb: &mut Adb, name: &str, file: &File, date: u32) -> Value {
    let slots = [
        adb.blob(name.as_bytes()),
        permissions(adb, file.mode),
        adb.int(file.content.len() as u64),
        adb.int(u64::from(date)),
        adb.blob(&sha256(&file.content)),
    ];
    adb.object(&slots)
}

fn permissions(adb: &mut Adb, mode: u32) -> Value {
    let slots = [adb.int(u64::from(mode)), adb.blob(b"root"), adb.blob(b"root")];
    adb.object(&slots)
}

/// Unlike opkg, apk never runs the scripts of a removal in an upgrade.
fn scripts(adb: &mut Adb, package: &Package) -> Value {
    let no_script = "[ \"${IPKG_NO_SCRIPT}\" = 1 ] && exit 0\n";
    let installed = |environment: &str| {
        script(
            package,
            &format!("{environment}{no_script}"),
            "add_group_and_user\ndefault_postinst\n",
            &package.postinst,
        )
    };
    let removed = script(package, "", "default_prerm\n", &package.prerm);
    let slots = [
        Value::NULL, // trigger
        Value::NULL, // pre-install
        adb.blob(installed("").as_bytes()),
        adb.blob(removed.as_bytes()),
        package.postrm.as_ref().map_or(Value::NULL, |script| adb.blob(script.as_bytes())), // post-deinstall
        Value::NULL,                                                                       // pre-upgrade
        adb.blob(installed("export PKG_UPGRADE=1\n").as_bytes()),
    ];
    adb.object(&slots)
}

/// A script as in every OpenWrt package: it enables and starts, or stops, the services in /etc/init.d, then runs the
/// package's own commands.
fn script(package: &Package, first: &str, call: &str, own: &Option<String>) -> String {
    let own = own.as_deref().map_or("", |script| script.strip_prefix("#!/bin/sh\n").unwrap_or(script));
    format!(
        "#!/bin/sh\n{first}[ -s \"${{IPKG_INSTROOT}}/lib/functions.sh\" ] || exit 0\n\
         . \"${{IPKG_INSTROOT}}/lib/functions.sh\"\n\
         export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{}\"\n{call}{own}",
        package.name
    )
}

/// The package's files, and the lists by which OpenWrt finds its services and its configuration.
fn with_lists(package: &Package) -> Tree {
    let mut tree = package.tree.clone();
    let list: String = package.tree.files().map(|(path, _)| format!("/{path}\n")).collect();
    tree.add(&format!("{LISTS_FOLDER}/{}.list", package.name), 0o644, list);
    if !package.conffiles.is_empty() {
        let lines: String = package.conffiles.iter().map(|path| format!("{path}\n")).collect();
        let digest = |path: &String| package.tree.file(&path[1..]).map(|file| hex(&sha256(&file.content)));
        let shipped: String =
            package.conffiles.iter().filter_map(|path| Some(format!("{path} {}\n", digest(path)?))).collect();
        tree.add(&format!("{LISTS_FOLDER}/{}.conffiles", package.name), 0o644, lines);
        tree.add(&format!("{LISTS_FOLDER}/{}.conffiles_static", package.name), 0o644, shipped);
    }
    tree
}

fn compressed(file: &[u8]) -> Vec<u8> {
    [b"ADBd".as_slice(), &deflate(file)].concat()
}
