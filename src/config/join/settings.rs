//! The router's settings for an invitation.

use super::{Identity, Invitation};
use crate::config::edit::{Document, Setting};

/// The new value of one option in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The section's type.
    pub kind: &'static str,
    /// The section's name.
    pub section: &'static str,
    /// The option.
    pub option: &'static str,
    /// Its new value.
    pub setting: Setting,
}

impl Invitation {
    /// The settings, section by section; an empty value removes the option. Each key is the text of its option, either
    /// a key or the path of a key file; `join_key` is empty if the join text has no private key.
    pub fn settings(&self, private_key: &str, join_key: &str, preshared_key: &str) -> Vec<Assignment> {
        let [first, others @ ..] = &self.servers[..] else { return Vec::new() };
        let main = [("enabled", text("1")), ("role", text("router"))];
        let tunnel = [
            ("type", text("wireguard")),
            ("private_key", text(private_key)),
            ("join_key", text(join_key)),
            ("preshared_key", text(preshared_key)),
            ("public_key", text(first.public_key.to_base64())),
            ("endpoint", text(first.at.to_string())),
            ("backup", Setting::List(others.iter().map(ToString::to_string).collect())),
            ("address", text(self.address.to_string())),
            ("address6", text(self.address6.map(|address| address.to_string()).unwrap_or_default())),
            ("peer_address", text(self.peer_address.to_string())),
            // Remove the settings of an earlier tunnel or endpoint.
            ("listen_port", text("")),
            ("profile", text("")),
            ("interface", text("")),
            ("overhead", text("")),
            ("unencrypted", text("")),
        ];
        let dns = [("server", Setting::List(self.resolvers.iter().map(ToString::to_string).collect()))];
        let of = |kind, section| {
            move |(option, setting): &(&'static str, Setting)| Assignment {
                kind,
                section,
                option,
                setting: setting.clone(),
            }
        };
        let sections = main.iter().map(of("millpond", "main")).chain(tunnel.iter().map(of("tunnel", "tunnel")));
        sections.chain(dns.iter().map(of("dns", "dns"))).collect()
    }

    /// The file names for the home's private and preshared key. They start with 12 characters of the public key, so
    /// that the files of another key are not overwritten.
    pub fn key_files(&self) -> [String; 2] {
        let public_key = self.public_key().to_base64();
        let name: String = public_key.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        [format!("{name}.private"), format!("{name}.preshared")]
    }

    /// Whether the endpoint made the home's key.
    pub fn has_private_key(&self) -> bool {
        matches!(self.identity, Identity::Private(_))
    }
}

impl Document {
    /// Sets every option in `assignments`.
    pub fn assign(&mut self, assignments: &[Assignment]) {
        for Assignment { kind, section, option, setting } in assignments {
            self.set(kind, section, option, setting);
        }
    }
}

fn text(value: impl Into<String>) -> Setting {
    Setting::Text(value.into())
}
