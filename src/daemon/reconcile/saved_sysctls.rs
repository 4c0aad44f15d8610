//! The host's sysctls from before millpond, to be restored at exit. They are kept in memory and in a file beside the
//! control socket. The file survives a killed daemon. It does not survive a reboot, after which there is nothing to
//! restore.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use crate::daemon::reconcile::report::ReconcileReport;
use crate::plan::Forwarding;
use crate::sys::atomic_file;

/// Sysctl values from before millpond changed them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SavedSysctls {
    /// Forwarding in both IP versions; `None` until it is known.
    pub forwarding: Option<Forwarding>,
    /// Sysctls of the interfaces that millpond attached to: key and value.
    pub overridden: BTreeMap<String, String>,
}

impl SavedSysctls {
    /// Reads the values that a killed daemon left beside `socket`.
    pub fn read(socket: &Path) -> SavedSysctls {
        match fs::read_to_string(path(socket)) {
            Ok(text) => SavedSysctls::from_text(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("reading {}: {error}: the sysctls in it will not be restored", path(socket).display());
                }
                SavedSysctls::default()
            }
        }
    }

    /// Adds the sysctls that a reconcile job changed, and writes the file if there are new ones.
    pub fn save(&mut self, report: &ReconcileReport, socket: &Path) {
        let before = self.to_text();
        if self.forwarding.is_none() {
            self.forwarding.clone_from(&report.forwarding);
        }
        self.overridden.extend(report.overridden.clone());
        let text = self.to_text();
        if text == before {
            return;
        }
        if let Err(error) = atomic_file::write(&path(socket), text.as_bytes(), 0o600) {
            warn!(
                "writing {}: {error}: if millpond is killed, the original sysctls will not be restored",
                path(socket).display()
            );
        }
    }

    /// Removes the file, after all values have been restored.
    pub fn forget(socket: &Path) {
        _ = fs::remove_file(path(socket));
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        self.forwarding.iter().for_each(|forwarding| _ = writeln!(text, "forwarding {forwarding}"));
        self.overridden.iter().for_each(|(key, value)| _ = writeln!(text, "overridden {key} {value}"));
        text
    }

    /// Parses the output of `to_text`. Lines of another form are ignored.
    pub fn from_text(text: &str) -> SavedSysctls {
        let mut saved_sysctls = SavedSysctls::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "forwarding" => saved_sysctls.forwarding = Some(Forwarding::from_text(value)),
                // The key of an interface's sysctl. A dot in the interface's name is written as a slash.
                "overridden" => saved_sysctls.overridden.extend(
                    value
                        .split_once(' ')
                        .filter(|(key, _)| key.starts_with("net.ipv4.conf.") && !key.contains("//"))
                        .map(|(key, value)| (key.to_owned(), value.to_owned())),
                ),
                _ => {}
            }
        }
        saved_sysctls
    }
}

fn path(socket: &Path) -> PathBuf {
    socket.with_extension("before")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved_sysctls() -> SavedSysctls {
        SavedSysctls {
            forwarding: Some(Forwarding::from_text("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1")),
            overridden: [("net.ipv4.conf.wg0.rp_filter".into(), "1".into())].into(),
        }
    }

    #[test]
    fn saved_values_survive_a_restart() {
        let socket = std::env::temp_dir().join(format!("millpond-saved-sysctls-{}.sock", std::process::id()));
        SavedSysctls::forget(&socket);
        let mut first = SavedSysctls::read(&socket);
        assert_eq!(first, SavedSysctls::default());
        let SavedSysctls { forwarding, overridden } = saved_sysctls();
        let report =
            ReconcileReport { forwarding, overridden: overridden.into_iter().next(), ..ReconcileReport::default() };
        first.save(&report, &socket);
        let mut second = SavedSysctls::read(&socket);
        assert_eq!(second, saved_sysctls());
        // The value that the second daemon finds was set by the first one.
        let forwarding = Some(Forwarding::from_text("net.ipv4.ip_forward=1"));
        second.save(&ReconcileReport { forwarding, ..ReconcileReport::default() }, &socket);
        assert_eq!(SavedSysctls::read(&socket), saved_sysctls());
        SavedSysctls::forget(&socket);
        assert_eq!(SavedSysctls::read(&socket), SavedSysctls::default());
    }

    #[test]
    fn malformed_lines_are_ignored() {
        let text = saved_sysctls().to_text();
        (0..text.len()).for_each(|length| drop(SavedSysctls::from_text(&text[..length])));
        let malformed = "overridden net.ipv4.conf.wg0.rp_filter\noverridden net.ipv4.conf.//.x 1\n\
                         overridden kernel.panic 1\n\u{0}\nx y";
        assert_eq!(SavedSysctls::from_text(malformed), SavedSysctls::default());
    }
}
