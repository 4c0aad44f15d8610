//! The service that runs the daemon: OpenWrt's init script or the systemd unit.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::exit::{Failure, UNAVAILABLE};
use crate::config::model::Role;
use crate::config::parse_with;
use crate::sys::child::{Child, no_input};
use crate::sys::key_file;

const INIT_SCRIPT: &str = "/etc/init.d/millpond";
const UNIT: &str = "millpond.service";
const UNIT_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// What manages the service on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceManager {
    /// OpenWrt's procd.
    InitScript,
    /// systemd, with the package's unit.
    Systemd,
}

impl ServiceManager {
    /// The manager of this host, if the service is installed.
    pub fn find() -> Option<ServiceManager> {
        let has_unit = || UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(UNIT).exists());
        if Path::new("/run/systemd/system").exists() && has_unit() {
            Some(ServiceManager::Systemd)
        } else if Path::new(INIT_SCRIPT).exists() {
            Some(ServiceManager::InitScript)
        } else {
            None
        }
    }

    /// Starts the service, now and at every boot. Fails with what to do.
    pub fn start(self) -> Result<(), Failure> {
        let (program, enable, start) = match self {
            ServiceManager::InitScript => (INIT_SCRIPT, &["enable"][..], &["start"][..]),
            ServiceManager::Systemd => ("systemctl", &["enable", "--quiet", UNIT][..], &["restart", UNIT][..]),
        };
        for arguments in [enable, start] {
            // The daemon must not keep the command's input open.
            let words: Vec<_> = arguments.iter().map(OsStr::new).collect();
            let status = no_input().and_then(|input| Child::spawn(program, &words, [input, None, None])?.wait());
            let why = match status {
                Ok(status) if status.success() => continue,
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let text = format!("starting the service: {program} {}: {why}: {}", arguments[0], self.log_hint());
            return Err(Failure::new(UNAVAILABLE, text));
        }
        Ok(())
    }

    fn log_hint(self) -> &'static str {
        match self {
            ServiceManager::InitScript => "see 'logread -e millpond'",
            ServiceManager::Systemd => "see 'systemctl status millpond'",
        }
    }
}

/// Explains why no daemon answers if the settings file `config` says so: the file is missing, or millpond is off.
pub fn why_off(config: &Path) -> Option<String> {
    let shown = config.display();
    let text = match fs::read(config) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("millpond has no settings: {shown} is missing: install the package again"));
        }
        Err(_) => return None,
    };
    let settings = parse_with(&text, &key_file::read).settings.filter(|settings| !settings.enabled)?;
    let set_up = match settings.role {
        #[cfg(feature = "endpoint")]
        Role::Router if ServiceManager::find() == Some(ServiceManager::Systemd) => {
            "run 'millpond router init' here, then 'millpond join' with the join text from your server; on the server \
             itself run 'millpond endpoint init'"
        }
        Role::Router => "run 'millpond join' with the join text from your server",
        Role::Endpoint => "run 'millpond endpoint init'",
    };
    Some(match settings.tunnel {
        None => format!("millpond is off and not set up: devices go out as without millpond: {set_up}"),
        Some(_) => format!(
            "millpond is off: devices go out as without millpond: to turn it on, set millpond.main.enabled to 1 in \
             {shown}, then run: {}",
            match ServiceManager::find() {
                Some(ServiceManager::Systemd) => "systemctl restart millpond",
                _ => "/etc/init.d/millpond reload",
            }
        ),
    })
}
