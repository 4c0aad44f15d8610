//! `millpond endpoint rotate-keys`: creates new keys, and the join texts that tell the routers.

use std::fs;
use std::path::PathBuf;

use argh::FromArgs;

use super::config_file::{EndpointConfig, save_key};
use super::invite::{expiry, invitation, print_invitation, random};
use crate::cli::client::DaemonAddress;
use crate::cli::exit::Failure;
use crate::cli::{CONFIG_PATH, control_socket};
use crate::config::edit::Setting;
use crate::config::join::Identity;
use crate::config::model::Key;
use crate::config::uci;

/// Create new keys for one home or, without a name, for the endpoint, and print the join texts that the routers need. A
/// router is cut off until it uses its text; the guard blocks its devices meanwhile.
#[derive(FromArgs)]
#[argh(subcommand, name = "rotate-keys", example = "{command_name} 'maple street'")]
pub struct RotateKeysCommand {
    /// the home's name; without it the endpoint gets a new key
    #[argh(positional)]
    name: Option<String>,
    /// days until the texts expire (default 7, 0 for never)
    #[argh(option, default = "7")]
    days: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// folder for the keys (default /etc/millpond)
    #[argh(option, default = "PathBuf::from(\"/etc/millpond\")")]
    keys: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl RotateKeysCommand {
    /// Prints the join text of one home, or for all homes one line each, with name and text.
    pub fn execute(self) -> Result<(), Failure> {
        match self.name.clone() {
            Some(name) => self.rotate_home(&name),
            None => self.rotate_endpoint(),
        }
    }

    fn rotate_home(self, name: &str) -> Result<(), Failure> {
        let mut config = EndpointConfig::open(&self.config)?;
        let (index, home) = config.home(name)?;
        let (mut home, key) = (home.clone(), Key::private(random()?));
        home.public_key = Some(key.public());
        home.preshared_key = Some(Key(random()?));
        let expires = expiry(self.days);
        let own = config.wireguard()?.private_key.clone();
        let invitation = invitation(&config, &home, Identity::Private(key), &own, expires)?;
        for (option, key) in [("public_key", &home.public_key), ("preshared_key", &home.preshared_key)] {
            let text = key.as_ref().map(Key::to_base64).unwrap_or_default();
            config.document.set_at("home", index, option, &Setting::Text(text));
        }
        let until = Setting::Text(expires.unwrap_or(0).to_string());
        config.document.set_at("home", index, "join_until", &until);
        config.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        print_invitation(&invitation);
        Ok(())
    }

    /// Routers keep their keys. The join texts contain the endpoint's new public key, and no secret except the
    /// preshared key.
    fn rotate_endpoint(self) -> Result<(), Failure> {
        let mut config = EndpointConfig::open(&self.config)?;
        let key = Key::private(random()?);
        let mut texts = Vec::new();
        for home in &config.settings.homes {
            let Some(public_key) = home.public_key.clone() else { continue };
            let invitation = invitation(&config, home, Identity::Public(public_key), &key, expiry(self.days))?;
            texts.push(format!("{}: {}", home.name, invitation.to_text()));
        }
        let old_key_file = key_file_of(config.document.text());
        let file = save_key(&self.keys, &key)?;
        let setting = Setting::Text(file.display().to_string());
        config.document.set("tunnel", "tunnel", "private_key", &setting);
        if let Err(failure) = config.save(&DaemonAddress { socket: Some(self.socket), ubus: None }) {
            _ = fs::remove_file(file);
            return Err(failure);
        }
        // Remove the old key from the key folder only; a file elsewhere belongs to the operator.
        let obsolete = old_key_file.filter(|file| file.starts_with(&self.keys));
        obsolete.into_iter().for_each(|file| _ = fs::remove_file(file));
        texts.iter().for_each(|text| println!("{text}"));
        Ok(())
    }
}

/// The file that contains the private key, if the settings name one.
fn key_file_of(settings: &str) -> Option<PathBuf> {
    let (sections, _) = uci::parse(settings.as_bytes());
    let tunnel = sections.iter().find(|section| section.kind == "tunnel")?;
    let option = tunnel.options.iter().find(|option| option.name == "private_key")?;
    option.values.last().filter(|value| value.text.starts_with('/')).map(|value| value.text.clone().into())
}
