//! `millpond-pack`: makes packages from the programs that `cross/build` built.
//!
//! For OpenWrt it writes one opkg feed and one apk feed per architecture, `OUT/opkg/ARCH` and `OUT/apk/ARCH`. Each has
//! `millpond`, `luci-app-millpond` with its translations if the project has LuCI pages, the collector of metrics, and an
//! index. For Debian it writes `OUT/debian`. The packages depend only on the project's files and the given date: equal
//! input makes equal bytes, except signatures.

mod adb;
mod apk;
mod archive;
mod deb;
mod error;
mod feed;
mod ipk;
mod lmo;
mod package;
mod po;
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

/// Named as the exporter's own collectors are.
const COLLECTOR: &str = "prometheus-node-exporter-ucode-millpond";

/// Make packages from built programs.
#[derive(FromArgs)]
struct Arguments {
    /// folder of the project (default: the current one)
    #[argh(option, default = "PathBuf::from(\".\")")]
    root: PathBuf,
    /// folder that contains TARGET/release/millpond for each target
    #[argh(option)]
    built: PathBuf,
    /// folder with the man pages that cross/man wrote
    #[argh(option)]
    man: PathBuf,
    /// folder to write to; its old content is deleted
    #[argh(option)]
    out: PathBuf,
    /// date of everything in the packages, seconds since 1970
    #[argh(option)]
    date: u32,
    /// folder with the feeds' private keys, opkg.pem and apk.pem; without it nothing is signed
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
    let targets = targets::read(&root.join("cross/targets"))?;
    let recipe = Recipe::read(root, "millpond")?;
    let for_all = [luci_packages(root)?, vec![collector_package(root)?]].concat();
    if arguments.out.exists() {
        fs::remove_dir_all(&arguments.out).map_err(Error::io("replacing", &arguments.out))?;
    }
    for name in &arguments.target {
        let target =
            targets.iter().find(|target| target.rust == *name).ok_or_else(|| Error::UnknownTarget(name.clone()))?;
        let program = arguments.built.join(&target.rust).join("release/millpond");
        for arch in &target.openwrt {
            let mut packages = vec![recipe.package(arch, router_tree(root, &program)?)];
            packages.extend(for_all.iter().cloned());
            feed::write_opkg(&arguments.out.join("opkg").join(arch), &packages, arguments.date, keys.as_ref())?;
            feed::write_apk(&arguments.out.join("apk").join(arch), &packages, arguments.date, keys.as_ref())?;
        }
        if let Some(arch) = &target.debian {
            deb::write(&arguments.out.join("debian"), root, &program, &arguments.man, arch, arguments.date)?;
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

/// The package of the collector for OpenWrt's prometheus-node-exporter-ucode.
fn collector_package(root: &Path) -> Result<Package> {
    let mut tree = Tree::default();
    let source = root.join("openwrt").join(COLLECTOR).join("files").join("millpond.uc");
    tree.add_file(&source, "usr/share/ucode/node-exporter/lib/millpond.uc", 0o644)?;
    Ok(Recipe::read(root, COLLECTOR)?.package("all", tree))
}

/// The package of LuCI pages and those of their translations; none if the project has no pages: an empty package would
/// be worse.
fn luci_packages(root: &Path) -> Result<Vec<Package>> {
    let sources = root.join("luci-app");
    let mut tree = Tree::default();
    for (from, to) in [("htdocs", "www"), ("root", "")] {
        if sources.join(from).is_dir() {
            tree.add_folder(&sources.join(from), to)?;
        }
    }
    if tree.is_empty() {
        return Ok(Vec::new());
    }
    let pages = Recipe::read(root, "luci-app-millpond")?.package("all", tree);
    let translations = po::packages(&sources.join("po"), &pages)?;
    Ok([vec![pages], translations].concat())
}
