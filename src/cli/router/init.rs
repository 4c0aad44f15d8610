//! `millpond router init`: creates a router's settings from the names of its interfaces.

use std::path::PathBuf;

use argh::FromArgs;

use super::surroundings::Surroundings;
use crate::cli::CONFIG_PATH;
use crate::cli::endpoint::config_file::{document, parse, read, write};
use crate::cli::exit::{CONFIG, Failure, OS_ERROR, USAGE};
use crate::cli::service::ServiceManager;
use crate::config::edit::Setting;
use crate::config::model::{Role, Settings};
use crate::plan::interface;

/// The start of a new settings file.
const HEAD: &str = "# Settings of millpond. After a change: 'millpond check', then 'systemctl reload millpond'.\n\n\
                    config millpond 'main'\n";

/// Set up this machine as the home's router: names the home's interfaces, and starts the service. Join an endpoint
/// afterwards with 'join'. If this host lacks something, the command reports it and writes nothing. It changes no other
/// program's settings, and says what it left alone.
#[derive(FromArgs)]
#[argh(subcommand, name = "init", example = "{command_name} --lan wlan0 --wan eth0")]
pub struct RouterInitCommand {
    /// the interface to the home's devices, such as an access point's; repeat for several
    #[argh(option)]
    lan: Vec<String>,
    /// the interface to the Internet (default: that of the default route with the least metric)
    #[argh(option)]
    wan: Option<String>,
    /// what happens to the packets of devices without a section of their own: direct, shape or block (default direct)
    #[argh(option, default = "String::from(\"direct\")")]
    policy: String,
    /// write the settings even if this host lacks something
    #[argh(switch)]
    anyway: bool,
    /// do not start the service
    #[argh(switch)]
    no_start: bool,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
}

impl RouterInitCommand {
    /// Checks everything before it writes anything.
    pub fn execute(self) -> Result<(), Failure> {
        if self.lan.is_empty() {
            let text = "setting up the router: no interface to the devices: name it, for example with --lan wlan0";
            return Err(Failure::new(USAGE, text));
        }
        if !["direct", "shape", "block"].contains(&self.policy.as_str()) {
            let text = format!("setting up the router: --policy {}: want direct, shape or block", self.policy);
            return Err(Failure::new(USAGE, text));
        }
        let before = if self.config.exists() { read(&self.config)? } else { HEAD.into() };
        let settings = parse(&self.config, &before)?;
        if settings.role == Role::Endpoint && (settings.tunnel.is_some() || settings.enabled) {
            let text = format!(
                "setting up the router in {}: the file has an endpoint's settings: choose another file with --config, \
                 or another host",
                self.config.display()
            );
            return Err(Failure::new(CONFIG, text));
        }
        let surroundings = Surroundings::read();
        let (wans, causes) = surroundings.faults(&self.lan, self.wan.as_deref());
        if !causes.is_empty() && !self.anyway {
            let text = format!("setting up the router: {}: nothing was written", causes.join("; "));
            return Err(Failure::new(OS_ERROR, text));
        }
        self.write(&before, &settings)?;
        println!("{}: wrote a router's settings", self.config.display());
        let internet = if wans.is_empty() { "no interface".to_owned() } else { wans.join(" and ") };
        println!("the home is behind {}, the Internet behind {internet}", self.lan.join(", "));
        if wans.len() > 1 {
            println!("the default routes by {internet} have the same metric, so the kernel chooses");
        }
        surroundings.left_alone(&self.lan).iter().for_each(|line| println!("{line}"));
        self.start();
        if settings.tunnel.is_none() {
            println!("next: millpond join");
        } else {
            println!("next: millpond devices, then millpond shape DEVICE");
        }
        Ok(())
    }

    fn write(&self, before: &[u8], settings: &Settings) -> Result<(), Failure> {
        let mut document = document(&self.config, before)?;
        let text = |value: &str| Setting::Text(value.to_owned());
        document.set("millpond", "main", "role", &text("router"));
        for lan in &self.lan {
            let found = settings.networks.iter().position(|network| interface(network) == *lan);
            match found {
                Some(index) => document.set_at("network", index, "policy", &text(&self.policy)),
                None => {
                    let name: String = lan.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                    let options = [("name", text(&name)), ("device", text(lan)), ("policy", text(&self.policy))];
                    document.add("network", None, &options);
                }
            }
        }
        parse(&self.config, document.text().as_bytes())?;
        write(&self.config, document.text().as_bytes())
    }

    /// Enables and starts the service under systemd, if the package's unit is installed.
    fn start(&self) {
        match ServiceManager::find().filter(|manager| *manager == ServiceManager::Systemd && !self.no_start) {
            None => println!("start 'millpond run' under a service manager"),
            Some(manager) => match manager.start() {
                Ok(()) => println!("the service millpond starts now and at every boot"),
                Err(failure) => println!("{}", failure.text),
            },
        }
    }
}
