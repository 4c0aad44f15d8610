//! `millpond endpoint init`: creates a server's settings from its host name.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::config_file::{document, parse, read, save_key, write};
use super::invite::random;
use super::{firewall, prerequisites};
use crate::cli::client::{DaemonAddress, DaemonAnswer, ask};
use crate::cli::exit::{CONFIG, Failure, OS_ERROR, USAGE};
use crate::cli::service::ServiceManager;
use crate::cli::{CONFIG_PATH, control_socket};
use crate::config::edit::Setting;
use crate::config::model::{Key, Role};
use crate::daemon::request::Request;

/// The start of a new settings file.
const HEAD: &str = "# Settings of millpond. After a change: 'millpond check', then 'systemctl reload millpond'.\n\n\
                    config millpond 'main'\n";

/// Set up this server as an endpoint: keys, addresses, port. Add homes afterwards with 'add-home'. If this host lacks
/// something, the command reports it and writes nothing. It also prints what other firewalls must allow.
#[derive(FromArgs)]
#[argh(subcommand, name = "init", example = "{command_name} --host vpn.example.org")]
pub struct InitCommand {
    /// the host name or address at which routers reach this server
    #[argh(option)]
    host: String,
    /// UDP port (default 51820)
    #[argh(option, default = "51820")]
    port: u16,
    /// this server's address inside the tunnel, with the prefix length of its homes' network (default 10.77.0.1/16)
    #[argh(option, default = "String::from(\"10.77.0.1/16\")")]
    address: String,
    /// the same for IPv6, such as fd77::1/64, if this server offers IPv6
    #[argh(option)]
    address6: Option<String>,
    /// DNS resolver for the homes' devices; repeat for several (default 9.9.9.9)
    #[argh(option)]
    resolver: Vec<String>,
    /// another endpoint for the same homes, as 'HOST:PORT KEY'; repeat for several
    #[argh(option)]
    backup: Vec<String>,
    /// write the settings even if this host lacks something, for example to prepare another host
    #[argh(switch)]
    anyway: bool,
    /// do not start the service
    #[argh(switch)]
    no_start: bool,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// folder for the keys (default /etc/millpond)
    #[argh(option, default = "PathBuf::from(\"/etc/millpond\")")]
    keys: PathBuf,
}

impl InitCommand {
    /// Checks everything before it writes anything.
    pub fn execute(self) -> Result<(), Failure> {
        let before = if self.config.exists() { read(&self.config)? } else { HEAD.into() };
        check_unused(&self.config, &before)?;
        self.check_networks()?;
        if let Err(causes) = prerequisites::check(self.port, &self.address, &self.keys)
            && !self.anyway
        {
            let text = format!("setting up the endpoint: {}: nothing was written", causes.join("; "));
            return Err(Failure::new(OS_ERROR, text));
        }
        let key = Key::private(random()?);
        let file = save_key(&self.keys, &key)?;
        let written = self.write(&before, &file);
        if written.is_err() {
            _ = fs::remove_file(&file);
        }
        written?;
        println!("{}: wrote an endpoint's settings", self.config.display());
        println!("public key: {}", key.public().to_base64());
        firewall::advice(self.port).iter().for_each(|line| println!("{line}"));
        self.start();
        println!("next: millpond endpoint add-home NAME");
        Ok(())
    }

    fn write(&self, before: &[u8], key_file: &Path) -> Result<(), Failure> {
        let mut document = document(&self.config, before)?;
        let host = if self.host.parse::<Ipv6Addr>().is_ok() { format!("[{}]", self.host) } else { self.host.clone() };
        let text = |value: &str| Setting::Text(value.to_owned());
        let resolvers = if self.resolver.is_empty() { vec!["9.9.9.9".to_owned()] } else { self.resolver.clone() };
        for (kind, section, option, setting) in [
            ("millpond", "main", "enabled", text("1")),
            ("millpond", "main", "role", text("endpoint")),
            ("tunnel", "tunnel", "type", text("wireguard")),
            ("tunnel", "tunnel", "private_key", text(&key_file.display().to_string())),
            ("tunnel", "tunnel", "endpoint", text(&format!("{host}:{}", self.port))),
            ("tunnel", "tunnel", "listen_port", text(&self.port.to_string())),
            ("tunnel", "tunnel", "address", text(&self.address)),
            ("tunnel", "tunnel", "address6", text(self.address6.as_deref().unwrap_or_default())),
            ("tunnel", "tunnel", "backup", Setting::List(self.backup.clone())),
            ("dns", "dns", "server", Setting::List(resolvers)),
        ] {
            document.set(kind, section, option, &setting);
        }
        parse(&self.config, document.text().as_bytes())?;
        write(&self.config, document.text().as_bytes())
    }

    /// Checks that the networks have a prefix length that leaves room for homes.
    fn check_networks(&self) -> Result<(), Failure> {
        let has_prefix_length = |text: &str, max: u8| {
            text.split_once('/').is_some_and(|(_, bits)| bits.parse().is_ok_and(|bits: u8| (8..=max).contains(&bits)))
        };
        let v4 = self.address.split('/').next().is_some_and(|address| address.parse::<Ipv4Addr>().is_ok());
        if !v4 || !has_prefix_length(&self.address, 30) {
            let text = format!(
                "setting up the endpoint: --address {}: want an address with a prefix length from /8 to /30, \
                 such as 10.77.0.1/16",
                self.address
            );
            return Err(Failure::new(USAGE, text));
        }
        match &self.address6 {
            Some(address) if !has_prefix_length(address, 112) => {
                let text = format!(
                    "setting up the endpoint: --address6 {address}: want an address with a prefix length from /8 to \
                     /112, such as fd77::1/64"
                );
                Err(Failure::new(USAGE, text))
            }
            _ => Ok(()),
        }
    }

    /// Starts the service under systemd, if the package's unit is installed. In a container the daemon may already run
    /// without settings.
    fn start(&self) {
        match ServiceManager::find().filter(|manager| *manager == ServiceManager::Systemd && !self.no_start) {
            None if self.reload_daemon() => println!("the running daemon has the new settings"),
            None => println!("start 'millpond run' under a service manager"),
            Some(manager) => match manager.start() {
                Ok(()) => println!("the service millpond is running"),
                Err(failure) => println!("{}", failure.text),
            },
        }
    }

    /// Whether a daemon that uses these settings runs and has loaded them.
    fn reload_daemon(&self) -> bool {
        let address = DaemonAddress { socket: Some(control_socket()), ubus: None };
        !self.no_start
            && self.config == Path::new(CONFIG_PATH)
            && matches!(ask(&address, Request::Reload), Ok(DaemonAnswer::Given(_)))
    }
}

/// Refuses settings in use: the homes of an existing endpoint know its key, and a router has a tunnel.
fn check_unused(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let settings = parse(path, text)?;
    let what = match (settings.role, settings.tunnel.is_some() || settings.enabled) {
        (_, false) => return Ok(()),
        (Role::Endpoint, true) => {
            "the file already has an endpoint's settings: add homes with 'millpond endpoint add-home', \
             edit the rest by hand"
        }
        (Role::Router, true) => "the file has a router's settings: choose another file with --config, or another host",
    };
    Err(Failure::new(CONFIG, format!("setting up the endpoint in {}: {what}", path.display())))
}
