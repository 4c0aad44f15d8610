//! `millpond endpoint add-home | list-homes | remove-home`.

use std::path::PathBuf;

use argh::FromArgs;
use serde::Serialize;

use super::config_file::EndpointConfig;
use super::invite::{expiry, invitation, print_invitation, random};
use crate::cli::client::DaemonAddress;
use crate::cli::exit::{CONFIG, Failure, OS_ERROR};
use crate::cli::{CONFIG_PATH, control_socket};
use crate::config::edit::Setting;
use crate::config::join::Identity;
use crate::config::model::{Home, Key};
use crate::daemon::answers;
use crate::units::{BitsPerSec, counted};

/// Add a home, and print the join text for its router: one line, on a terminal also as a QR code.
#[derive(FromArgs)]
#[argh(subcommand, name = "add-home", example = "{command_name} 'maple street'")]
pub struct AddHomeCommand {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// the router's public key, as printed there by 'millpond join --make-key'; without it a key is created here
    #[argh(option)]
    public_key: Option<String>,
    /// maximum download rate that the home may request, in kbit/s on the wire (default 4000)
    #[argh(option, default = "4000")]
    max_download: u32,
    /// days until the text expires (default 7, 0 for never)
    #[argh(option, default = "7")]
    days: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl AddHomeCommand {
    /// Checks everything and reloads the daemon with the new home before it prints the text.
    pub fn execute(self) -> Result<(), Failure> {
        let mut config = EndpointConfig::open(&self.config)?;
        let refusal = |text: String| {
            Failure::new(CONFIG, format!("adding the home '{}': {text}: nothing was changed", self.name))
        };
        if let Some(home) = config.settings.homes.iter().find(|home| home.name == self.name) {
            return Err(refusal(format!("a home with this name exists, at {}", home.address)));
        }
        let identity = match &self.public_key {
            Some(text) => {
                let key =
                    Key::from_base64(text.trim()).ok_or_else(|| refusal("--public-key: not a WireGuard key".into()))?;
                if let Some(home) = config.settings.homes.iter().find(|home| home.public_key.as_ref() == Some(&key)) {
                    return Err(refusal(format!("'{}' already has this public key", home.name)));
                }
                Identity::Public(key)
            }
            None => Identity::Private(Key::private(random()?)),
        };
        let pool = config.pool();
        let no_address = || {
            let size = pool.as_ref().map_or(0, |pool| pool.capacity() as usize);
            refusal(format!(
                "no address is free in the network of tunnel.address, which has room for {}: \
                 use a shorter prefix, such as 10.77.0.1/16",
                counted(size, "home", "homes")
            ))
        };
        let (address, address6) = pool.as_ref().and_then(|pool| pool.lowest_free()).ok_or_else(no_address)?;
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
            max_upload: BitsPerSec::from_kbit(self.max_download.max(4000).into()),
            exit: None,
            join_until: self.public_key.is_none().then(|| expires.unwrap_or(0)),
        };
        let invitation = invitation(&config, &home, identity, &config.wireguard()?.private_key, expires)?;
        config.document.add("home", None, &options(&home));
        config.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        print_invitation(&invitation);
        Ok(())
    }
}

/// List the homes.
#[derive(FromArgs)]
#[argh(subcommand, name = "list-homes", example = "{command_name} --json")]
pub struct ListHomesCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
}

/// The list for programs.
#[derive(Serialize)]
struct HomesAnswer<'a> {
    homes: Vec<HomeAnswer<'a>>,
}

/// One home. `join_until_s` is the end of its join text's validity in seconds of Unix time, while nobody has used it.
#[derive(Serialize)]
struct HomeAnswer<'a> {
    name: &'a str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address6: Option<String>,
    public_key: String,
    max_download_kbit: u64,
    joined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_until_s: Option<u64>,
}

impl ListHomesCommand {
    /// Prints the homes in the order of the settings.
    pub fn execute(self) -> Result<(), Failure> {
        let homes = EndpointConfig::open(&self.config)?.settings.homes;
        if self.json {
            let homes = homes.iter().map(|home| HomeAnswer {
                name: &home.name,
                address: home.address.to_string(),
                address6: home.address6.map(|address| address.to_string()),
                public_key: public_key(home),
                max_download_kbit: home.max_download.0 / 1000,
                joined: home.join_until.is_none(),
                join_until_s: home.join_until,
            });
            let list = answers::to_json(&HomesAnswer { homes: homes.collect() });
            let list = list.map_err(|error| Failure::new(OS_ERROR, format!("listing the homes: {error}")))?;
            println!("{list}");
            return Ok(());
        }
        for home in &homes {
            let kbit = home.max_download.0 / 1000;
            let state = if home.join_until.is_some() { "  (not joined yet)" } else { "" };
            println!(
                "{:<15}  {:>7} kbit/s  {}  {}{state}",
                home.address.to_string(),
                kbit,
                public_key(home),
                home.name
            );
        }
        Ok(())
    }
}

/// Remove a home: its router is no longer served; other homes are not affected.
#[derive(FromArgs)]
#[argh(subcommand, name = "remove-home", example = "{command_name} 'maple street'")]
pub struct RemoveHomeCommand {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl RemoveHomeCommand {
    /// Prints the removed home.
    pub fn execute(self) -> Result<(), Failure> {
        let mut config = EndpointConfig::open(&self.config)?;
        let (index, _) = config.home(&self.name)?;
        config.document.remove("home", index);
        config.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
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
