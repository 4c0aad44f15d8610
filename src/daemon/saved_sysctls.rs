//! What the machine was set to before millpond, to be given back at the end: kept in memory, and in a file beside the
//! control socket, where it outlives a daemon that was killed but no switching off, after which nothing is to be given
//! back.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use super::reconcile::report::ReconcileReport;
use crate::plan::Forwarding;
use crate::sys::atomic_file;

/// Sysctls as they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SavedSysctls {
    /// Forwarding in either family; `None` until that is known.
    pub forwarding: Option<Forwarding>,
    /// Those of others' interfaces that we attached to.
    pub overridden: BTreeMap<String, String>,
}

impl SavedSysctls {
    /// What a daemon left that could not give it back.
    pub fn read(socket: &Path) -> SavedSysctls {
        match fs::read_to_string(path(socket)) {
            Ok(text) => SavedSysctls::from_text(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("reading {}: {error}: what it holds is not given back", path(socket).display());
                }
                SavedSysctls::default()
            }
        }
    }

    /// Learns from what was done, and writes it down where it is news.
    pub fn learn(&mut self, report: &ReconcileReport, socket: &Path) {
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
            warn!("writing {}: {error}: killed, millpond would give nothing back", path(socket).display());
        }
    }

    /// It has all been given back.
    pub fn forget(socket: &Path) {
        _ = fs::remove_file(path(socket));
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        self.forwarding.iter().for_each(|forwarding| _ = writeln!(text, "forwarding {forwarding}"));
        self.overridden.iter().for_each(|(key, value)| _ = writeln!(text, "overridden {key} {value}"));
        text
    }

    /// Reads that again; what is not of this form is passed over.
    fn from_text(text: &str) -> SavedSysctls {
        let mut saved_sysctls = SavedSysctls::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "forwarding" => saved_sysctls.forwarding = Some(Forwarding::from_text(value)),
                // Of an interface, whose name may have a dot, which is written as a slash.
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
    fn what_was_before_outlives_the_one_who_changed_it() {
        let socket = std::env::temp_dir().join(format!("millpond-saved-sysctls-{}.sock", std::process::id()));
        SavedSysctls::forget(&socket);
        let mut first = SavedSysctls::read(&socket);
        assert_eq!(first, SavedSysctls::default());
        let SavedSysctls { forwarding, overridden } = saved_sysctls();
        let report =
            ReconcileReport { forwarding, overridden: overridden.into_iter().next(), ..ReconcileReport::default() };
        first.learn(&report, &socket);
        let mut second = SavedSysctls::read(&socket);
        assert_eq!(second, saved_sysctls());
        // What the second finds is the first's doing.
        let forwarding = Some(Forwarding::from_text("net.ipv4.ip_forward=1"));
        second.learn(&ReconcileReport { forwarding, ..ReconcileReport::default() }, &socket);
        assert_eq!(SavedSysctls::read(&socket), saved_sysctls());
        SavedSysctls::forget(&socket);
        assert_eq!(SavedSysctls::read(&socket), SavedSysctls::default());
    }

    #[test]
    fn nonsense_is_passed_over() {
        let whole = saved_sysctls().to_text();
        (0..whole.len()).for_each(|length| drop(SavedSysctls::from_text(&whole[..length])));
        let wild = "overridden net.ipv4.conf.wg0.rp_filter\noverridden net.ipv4.conf.//.x 1\noverridden kernel.panic 1\n\u{0}\nx y";
        assert_eq!(SavedSysctls::from_text(wild), SavedSysctls::default());
    }
}
