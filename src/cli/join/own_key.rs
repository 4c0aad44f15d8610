//! The router's own key, which may exist before the rest of the settings.

use std::fs;
use std::path::Path;

use crate::cli::exit::{CONFIG, Failure, IO_ERROR, OS_ERROR};
use crate::config::edit::{Document, Setting};
use crate::config::model::Key;
use crate::config::uci;
use crate::sys::{atomic_file, key_file, random};

/// Name of the key's file in the key folder.
pub(super) const FILE: &str = "router.private";

/// The tunnel's private key and the value of its option, which is the key itself or the path of a file.
pub(super) fn find(settings: &[u8]) -> Option<(String, Key)> {
    find_option(settings, "private_key")
}

/// Like [`find`], for any option with a private key.
pub(super) fn find_option(settings: &[u8], name: &str) -> Option<(String, Key)> {
    let (sections, _) = uci::parse(settings);
    let text = option(&sections, name)?.to_owned();
    // A key may begin with a slash, like a path.
    let key = match Key::from_base64(&text) {
        Some(key) => key,
        None if text.starts_with('/') => Key::from_base64(key_file::read(&text).ok()?.trim_end())?,
        None => return None,
    };
    Some((text, key))
}

fn option<'a>(sections: &'a [uci::Section], name: &str) -> Option<&'a str> {
    let tunnel = sections.iter().find(|section| section.kind == "tunnel")?;
    let option = tunnel.options.iter().find(|option| option.name == name)?;
    option.values.last().map(|value| value.text.as_str()).filter(|text| !text.is_empty())
}

/// Returns the router's public key. Creates the key in a file of the folder `keys` if the settings have none.
pub(super) fn find_or_create(config: &Path, keys: &Path) -> Result<Key, Failure> {
    let io = |what: &str, path: &Path, error| Failure::new(IO_ERROR, format!("{what} {}: {error}", path.display()));
    let settings = fs::read(config).map_err(|error| io("reading the settings", config, error))?;
    if let Some((_, key)) = find(&settings) {
        return Ok(key.public());
    }
    let config_name = config.display();
    if option(&uci::parse(&settings).0, "private_key").is_some() {
        let text = format!(
            "reading tunnel.private_key in {config_name}: neither a key nor a file with one: correct or remove it"
        );
        return Err(Failure::new(CONFIG, text));
    }
    let mut document = Document::new(&settings).map_err(|error| {
        Failure::new(CONFIG, format!("changing the settings {config_name}: line {}: {}", error.line, error.text))
    })?;
    let key = generate()?;
    let file = keys.join(FILE);
    atomic_file::write(&file, (key.to_base64() + "\n").as_bytes(), 0o600)
        .map_err(|error| io("writing", &file, error))?;
    document.set("tunnel", "tunnel", "private_key", &Setting::Text(file.display().to_string()));
    atomic_file::write(config, document.text().as_bytes(), 0o600).map_err(|error| io("writing", config, error))?;
    Ok(key.public())
}

/// Generates a private key.
pub(super) fn generate() -> Result<Key, Failure> {
    let random = random::seed()
        .map_err(|error| Failure::new(OS_ERROR, format!("creating a key: reading random bytes: {error}")))?;
    Ok(Key::private(random))
}
