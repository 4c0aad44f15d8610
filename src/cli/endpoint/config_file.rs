//! Changes the endpoint's settings file, atomically and only to valid settings.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use crate::cli::client::{DaemonAddress, DaemonAnswer, ask};
use crate::cli::exit::{CONFIG, Failure, IO_ERROR};
use crate::cli::service::ServiceManager;
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
    /// The file with changes.
    pub document: Document,
    /// The settings before any change.
    pub settings: Settings,
    /// Without a lock, two concurrent commands would overwrite each other's changes.
    _lock: Flock<File>,
}

impl EndpointConfig {
    /// Opens the settings of an endpoint that has been set up with WireGuard.
    pub fn open(path: &Path) -> Result<EndpointConfig, Failure> {
        let lock = atomic_file::lock(path)
            .map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {}: {error}", path.display())))?;
        let before = read(path)?;
        let settings = parse(path, &before)?;
        let config =
            EndpointConfig { path: path.into(), document: document(path, &before)?, before, settings, _lock: lock };
        if config.settings.role != Role::Endpoint || config.settings.tunnel.is_none() {
            let text = format!(
                "reading {}: these are not an endpoint's settings: run 'millpond endpoint init --host NAME' first",
                path.display()
            );
            return Err(Failure::new(CONFIG, text));
        }
        config.wireguard()?;
        Ok(config)
    }

    /// The tunnel, which must be of type `wireguard`.
    pub fn wireguard(&self) -> Result<&Wireguard, Failure> {
        match &self.settings.tunnel {
            Some(Tunnel::Wireguard(wireguard)) => Ok(wireguard),
            _ => {
                let text =
                    format!("reading {}: tunnel.type is not 'wireguard': edit the homes by hand", self.path.display());
                Err(Failure::new(CONFIG, text))
            }
        }
    }

    /// The pool of addresses for homes.
    pub fn pool(&self) -> Option<AddressPool> {
        AddressPool::from_settings(self.document.text().as_bytes())
    }

    /// The home with this name, and its index.
    pub fn home(&self, name: &str) -> Result<(usize, &Home), Failure> {
        let found = self.settings.homes.iter().enumerate().find(|(_, home)| home.name == name);
        found.ok_or_else(|| {
            let text = format!(
                "looking for the home '{name}' in {}: no such home: 'millpond endpoint list-homes' lists the homes",
                self.path.display()
            );
            Failure::new(CONFIG, text)
        })
    }

    /// Writes the changed file and reloads a running daemon. If the daemon refuses, restores the previous file.
    pub fn save(&self, address: &DaemonAddress) -> Result<(), Failure> {
        let text = self.document.text().as_bytes();
        parse(&self.path, text)?;
        write(&self.path, text)?;
        match ask(address, Request::Reload) {
            Ok(DaemonAnswer::Given(_)) => Ok(()),
            Ok(DaemonAnswer::Refused(why)) => {
                write(&self.path, &self.before)?;
                Err(Failure::new(CONFIG, format!("reloading: {why}: nothing was changed")))
            }
            Err(_) => {
                let start = match ServiceManager::find() {
                    Some(_) => "systemctl start millpond",
                    None => "millpond run",
                };
                eprintln!("millpond: the daemon is not running: start it: {start}");
                Ok(())
            }
        }
    }
}

/// Saves a private key in the folder `keys`, which the systemd unit may read, named after the public key. Returns its
/// path.
pub(super) fn save_key(keys: &Path, key: &Key) -> Result<PathBuf, Failure> {
    let public_key = key.public().to_base64();
    let name: String = public_key.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let path = keys.join(name + ".private");
    atomic_file::write(&path, (key.to_base64() + "\n").as_bytes(), 0o600)
        .map_err(|error| Failure::new(IO_ERROR, format!("writing {}: {error}", path.display())))?;
    Ok(path)
}

pub(in crate::cli) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {}: {error}", path.display())))
}

pub(in crate::cli) fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    atomic_file::write(path, text, 0o600)
        .map_err(|error| Failure::new(IO_ERROR, format!("writing the settings {}: {error}", path.display())))
}

pub(in crate::cli) fn document(path: &Path, text: &[u8]) -> Result<Document, Failure> {
    Document::new(text).map_err(|error| {
        let text = format!("changing the settings {}: line {}: {}", path.display(), error.line, error.text);
        Failure::new(CONFIG, text)
    })
}

/// Parses settings; fails with the first error.
pub(in crate::cli) fn parse(path: &Path, text: &[u8]) -> Result<Settings, Failure> {
    let parsed = parse_with(text, &key_file::read);
    let error = parsed.problems.iter().find(|problem| problem.severity == Severity::Error);
    match (parsed.settings, error) {
        (Some(settings), _) => Ok(settings),
        (None, error) => {
            let error = error.map(ToString::to_string).unwrap_or_default();
            let text = format!("changing the settings {}: {error}: 'millpond check' lists all errors", path.display());
            Err(Failure::new(CONFIG, text))
        }
    }
}
