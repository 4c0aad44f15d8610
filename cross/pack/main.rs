//! `millpond-pack`: makes packages of programs that `cross/build` built.
//!
//! For OpenWrt it writes one feed for opkg and one for apk per architecture, `OUT/opkg/ARCH` and `OUT/apk/ARCH`, each
//! with `millpond`, with `luci-app-millpond` if the project has it, and with an index; for Debian `OUT/debian`. What is
//! in a package depends on the project's files and the date given alone: the same input makes the same bytes, signatures
//! apart.

mod adb;
mod apk;
mod archive;
mod deb;
mod error;
mod feed;
mod ipk;
mod package;
mod recipe;
mod sign;
mod targets;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;

use self::error::{Error, Result};
use self::package::Package;
use self::recipe::Recipe;
use self::sign::Keys;
use self::tree::Tree;

/// Make packages of built programs.
#[derive(FromArgs)]
struct Arguments {
    /// folder of the project (default: here)
    #[argh(option, default = "PathBuf::from(\".\")")]
    root: PathBuf,
    /// folder that holds TARGET/release/millpond for each target
    #[argh(option)]
    built: PathBuf,
    /// folder to write to; what it holds is replaced
    #[argh(option)]
    out: PathBuf,
    /// date of everything in the packages, seconds since 1970
    #[argh(option)]
    date: u32,
    /// folder with the feeds' private keys, opkg.pem and apk.pem; without, nothing is signed
    #[argh(option)]
    keys: Option<PathBuf>,
    /// targets, as in cross/targets
    #[argh(positional)]
    target: Vec<String>,
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millpond-pack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let root = arguments.root.as_path();
    let keys = arguments.keys.as_deref().map(Keys::in_folder).transpose()?;
    let known = targets::read(&root.join("cross/targets"))?;
    let router = Recipe::read(root, "millpond")?;
    let pages = luci_app(root)?;
    if arguments.out.exists() {
        fs::remove_dir_all(&arguments.out).map_err(Error::io("replacing", &arguments.out))?;
    }
    for name in &arguments.target {
        let target =
            known.iter().find(|target| target.rust == *name).ok_or_else(|| Error::UnknownTarget(name.clone()))?;
        let program = arguments.built.join(&target.rust).join("release/millpond");
        for arch in &target.openwrt {
            let mut packages = vec![router.package(arch, router_tree(root, &program)?)];
            packages.extend(pages.clone());
            feed::write_opkg(&arguments.out.join("opkg").join(arch), &packages, arguments.date, keys.as_ref())?;
            feed::write_apk(&arguments.out.join("apk").join(arch), &packages, arguments.date, keys.as_ref())?;
        }
        if let Some(arch) = &target.debian {
            deb::write(&arguments.out.join("debian"), root, &program, arch, arguments.date)?;
        }
    }
    Ok(())
}

fn router_tree(root: &Path, program: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.add_folder(&root.join("files"), "")?;
    tree.add_file(program, "usr/bin/millpond", 0o755)?;
    Ok(tree)
}

/// The pages for LuCI, if the project has any: a package with nothing in it would be worse than none.
fn luci_app(root: &Path) -> Result<Option<Package>> {
    let sources = root.join("luci-app");
    let mut tree = Tree::default();
    for (from, to) in [("htdocs", "www"), ("root", "")] {
        if sources.join(from).is_dir() {
            tree.add_folder(&sources.join(from), to)?;
        }
    }
    if tree.is_empty() {
        return Ok(None);
    }
    Ok(Some(Recipe::read(root, "luci-app-millpond")?.package("all", tree)))
}
