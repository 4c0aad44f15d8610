//! `millpond shape`, `block` and `direct`: set a device's policy, as the pages of LuCI do on OpenWrt.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use argh::FromArgs;

use super::client::{DaemonAddress, DaemonAnswer, ask, ask_for};
use super::endpoint::config_file::{document, parse, read, write};
use super::exit::{CONFIG, DATA, Failure, IO_ERROR};
use super::service::ServiceManager;
use super::{CONFIG_PATH, control_socket};
use crate::config::edit::{Document, Setting};
use crate::config::model::{Device, Mac, Policy, Role, Settings};
use crate::daemon::request::{Format, Request};
use crate::sys::atomic_file;

/// What the daemon says of a reload that has not ended, and how often, once a second, the command asks again.
const IN_PROGRESS: &str = "in progress";
const RELOAD_TRIES: usize = 30;
/// The word for this machine itself.
const SELF: &str = "self";

/// Send a device's packets through the tunnel.
#[derive(FromArgs)]
#[argh(subcommand, name = "shape", example = "{command_name} 18:b4:30:26:34:40 --name 'Front door camera'")]
pub struct ShapeCommand {
    /// the device: its MAC, its IP address, or a name that 'millpond devices' shows; self is this machine
    #[argh(positional)]
    device: String,
    /// a name for the device, if it has no section in the settings yet
    #[argh(option)]
    name: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

/// Keep a device from the Internet. It still reaches the home.
#[derive(FromArgs)]
#[argh(subcommand, name = "block", example = "{command_name} television")]
pub struct BlockCommand {
    /// the device: its MAC, its IP address, or a name that 'millpond devices' shows; self is this machine
    #[argh(positional)]
    device: String,
    /// a name for the device, if it has no section in the settings yet
    #[argh(option)]
    name: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

/// Leave a device alone: its packets go out as without millpond.
#[derive(FromArgs)]
#[argh(subcommand, name = "direct", example = "{command_name} 192.168.77.20")]
pub struct DirectCommand {
    /// the device: its MAC, its IP address, or a name that 'millpond devices' shows; self is this machine
    #[argh(positional)]
    device: String,
    /// a name for the device, if it has no section in the settings yet
    #[argh(option)]
    name: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl ShapeCommand {
    /// Changes the settings, and lets the daemon read them.
    pub fn execute(self) -> Result<(), Failure> {
        set(Policy::Shape, &self.device, self.name, &self.config, self.socket)
    }
}

impl BlockCommand {
    /// Changes the settings, and lets the daemon read them.
    pub fn execute(self) -> Result<(), Failure> {
        set(Policy::Block, &self.device, self.name, &self.config, self.socket)
    }
}

impl DirectCommand {
    /// Changes the settings, and lets the daemon read them.
    pub fn execute(self) -> Result<(), Failure> {
        set(Policy::Direct, &self.device, self.name, &self.config, self.socket)
    }
}

fn set(policy: Policy, device: &str, name: Option<String>, config: &Path, socket: PathBuf) -> Result<(), Failure> {
    let address = DaemonAddress { socket: Some(socket), ubus: None };
    // Without a lock, two concurrent commands would overwrite each other's changes.
    let _lock = atomic_file::lock(config)
        .map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {}: {error}", config.display())))?;
    let before = read(config)?;
    let settings = parse(config, &before)?;
    if settings.role == Role::Endpoint {
        let text =
            format!("changing {}: these are an endpoint's settings, and devices are at the home", config.display());
        return Err(Failure::new(CONFIG, text));
    }
    let mut document = document(config, &before)?;
    let wanted = Wanted::find(device, &settings, || ask_for(&address, Request::Devices(Format::Text)))?;
    wanted.write(&mut document, policy, name);
    let text = document.text().as_bytes();
    parse(config, text)?;
    if text != before {
        write(config, text)?;
        reload(config, &before, &address)?;
    }
    let effect = match policy {
        Policy::Shape => "its packets go through the tunnel",
        Policy::Block => "it does not reach the Internet",
        Policy::Direct => "its packets go out as without millpond",
    };
    println!("{device}: {}: {effect}", policy.name());
    Ok(())
}

/// Lets a running daemon read the new settings. If it refuses, restores the previous file.
fn reload(config: &Path, before: &[u8], address: &DaemonAddress) -> Result<(), Failure> {
    let mut answer = ask(address, Request::Reload);
    for _ in 0..RELOAD_TRIES {
        // Such as that of a command before.
        if !matches!(&answer, Ok(DaemonAnswer::Refused(why)) if why.contains(IN_PROGRESS)) {
            break;
        }
        sleep(Duration::from_secs(1));
        answer = ask(address, Request::Reload);
    }
    match answer {
        Ok(DaemonAnswer::Given(_)) => Ok(()),
        Ok(DaemonAnswer::Refused(why)) => {
            write(config, before)?;
            Err(Failure::new(CONFIG, format!("reloading: {why}: nothing was changed")))
        }
        Err(_) => {
            let start = if ServiceManager::find().is_some() { "systemctl start millpond" } else { "millpond run" };
            eprintln!("millpond: the daemon is not running: start it: {start}");
            Ok(())
        }
    }
}

/// The device of a command.
#[derive(Debug, PartialEq)]
enum Wanted {
    /// The section of this number, counted from 0.
    Section(usize),
    /// This machine, without a section yet.
    Host,
    /// A device without a section: its MAC and its name, if it has one.
    Mac(Mac, Option<String>),
    /// A device without a section whose MAC is not known.
    Address(IpAddr),
}

impl Wanted {
    /// Finds the device that `text` names: in the settings, else in the daemon's list, which `list` asks for.
    fn find(
        text: &str,
        settings: &Settings,
        list: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Wanted, Failure> {
        let (mac, address) = (Mac::from_text(text), text.parse::<IpAddr>().ok());
        let is_it = |device: &Device| {
            mac.is_some_and(|mac| device.macs.contains(&mac))
                || address.is_some_and(|address| device.address == Some(address))
                || device.name == text
                || device.is_self && text == SELF
        };
        let mut sections = settings.devices.iter().enumerate().filter(|(_, device)| is_it(device));
        if let Some((index, _)) = sections.next() {
            return match sections.next() {
                None => Ok(Wanted::Section(index)),
                Some(_) => Err(not_one(text, "several sections of the settings have this name: use the MAC")),
            };
        }
        if text == SELF {
            return Ok(Wanted::Host);
        }
        let listed = match list() {
            Ok(listing) => listing,
            // A MAC or an address suffices.
            Err(_) if mac.is_some() || address.is_some() => String::new(),
            Err(failure) => return Err(failure),
        };
        let listed: Vec<(Mac, &str, &str)> = listed.lines().filter_map(listed_device).collect();
        let is_named = |(other, name, rest): &&(Mac, &str, &str)| match (mac, address) {
            (Some(mac), _) => *other == mac,
            (None, Some(_)) => rest.split(", ").any(|part| part == text),
            (None, None) => *name == text,
        };
        let mut found = listed.iter().filter(is_named);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(not_one(text, "several devices have this name: use the MAC")),
            (Some((found, name, _)), None) => {
                // The settings may name it by its MAC.
                let section = settings.devices.iter().position(|device| device.macs.contains(found));
                let name = Some((*name).to_owned()).filter(|name| name != "-");
                Ok(section.map_or(Wanted::Mac(*found, name), Wanted::Section))
            }
            (None, _) => match (mac, address) {
                (Some(mac), _) => Ok(Wanted::Mac(mac, None)),
                (None, Some(address)) => Ok(Wanted::Address(address)),
                (None, None) => Err(not_one(text, "no such device: 'millpond devices' lists them")),
            },
        }
    }

