//! `millpond endpoint finish-enrolment`: replaces the key of a join text. The daemon calls it.

use std::path::PathBuf;

use argh::FromArgs;

use super::config_file::EndpointConfig;
use super::invite::random;
use crate::cli::client::DaemonAddress;
use crate::cli::exit::{CONFIG, Failure};
use crate::cli::{CONFIG_PATH, control_socket};
use crate::config::edit::Setting;
use crate::config::model::Key;

/// End a join text: replace its key with that of the router that used it, or with an unusable key. The daemon runs this
/// when the first router joins with the text, and when the text expires.
#[derive(FromArgs)]
#[argh(subcommand, name = "finish-enrolment", example = "{command_name} 'maple street'")]
pub struct FinishEnrolmentCommand {
    /// the home's name
    #[argh(positional)]
    name: String,
    /// the public key of the router that used the text; without it the text ends unused
    #[argh(option)]
    public_key: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

/// A text as one word of a shell command.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl FinishEnrolmentCommand {
    /// Prints one line. Fails for a text that has already ended, so that a second router cannot replace the first.
    pub fn execute(self) -> Result<(), Failure> {
        let mut config = EndpointConfig::open(&self.config)?;
        let (index, home) = config.home(&self.name)?;
        let refusal = |text: &str| {
            Failure::new(CONFIG, format!("ending the join text of '{}': {text}: nothing was changed", self.name))
        };
        if home.join_until.is_none() {
            return Err(refusal("it is already used, or there was none"));
        }
        let key = match &self.public_key {
            Some(text) => Key::from_base64(text).ok_or_else(|| refusal("--public-key: not a WireGuard key"))?,
            // The private key is discarded, so no router can use it.
            None => Key::private(random()?).public(),
        };
        if let Some(other) = config.settings.homes.iter().find(|other| other.public_key.as_ref() == Some(&key)) {
            return Err(refusal(&format!("'{}' already has this public key", other.name)));
        }
        config.document.set_at("home", index, "public_key", &Setting::Text(key.to_base64()));
        config.document.set_at("home", index, "join_until", &Setting::Text(String::new()));
        config.save(&DaemonAddress { socket: Some(self.socket), ubus: None })?;
        match self.public_key {
            Some(_) => println!("'{}' has joined with its router's own key: the join text is used up", self.name),
            None => println!(
                "the join text of '{}' has expired unused: create a new one: millpond endpoint rotate-keys -- {}",
                self.name,
                shell_word(&self.name)
            ),
        }
        Ok(())
    }
}
