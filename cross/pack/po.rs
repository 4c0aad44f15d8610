//! Reads translations in gettext's format, as far as `luci-app/po` uses it, and makes LuCI's language packages.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::lmo;
use crate::package::Package;
use crate::tree::Tree;

/// The file in each language's folder.
const FILE: &str = "millpond.po";
/// Folder of each language, LuCI's code for it and its name in LuCI's list of languages (LUCI_LC_ALIAS and LUCI_LANG in
/// its luci.mk).
const LANGUAGES: [(&str, &str, &str); 5] = [
    ("de", "de", "Deutsch (German)"),
    ("es", "es", "Español (Spanish)"),
    ("fr", "fr", "Français (French)"),
    ("pt_BR", "pt-br", "Português do Brasil (Brazilian Portuguese)"),
    ("zh_Hans", "zh-cn", "简体中文 (Chinese Simplified)"),
];

/// A translation.
#[derive(Debug, Default)]
pub struct Translation {
    header: String,
    /// The texts, without the header.
    pub messages: Vec<Message>,
}

/// A text and its translation.
#[derive(Debug, Default)]
pub struct Message {
    /// The text, for one item if there is a plural.
    pub id: String,
    /// The text for other numbers of items.
    pub plural: Option<String>,
    /// The translation, or one for each plural form of the language; empty if it is missing.
    pub texts: Vec<String>,
}

impl Translation {
    /// The value of a line of the header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Parses the text of a translation. The error names the line.
pub fn parse(text: &str) -> std::result::Result<Translation, String> {
    let mut messages: Vec<Message> = Vec::new();
    let mut keyword = String::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        let problem = |problem: &str| format!("line {}: {problem}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let start = line.find('"').ok_or_else(|| problem("a quoted text is missing"))?;
        let value = unquote(&line[start..]).ok_or_else(|| problem("the quotation is wrong"))?;
        // A line with a text only continues the text before it.
        let begins = start > 0;
        if begins {
            keyword = line[..start].trim_end().to_owned();
        }
        if begins && keyword == "msgid" {
            messages.push(Message::default());
        }
        let message = messages.last_mut().ok_or_else(|| problem("msgid must come first"))?;
        let next = message.texts.len();
        match keyword.as_str() {
            "msgid" => message.id.push_str(&value),
            "msgid_plural" => message.plural.get_or_insert_default().push_str(&value),
            name if begins && (name == "msgstr" || *name == format!("msgstr[{next}]")) => message.texts.push(value),
            name if !begins && name.starts_with("msgstr") && next > 0 => message.texts[next - 1].push_str(&value),
            _ => return Err(problem("expected msgid, msgid_plural, msgstr or msgstr[N] in ascending order")),
        }
    }
    if messages.first().is_none_or(|message| !message.id.is_empty()) {
        return Err("the header (msgid \"\") is missing".to_owned());
    }
    let header = messages.remove(0).texts.concat();
    Ok(Translation { header, messages })
}

fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next()? {
                'n' => '\n',
                letter @ ('"' | '\\') => letter,
                _ => return None,
            },
            '"' => return None,
            letter => letter,
        });
    }
    Some(text)
}

/// The languages in the folder `po`, sorted: its folders with a translation.
pub fn languages(po: &Path) -> Result<Vec<String>> {
    if !po.is_dir() {
        return Ok(Vec::new());
    }
    let mut languages = Vec::new();
    for entry in fs::read_dir(po).map_err(Error::io("reading", po))? {
        let path = entry.map_err(Error::io("reading", po))?.path();
        if path.join(FILE).is_file() {
            languages.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    languages.sort();
    Ok(languages)
}

/// Makes the package of every language in the folder `po`, for the pages in the package `pages`, as LuCI's luci.mk does.
pub fn packages(po: &Path, pages: &Package) -> Result<Vec<Package>> {
    let package = |language: String| {
        let path = po.join(&language).join(FILE);
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let translation = parse(&text).map_err(|problem| Error::content(&path, problem))?;
        let known = LANGUAGES.iter().find(|(folder, ..)| *folder == language);
        let (_, code, title) = known
            .ok_or_else(|| Error::content(&path, "an unknown language; add it to LANGUAGES in cross/pack/po.rs"))?;
        let name = format!("luci-i18n-millpond-{code}");
        let defaults = format!("uci set luci.languages.{}='{title}'; uci commit luci\n", code.replace('-', "_"));
        let mut tree = Tree::default();
        tree.add(&format!("etc/uci-defaults/{name}"), 0o644, defaults);
        tree.add(&format!("usr/lib/lua/luci/i18n/millpond.{code}.lmo"), 0o644, lmo::write(&translation));
        Ok(Package {
            title: format!("{} - {code} translation", pages.name),
            description: format!("Translation of millpond's pages in LuCI: {title}"),
            depends: vec![pages.name.clone()],
            name,
            tree,
            ..pages.clone()
        })
    };
    languages(po)?.into_iter().map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn wrong_translations_are_refused_by_line() {
        for (text, expected) in [
            ("msgid \"a\"\nmsgstr \"b\"\n", "header"),
            ("\"a\"\n", "line 1"),
            ("msgid \"\"\nmsgstr \"\"\nmsgid \"a\nmsgstr \"b\"\n", "line 3"),
            ("msgid \"\"\nmsgstr \"\"\n\nmsgid \"a\"\nmsgstr[1] \"b\"\n", "line 5"),
            ("msgid \"\"\nmsgstr \"\"\nmsgctxt \"c\"\n", "line 3"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let text = "# c\nmsgid \"\"\nmsgstr \"\"\n\"A: b\\n\"\n\nmsgid \"x \\\"y\\\"\"\nmsgid_plural \"z\"\nmsgstr[0] \"p\"\n\
                    msgstr[1] \"q\"\n";
        let translation = parse(text).unwrap();
        assert_eq!((translation.header("A"), translation.header("B")), (Some("b"), None));
        let message = &translation.messages[0];
        assert_eq!((message.id.as_str(), message.plural.as_deref(), message.texts.len()), ("x \"y\"", Some("z"), 2));
    }

    #[test]
    fn each_language_of_the_project_has_a_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = Recipe::read(root, "luci-app-millpond").unwrap().package("all", Tree::default());
        let packages = packages(&root.join("luci-app/po"), &pages).unwrap();
        let codes: Vec<&str> =
            packages.iter().map(|package| package.name.strip_prefix("luci-i18n-millpond-").unwrap()).collect();
        assert_eq!(codes, ["de", "es", "fr", "pt-br", "zh-cn"]);
        for (package, code) in packages.iter().zip(codes) {
            assert_eq!((package.arch.as_str(), package.depends.as_slice()), ("all", &[pages.name.clone()][..]));
            assert_eq!(package.version, pages.version);
            assert!(package.tree.file(&format!("usr/lib/lua/luci/i18n/millpond.{code}.lmo")).is_some());
            let defaults = &package.tree.file(&format!("etc/uci-defaults/{}", package.name)).unwrap().content;
            let key = format!("uci set luci.languages.{}='", code.replace('-', "_"));
            assert!(String::from_utf8_lossy(defaults).starts_with(&key));
        }
    }
}
