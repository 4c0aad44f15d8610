//! `millpond endpoint rotate-keys`: new keys, and the join texts that bring them to the routers.

use std::fs;
use std::path::PathBuf;

use argh::FromArgs;

use super::config_file::{EndpointConfig, keep_key};
use super::invite::{expiry, hand_over, invitation, random};
use crate::cli::client::DaemonAddress;
use crate::cli::exit::Failure;
use crate::cli::{CONFIG_PATH, SOCKET_PATH};
use crate::config::edit::Setting;
use crate::config::join::Identity;
use crate::config::model::Key;
use crate::config::uci;

/// Give one home new keys, or without a name the endpoint itself, and print the join texts with which the routers
/// follow. Until it has followed, a router is cut off: its devices wait behind the guard.
#[derive(FromArgs)]
#[argh(subcommand, name = "rotate-keys")]
pub struct RotateKeys {
    /// the home's name; without it the endpoint's own key is changed
    #[argh(positional)]
    name: Option<String>,
    /// days for which the texts hold (default 7, 0 for ever)
    #[argh(option, default = "7")]
    days: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// folder for the keys (default /etc/millpond)
    #[argh(option, default = "PathBuf::from(\"/etc/millpond\")")]
    keys: PathBuf,
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: PathBuf,
}

impl RotateKeys {
    /// Prints one text for a home, or a line with name and text for each.
    pub fn execute(self) -> Result<(), Failure> {
        match self.name.clone() {
            Some(name) => self.rotate_home(&name),
            None => self.rotate_endpoint(),
        }
    }

    fn rotate_home(self, name: &str) -> Result<(), Failure> {
        let mut book = EndpointConfig::open(&self.config)?;
        let (index, home) = book.home(name)?;
        let (mut home, key) = (home.clone(), Key::private(random()?));
        home.public_key = Some(key.public());
        home.preshared_key = Some(Key(random()?));
        let expires = expiry(self.days);
        let own = book.wireguard()?.private_key.clone();
        let invitation = invitation(&book, &home, Identity::Private(key), &own, expires)?;
        for (option, key) in [("public_key", &home.public_key), ("preshared_key", &home.preshared_key)] {
            let text = key.as_ref().map(Key::to_base64).unwrap_or_default();
            book.document.set_at("home", index, option, &Setting::Text(text));
        }
        let until = Setting::Text(expires.unwrap_or(0).to_string());
        book.document.set_at("home", index, "join_until", &until);
        book.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        hand_over(&invitation);
        Ok(())
    }

    /// The routers keep their keys: their texts bring the endpoint's new one, and no secret but the preshared key.
    fn rotate_endpoint(self) -> Result<(), Failure> {
        let mut book = EndpointConfig::open(&self.config)?;
        let key = Key::private(random()?);
        let mut texts = Vec::new();
        for home in &book.settings.homes {
            let Some(public_key) = home.public_key.clone() else { continue };
            let invitation = invitation(&book, home, Identity::Public(public_key), &key, expiry(self.days))?;
            texts.push(format!("{}: {}", home.name, invitation.to_text()));
        }
        let standing = key_file_of(book.document.text());
        let file = keep_key(&self.keys, &key)?;
        let setting = Setting::Text(file.display().to_string());
        book.document.set("tunnel", "tunnel", "private_key", &setting);
        if let Err(failure) = book.save(&DaemonAddress { socket: Some(self.socket), ubus: None }) {
            _ = fs::remove_file(file);
            return Err(failure);
        }
        // Of the folder's; what the operator keeps elsewhere is the operator's.
        let old = standing.filter(|old| old.starts_with(&self.keys));
        old.into_iter().for_each(|old| _ = fs::remove_file(old));
        texts.iter().for_each(|text| println!("{text}"));
        Ok(())
    }
}

/// The file in which the settings' private key lies.
fn key_file_of(settings: &str) -> Option<PathBuf> {
    let (sections, _) = uci::parse(settings.as_bytes());
    let tunnel = sections.iter().find(|section| section.kind == "tunnel")?;
    let option = tunnel.options.iter().find(|option| option.name == "private_key")?;
    option.values.last().filter(|value| value.text.starts_with('/')).map(|value| value.text.clone().into())
}
