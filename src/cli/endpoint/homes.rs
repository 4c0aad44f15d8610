//! `millpond endpoint add-home | list-homes | remove-home`.

use std::path::PathBuf;

use argh::FromArgs;

use super::config_file::EndpointConfig;
use super::invite::{expiry, hand_over, invitation, random};
use crate::cli::client::DaemonAddress;
use crate::cli::exit::{CONFIG, Failure};
use crate::cli::{CONFIG_PATH, SOCKET_PATH};
use crate::config::edit::Setting;
use crate::config::join::Identity;
use crate::config::model::{Home, Key};
use crate::daemon::answer;
use crate::units::BitsPerSec;

/// Add a home, and print the join text for its router: one line, on a terminal also as a picture.
#[derive(FromArgs)]
#[argh(subcommand, name = "add-home")]
pub struct AddHome {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// the router's public key, as 'millpond join --make-key' prints it there; without it a key is made here
    #[argh(option)]
    public_key: Option<String>,
    /// the most that the home may ask for, in kbit/s on the wire (default 4000)
    #[argh(option, default = "4000")]
    max_download: u32,
    /// days for which the text holds (default 7, 0 for ever)
    #[argh(option, default = "7")]
    days: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: PathBuf,
}

impl AddHome {
    /// The home is served, and everything about it checked, before its text is shown.
    pub fn execute(self) -> Result<(), Failure> {
        let mut book = EndpointConfig::open(&self.config)?;
        let wrong =
            |text: String| Failure::new(CONFIG, format!("adding the home '{}': {text}: nothing is changed", self.name));
        if let Some(home) = book.settings.homes.iter().find(|home| home.name == self.name) {
            return Err(wrong(format!("there is one of that name, at {}", home.address)));
        }
        let identity = match &self.public_key {
            Some(text) => {
                let key =
                    Key::from_base64(text.trim()).ok_or_else(|| wrong("--public-key: not a WireGuard key".into()))?;
                if let Some(home) = book.settings.homes.iter().find(|home| home.public_key.as_ref() == Some(&key)) {
                    return Err(wrong(format!("'{}' has that public key", home.name)));
                }
                Identity::Public(key)
            }
            None => Identity::Private(Key::private(random()?)),
        };
        let pool = book.pool();
        let full = || {
            let size = pool.as_ref().map_or(0, |pool| pool.size());
            wrong(format!(
                "no address is free in the network of tunnel.address, which has room for {size} homes: write it with a shorter prefix, such as 10.77.0.1/16"
            ))
        };
        let (address, address6) = pool.as_ref().and_then(|pool| pool.free()).ok_or_else(full)?;
        let (Identity::Private(key) | Identity::Public(key)) = &identity;
        let public_key = if self.public_key.is_some() { key.clone() } else { key.public() };
        let expires = expiry(self.days);
        let home = Home {
            name: self.name.clone(),
            public_key: Some(public_key),
            preshared_key: Some(Key(random()?)),
            address,
            address6,
            max_download: BitsPerSec::from_kbit(self.max_download.into()),
            join_until: self.public_key.is_none().then(|| expires.unwrap_or(0)),
        };
        let invitation = invitation(&book, &home, identity, &book.wireguard()?.private_key, expires)?;
        book.document.add("home", None, &options(&home));
        book.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        hand_over(&invitation);
        Ok(())
    }
}

/// List the homes.
#[derive(FromArgs)]
#[argh(subcommand, name = "list-homes")]
pub struct ListHomes {
    /// answer in JSON
    #[argh(switch)]
    json: bool,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
}

impl ListHomes {
    /// Prints them in the order of the settings.
    pub fn execute(self) -> Result<(), Failure> {
        let homes = EndpointConfig::open(&self.config)?.settings.homes;
        if self.json {
            let list = answer::json(|top| {
                top.array("homes", &homes, |object, home| {
                    object.text("name", &home.name);
                    object.text("address", &home.address.to_string());
                    home.address6.into_iter().for_each(|address| object.text("address6", &address.to_string()));
                    object.text("public_key", &public_key(home));
                    object.number("max_download_kbit", home.max_download.0 / 1000);
                    object.flag("joined", home.join_until.is_none());
                    home.join_until.into_iter().for_each(|until| object.number("join_until_s", until));
                });
            });
            println!("{list}");
            return Ok(());
        }
        for home in &homes {
            let kbit = home.max_download.0 / 1000;
            let waits = if home.join_until.is_some() { "  (its join text waits)" } else { "" };
            println!(
                "{:<15}  {:>7} kbit/s  {}  {}{waits}",
                home.address.to_string(),
                kbit,
                public_key(home),
                home.name
            );
        }
        Ok(())
    }
}

/// Remove a home: its router is served no more, the others notice nothing.
#[derive(FromArgs)]
#[argh(subcommand, name = "remove-home")]
pub struct RemoveHome {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: PathBuf,
}

impl RemoveHome {
    /// Says so when it is done.
    pub fn execute(self) -> Result<(), Failure> {
        let mut book = EndpointConfig::open(&self.config)?;
        let (index, _) = book.home(&self.name)?;
        book.document.remove("home", index);
        book.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        println!("removed '{}'", self.name);
        Ok(())
    }
}

/// The options of a home's section.
fn options(home: &Home) -> Vec<(&'static str, Setting)> {
    let text = |name, value: String| (name, Setting::Text(value));
    let base64 = |key: &Option<Key>| key.as_ref().map(Key::to_base64).unwrap_or_default();
    vec![
        text("name", home.name.clone()),
        text("public_key", base64(&home.public_key)),
        text("preshared_key", base64(&home.preshared_key)),
        text("address", home.address.to_string()),
        text("address6", home.address6.map(|address| address.to_string()).unwrap_or_default()),
        text("max_download", (home.max_download.0 / 1000).to_string()),
        text("join_until", home.join_until.map(|until| until.to_string()).unwrap_or_default()),
    ]
}

fn public_key(home: &Home) -> String {
    home.public_key.as_ref().map(Key::to_base64).unwrap_or_default()
}