    /// Writes the policy into the device's section, or adds a section.
    fn write(self, document: &mut Document, policy: Policy, name: Option<String>) {
        let text = |value: &str| Setting::Text(value.to_owned());
        let policy = text(policy.name());
        let (own_name, key, value) = match self {
            Wanted::Section(index) => {
                document.set_at("device", index, "policy", &policy);
                name.iter().for_each(|name| document.set_at("device", index, "name", &text(name)));
                return;
            }
            Wanted::Host => (Some("this machine".to_owned()), "self", "1".to_owned()),
            Wanted::Mac(mac, name) => (name, "mac", mac.to_string()),
            Wanted::Address(address) => (None, "address", address.to_string()),
        };
        let mut options = vec![(key, text(&value)), ("policy", policy)];
        options.extend(name.or(own_name).map(|name| ("name", text(&name))));
        document.add("device", None, &options);
    }
}

/// MAC, name and the rest of a line of the daemon's list.
fn listed_device(line: &str) -> Option<(Mac, &str, &str)> {
    let (_, rest) = line.trim_start().split_once(' ')?;
    let (mac, rest) = rest.trim_start().split_once(' ')?;
    let (name, rest) = rest.split_once(", ").unwrap_or((rest, ""));
    Some((Mac::from_text(mac)?, name.trim(), rest))
}

fn not_one(text: &str, why: &str) -> Failure {
    Failure::new(DATA, format!("looking for the device '{text}': {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;

    const LISTING: &str = "\
shape  18:b4:30:26:34:40 Door camera, 192.168.1.11, fd00::11, lan, seen 2 s ago, 300 bytes up, 0 down
direct 74:2f:68:81:69:42 laptop, 192.168.1.12, lan, seen 1 s ago
direct 00:16:6c:ab:6b:88 -, 192.168.1.13, lan
direct 00:16:6c:ab:6b:89 laptop, 192.168.1.14, lan
shape  -                 attic, 192.168.1.99
";

    fn find(text: &str) -> Result<Wanted, String> {
        let mac = Mac::from_text("18:b4:30:26:34:40").into_iter().collect();
        let devices = vec![
            Device { macs: mac, ..example::device("camera", Policy::Shape) },
            Device { address: "192.168.1.99".parse().ok(), ..example::device("attic", Policy::Shape) },
        ];
        let settings = Settings { devices, ..example::router() };
        Wanted::find(text, &settings, || Ok(LISTING.to_owned())).map_err(|failure| failure.text)
    }

    #[test]
    fn a_device_is_found_by_each_of_its_names() {
        for text in ["camera", "18:B4:30:26:34:40", "192.168.1.11", "fd00::11", "Door camera"] {
            assert_eq!(find(text), Ok(Wanted::Section(0)), "{text}");
        }
        assert_eq!(find("192.168.1.99"), Ok(Wanted::Section(1)));
        let mac = |text| Mac::from_text(text).unwrap();
        assert_eq!(find("192.168.1.12"), Ok(Wanted::Mac(mac("74:2f:68:81:69:42"), Some("laptop".into()))));
        assert_eq!(find("192.168.1.13"), Ok(Wanted::Mac(mac("00:16:6c:ab:6b:88"), None)));
        assert_eq!(find("02:00:00:00:00:09"), Ok(Wanted::Mac(mac("02:00:00:00:00:09"), None)));
        assert_eq!(find("192.168.1.50"), Ok(Wanted::Address("192.168.1.50".parse().unwrap())));
        assert_eq!(find("self"), Ok(Wanted::Host));
        assert!(find("laptop").unwrap_err().contains("several devices"));
        assert!(find("toaster").unwrap_err().contains("'millpond devices' lists them"));
    }

    #[test]
    fn sections_are_changed_or_added() {
        let text = "config device\n\toption name 'camera'\n\toption mac '18:b4:30:26:34:40'\n";
        let mut document = Document::new(text.as_bytes()).unwrap();
        Wanted::Section(0).write(&mut document, Policy::Block, None);
        Wanted::Host.write(&mut document, Policy::Shape, None);
        Wanted::Mac(Mac([2, 0, 0, 0, 0, 9]), Some("plug".into())).write(
            &mut document,
            Policy::Direct,
            Some("lamp".into()),
        );
        let wanted = "config device\n\toption name 'camera'\n\toption mac '18:b4:30:26:34:40'\n\t\
                      option policy 'block'\n\n\
                      config device\n\toption self '1'\n\toption policy 'shape'\n\toption name 'this machine'\n\n\
                      config device\n\toption mac '02:00:00:00:00:09'\n\toption policy 'direct'\n\t\
                      option name 'lamp'\n";
        assert_eq!(document.text(), wanted);
    }
}
