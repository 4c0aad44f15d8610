//! Which file uses which other file's items, by the paths in the code. A `pub use` is looked through: the file that
//! defines an item counts, not the module that shows it. The declaration `mod child;` is no use of the child.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::rust_source::{is_word, top_level_parts, words};

/// The files of a crate by their module paths: `plan/op.rs` is `["plan", "op"]`.
pub struct ModuleGraph {
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: PathBuf,
    /// Names of the items that the file defines.
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// All other paths, with two segments or more.
    paths: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
}

/// A name that a `use` brings into scope.
struct Import {
    /// The name, `*` for a glob.
    name: String,
    path: Vec<String>,
    /// Whether it is a `pub use`, which alone only shows the item to others.
    is_shown: bool,
}

/// The files that a file uses, with the names that it takes from them.
pub type Uses = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

impl ModuleGraph {
    /// The graph of these files, given by path under src and code without comments, strings and tests.
    pub fn new(files: &[(PathBuf, String)]) -> ModuleGraph {
        let module = |(file, code): &(PathBuf, String)| {
            let (imports, rest) = imports(code);
            let module = Module {
                file: file.clone(),
                items: code.lines().filter_map(item).map(str::to_owned).collect(),
                imports,
                paths: paths(&rest),
                words: words(&rest).map(str::to_owned).collect(),
            };
            (module_path(file), module)
        };
        ModuleGraph { modules: files.iter().map(module).collect() }
    }

    /// Who uses whom.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (at, module) in &self.modules {
            let is_used = |import: &&Import| !import.is_shown || module.words.contains(&import.name);
            let imported = module.imports.iter().filter(is_used).map(|import| &import.path);
            let paths = imported.chain(&module.paths);
            let mut used: Vec<_> = paths.filter_map(|path| self.definition(at, path, 0)).collect();
            for glob in module.imports.iter().filter(|import| import.name == "*" && !import.is_shown) {
                let Some(shown) = self.absolute(at, &glob.path[..glob.path.len() - 1]) else { continue };
                let found = |word: &String| self.find(&shown, std::slice::from_ref(word), 0);
                used.extend(module.words.iter().filter_map(found));
            }
            let of_file = uses.entry(module.file.clone()).or_default();
            for (file, name) in used.into_iter().filter(|(file, _)| *file != module.file) {
                of_file.entry(file.to_path_buf()).or_default().insert(name);
            }
        }
        uses
    }

    /// The file and name of the item that `path` names in the module `at`; `None` for a module or another crate's item.
    fn definition(&self, at: &[String], path: &[String], depth: usize) -> Option<(&Path, String)> {
        let absolute = self.absolute(at, path);
        match absolute {
            Some(absolute) => self.find(&[], &absolute, depth),
            // The first name is in scope through `use`.
            None => self.find(at, path, depth),
        }
    }

    /// `path` from the root, if it starts at the root, at `at`, above it, or with a submodule of it.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = at.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [at, &[first.to_owned()]].concat();
                self.modules.get(&child)?;
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// Looks for the item that `path` names, seen from the module `base`.
    fn find(&self, base: &[String], path: &[String], depth: usize) -> Option<(&Path, String)> {
        let mut at = base.to_vec();
        let mut rest = path;
        while let [first, more @ ..] = rest {
            at.push(first.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
            rest = more;
        }
        let (module, name) = (self.modules.get(&at)?, rest.first()?);
        if module.items.contains(name) {
            return Some((&module.file, name.clone()));
        }
        // Imports that lead back to themselves end here.
        if depth > 8 {
            return None;
        }
        let named = module.imports.iter().find(|import| import.name == *name);
        let target = named.map(|import| [&import.path, &rest[1..]].concat());
        let globs = module.imports.iter().filter(|import| import.name == "*");
        let shown = globs.map(|glob| [&glob.path[..glob.path.len() - 1], rest].concat());
        target.into_iter().chain(shown).find_map(|path| match path == rest {
            true => None,
            false => self.definition(&at, &path, depth + 1),
        })
    }
}

/// The groups of files that all use each other, directly or through others of the group.
pub fn cycles(uses: &Uses) -> Vec<Vec<PathBuf>> {
    let reached = |from: &PathBuf| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(
                uses.get(file).into_iter().flat_map(BTreeMap::keys).filter(|next| seen.insert((*next).clone())),
            );
        }
        seen
    };
    let reached: BTreeMap<&PathBuf, _> = uses.keys().map(|file| (file, reached(file))).collect();
    let group = |file: &PathBuf| -> Vec<PathBuf> {
        reached[file]
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(file)))
            .cloned()
            .collect()
    };
    let groups: BTreeSet<Vec<PathBuf>> = uses.keys().map(group).filter(|group| group.len() > 1).collect();
    groups.into_iter().collect()
}

fn module_path(file: &Path) -> Vec<String> {
    let parts: Vec<String> = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts == ["lib"] { Vec::new() } else { parts }
}

/// The name of the item that a line defines, if it starts a top-level one.
fn item(line: &str) -> Option<&str> {
    let mut words = words(line);
    if line.starts_with(|c: char| !c.is_alphabetic()) {
        return None;
    }
    let kinds = ["fn", "struct", "enum", "trait", "type", "static", "const", "union", "macro_rules"];
    while let Some(word) = words.next() {
        match word {
            "pub" | "crate" | "super" | "in" | "self" | "unsafe" | "async" | "extern" => {}
            "const" => return words.find(|next| !["fn", "unsafe"].contains(next)),
            word if kinds.contains(&word) => return words.next(),
            // The path of `pub(in path)`.
            _ if line.starts_with("pub(in") => {}
            _ => return None,
        }
    }
    None
}

/// The imports of the `use` declarations, and the code without these declarations.
fn imports(code: &str) -> (Vec<Import>, String) {
    let (mut imports, mut rest, mut lines) = (Vec::new(), String::new(), code.lines());
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let visible = start.strip_prefix("pub(").and_then(|after| after.split_once(')')).map(|(_, rest)| rest);
        let visible = visible.or_else(|| start.strip_prefix("pub "));
        let Some(tree) = visible.unwrap_or(start).trim_start().strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().unwrap_or(";"));
        }
        expand(&[], tree.split(';').next().unwrap_or_default(), visible.is_some(), &mut imports);
    }
    (imports, rest)
}

fn expand(prefix: &[String], tree: &str, is_shown: bool, imports: &mut Vec<Import>) {
    if let Some((head, group)) = tree.split_once('{') {
        let prefix: Vec<String> = prefix.iter().cloned().chain(segments(head)).collect();
        let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
        top_level_parts(group).into_iter().for_each(|part| expand(&prefix, part, is_shown, imports));
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path: Vec<String> = prefix.iter().cloned().chain(segments(path)).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map(str::to_owned).or_else(|| path.last().cloned()).unwrap_or_default();
    imports.push(Import { name, path, is_shown });
}

/// The paths of two segments or more in the code.
fn paths(code: &str) -> BTreeSet<Vec<String>> {
    let is_path = |c: char| is_word(c) || c == ':';
    let tokens = code.split(|c| !is_path(c)).filter(|token| token.contains("::"));
    tokens.map(|token| segments(token).collect()).collect()
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty())
}
