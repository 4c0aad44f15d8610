//! The endpoint's settings file, opened to be changed: whole or not at all, and only to something that is right.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use crate::cli::client::{Answer, DaemonAddress, ask};
use crate::cli::exit::{CONFIG, Failure, IO_ERROR};
use crate::config::address_pool::AddressPool;
use crate::config::edit::Document;
use crate::config::model::{Home, Key, Role, Settings, Tunnel, Wireguard};
use crate::config::{Severity, parse_with};
use crate::daemon::request::Request;
use crate::sys::{atomic_file, key_file};

/// An endpoint's settings.
pub(super) struct EndpointConfig {
    path: PathBuf,
    /// The file before any change.
    before: Vec<u8>,
    /// The file as it is to be.
    pub document: Document,
    /// What the file said before.
    pub settings: Settings,
    /// Two who change it at once would undo each other's work.
    _lock: Flock<File>,
}

impl EndpointConfig {
    /// Opens the settings of an endpoint over WireGuard that has been set up.
    pub fn open(path: &Path) -> Result<EndpointConfig, Failure> {
        let lock = atomic_file::lock(path)
            .map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {}: {error}", path.display())))?;
        let before = read(path)?;
        let settings = parse(path, &before)?;
        let book =
            EndpointConfig { path: path.into(), document: document(path, &before)?, before, settings, _lock: lock };
        if book.settings.role != Role::Endpoint || book.settings.tunnel.is_none() {
            let text = format!(
                "reading {}: not an endpoint's settings: begin with 'millpond endpoint init --host NAME'",
                path.display()
            );
            return Err(Failure::new(CONFIG, text));
        }
        book.wireguard()?;
        Ok(book)
    }

    /// The tunnel, which has to be our own.
    pub fn wireguard(&self) -> Result<&Wireguard, Failure> {
        match &self.settings.tunnel {
            Some(Tunnel::Wireguard(wireguard)) => Ok(wireguard),
            _ => {
                let text = format!(
                    "reading {}: homes are added by hand where the tunnel's type is not 'wireguard'",
                    self.path.display()
                );
                Err(Failure::new(CONFIG, text))
            }
        }
    }

    /// The addresses for homes.
    pub fn pool(&self) -> Option<AddressPool> {
        AddressPool::of(self.document.text().as_bytes())
    }

    /// The home of that name, and its place among the homes.
    pub fn home(&self, name: &str) -> Result<(usize, &Home), Failure> {
        let found = self.settings.homes.iter().enumerate().find(|(_, home)| home.name == name);
        found.ok_or_else(|| {
            let text = format!(
                "looking for the home '{name}' in {}: there is none: 'millpond endpoint list-homes' names them",
                self.path.display()
            );
            Failure::new(CONFIG, text)
        })
    }

    /// Writes the changed file, and has a running daemon take it. Where the daemon does not, the file is as before.
    pub fn save(&self, ways: &DaemonAddress) -> Result<(), Failure> {
        let text = self.document.text().as_bytes();
        parse(&self.path, text)?;
        write(&self.path, text)?;
        match ask(ways, Request::Reload) {
            Ok(Answer::Given(_)) => Ok(()),
            Ok(Answer::Refused(why)) => {
                write(&self.path, &self.before)?;
                Err(Failure::new(CONFIG, format!("reloading: {why}: nothing is changed")))
            }
            Err(_) => {
                eprintln!("millpond: the daemon does not run: start it: systemctl start millpond");
                Ok(())
            }
        }
    }
}

/// A file in the folder of the guard's, where the unit may read, named after the public key. Gives its path.
pub(super) fn keep_key(keys: &Path, key: &Key) -> Result<PathBuf, Failure> {
    let public_key = key.public().to_base64();
    let name: String = public_key.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let path = keys.join(name + ".private");
    atomic_file::write(&path, (key.to_base64() + "\n").as_bytes(), 0o600)
        .map_err(|error| Failure::new(IO_ERROR, format!("writing {}: {error}", path.display())))?;
    Ok(path)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {}: {error}", path.display())))
}

pub(super) fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    atomic_file::write(path, text, 0o600)
        .map_err(|error| Failure::new(IO_ERROR, format!("writing the settings {}: {error}", path.display())))
}

pub(super) fn document(path: &Path, text: &[u8]) -> Result<Document, Failure> {
    Document::new(text).map_err(|error| {
        let text = format!("changing the settings {}: line {}: {}", path.display(), error.line, error.text);
        Failure::new(CONFIG, text)
    })
}

/// The settings of the text, or the first error in it.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Settings, Failure> {
    let parsed = parse_with(text, &key_file::read);
    let error = parsed.problems.iter().find(|problem| problem.severity == Severity::Error);
    match (parsed.settings, error) {
        (Some(settings), _) => Ok(settings),
        (None, error) => {
            let error = error.map(ToString::to_string).unwrap_or_default();
            let text =
                format!("changing the settings {}: {error}: 'millpond check' names all that is wrong", path.display());
            Err(Failure::new(CONFIG, text))
        }
    }
}
