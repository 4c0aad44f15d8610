//! Reads a package's names, dependencies and scripts from its Makefile for OpenWrt's build system, so that they are in
//! one place. Understands only the parts of Make that its Makefiles use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::package::Package;
use crate::tree::Tree;

/// The package data of a Makefile.
#[derive(Debug)]
pub struct Recipe {
    path: PathBuf,
    name: String,
    version: String,
    fields: BTreeMap<String, String>,
}

impl Recipe {
    /// Reads `openwrt/NAME/Makefile`, whose version must be that of `Cargo.toml`.
    pub fn read(root: &Path, name: &str) -> Result<Recipe> {
        let path = root.join("openwrt").join(name).join("Makefile");
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let mut recipe = Recipe { name: name.to_owned(), version: String::new(), fields: fields(&text), path };
        let version = recipe.needed("PKG_VERSION")?;
        if version != env!("CARGO_PKG_VERSION") {
            let problem =
                format!("PKG_VERSION is {version}, but Cargo.toml has {}; make them equal", env!("CARGO_PKG_VERSION"));
            return Err(Error::content(&recipe.path, problem));
        }
        recipe.version = format!("{version}-r{}", recipe.needed("PKG_RELEASE")?);
        for needed in ["PKG_LICENSE", "PKG_MAINTAINER"] {
            recipe.needed(needed)?;
        }
        recipe.either("TITLE", "LUCI_TITLE")?;
        recipe.either("description", "LUCI_DESCRIPTION")?;
        recipe.either("DEPENDS", "LUCI_DEPENDS")?;
        Ok(recipe)
    }

    /// The package for one architecture, with these files.
    pub fn package(&self, arch: &str, tree: Tree) -> Package {
        let field = |name: &str| self.fields.get(name).cloned().unwrap_or_default();
        let either = |name: &str, other: &str| self.either(name, other).unwrap_or_default();
        let depends = either("DEPENDS", "LUCI_DEPENDS");
        let mut depends: Vec<String> =
            depends.split_whitespace().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
        depends.sort();
        let section = self.fields.get("SECTION").map_or("luci", String::as_str);
        Package {
            name: self.name.clone(),
            version: self.version.clone(),
            arch: arch.to_owned(),
            title: either("TITLE", "LUCI_TITLE"),
            description: either("description", "LUCI_DESCRIPTION").split_whitespace().collect::<Vec<_>>().join(" "),
            license: field("PKG_LICENSE"),
            maintainer: field("PKG_MAINTAINER"),
            section: section.to_owned(),
            depends,
            conffiles: field("conffiles").lines().map(str::to_owned).collect(),
            postinst: self.fields.get("postinst").cloned(),
            prerm: self.fields.get("prerm").cloned(),
            postrm: self.fields.get("postrm").cloned(),
            tree,
        }
    }

    fn needed(&self, name: &str) -> Result<&str> {
        let missing = || Error::content(&self.path, format!("{name} has no value; add one"));
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or_else(missing)
    }

    /// The value of `name`, or else of `other`, LuCI's name for it.
    fn either(&self, name: &str, other: &str) -> Result<String> {
        self.needed(name).or_else(|_| self.needed(other)).map(str::to_owned)
    }
}

/// The values of variables by name, and the bodies of `define Package/NAME/PART` by PART, with Make's `$$` as `$`.
fn fields(makefile: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut lines = makefile.lines();
    while let Some(line) = lines.next() {
        let part = line.strip_prefix("define ").map(|name| name.splitn(3, '/').nth(2).unwrap_or_default());
        // The block `define Package/NAME` contains variables, like the file itself.
        if let Some(part) = part.filter(|part| !part.is_empty() || !line.starts_with("define Package/")) {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "endef").collect();
            fields.insert(part.to_owned(), body.join("\n").replace("$$", "$") + "\n");
        } else if let Some((name, value)) = line.split_once(":=") {
            fields.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_makefile_are_its_variables_and_package_parts() {
        let makefile = "A:=1\ndefine Package/x\n  TITLE:=Two words\nendef\ndefine Build/Prepare\n\tcp A:=2\nendef\n\
                        define Package/x/prerm\n[ $${A} ]\nexit\nendef\nB:= 3\n";
        let fields = fields(makefile);
        assert_eq!(fields["A"], "1");
        assert_eq!(fields["B"], "3");
        assert_eq!(fields["TITLE"], "Two words");
        assert_eq!(fields["prerm"], "[ ${A} ]\nexit\n");
    }

    #[test]
    fn the_projects_makefiles_are_complete() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let package = Recipe::read(root, "millpond").expect("a recipe").package("mipsel_24kc", Tree::default());
        assert!(package.depends.contains(&"kmod-wireguard".to_owned()), "{:?}", package.depends);
        assert_eq!(package.conffiles, ["/etc/config/millpond"]);
        assert!(package.prerm.is_some_and(|script| script.contains("PKG_UPGRADE")));
        let pages = Recipe::read(root, "luci-app-millpond").expect("a recipe").package("all", Tree::default());
        assert_eq!(pages.depends, ["luci-base", "millpond", "wireguard-tools"]);
        assert_eq!((pages.conffiles.len(), pages.postinst, pages.prerm), (0, None, None));
        // rpcd would serve the pages' object after the removal.
        assert!(pages.postrm.is_some_and(|script| script.contains("rpcd reload")));
        let collector = "prometheus-node-exporter-ucode-millpond";
        let collector = Recipe::read(root, collector).expect("a recipe").package("all", Tree::default());
        assert_eq!(collector.depends, ["millpond", "prometheus-node-exporter-ucode"]);
        assert!(collector.postinst.is_some_and(|script| script.contains("restart")));
    }
}
