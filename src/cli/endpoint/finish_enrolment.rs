//! `millpond endpoint finish-enrolment`: what becomes of a join text's key. The daemon calls it.

use std::path::PathBuf;

use argh::FromArgs;

use super::config_file::EndpointConfig;
use super::invite::random;
use crate::cli::client::DaemonAddress;
use crate::cli::exit::{CONFIG, Failure};
use crate::cli::{CONFIG_PATH, SOCKET_PATH};
use crate::config::edit::Setting;
use crate::config::model::Key;

/// End a join text: the home is known by the key of the router that has used it, or by nobody's. The daemon does it by
/// itself, with the first router that comes with the text and when the text expires.
#[derive(FromArgs)]
#[argh(subcommand, name = "finish-enrolment")]
pub struct FinishEnrolment {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// the public key of the router that has used the text; without it the text is ended unused
    #[argh(option)]
    public_key: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: PathBuf,
}

impl FinishEnrolment {
    /// Says what it has done in one line. A text that is ended already is an error: its first user stays the home's.
    pub fn execute(self) -> Result<(), Failure> {
        let mut book = EndpointConfig::open(&self.config)?;
        let (index, home) = book.home(&self.name)?;
        let wrong = |text: &str| {
            Failure::new(CONFIG, format!("ending the join text of '{}': {text}: nothing is changed", self.name))
        };
        if home.join_until.is_none() {
            return Err(wrong("it has been used, or there was none"));
        }
        let key = match &self.public_key {
            Some(text) => Key::from_base64(text).ok_or_else(|| wrong("--public-key: not a WireGuard key"))?,
            // Nobody has its private half.
            None => Key::private(random()?).public(),
        };
        if let Some(other) = book.settings.homes.iter().find(|other| other.public_key.as_ref() == Some(&key)) {
            return Err(wrong(&format!("'{}' has that public key", other.name)));
        }
        book.document.set_at("home", index, "public_key", &Setting::Text(key.to_base64()));
        book.document.set_at("home", index, "join_until", &Setting::Text(String::new()));
        book.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        match self.public_key {
            Some(_) => println!("'{}' has joined with a key of its own: its join text is used up", self.name),
            None => println!(
                "the join text of '{0}' has expired unused: 'millpond endpoint rotate-keys {0}' makes another",
                self.name
            ),
        }
        Ok(())
    }
}
