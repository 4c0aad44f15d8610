//! What the machine was set to before millpond, to be given back at the end: kept in memory, and in a file beside the
//! control socket, where it outlives a daemon that was killed but no switching off, after which nothing is to be given
//! back.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use super::upkeep::outcome::Outcome;
use crate::plan::Forwarding;
use crate::sys::whole_file;

/// Sysctls as they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Former {
    /// Forwarding in either family; `None` until that is known.
    pub forwarding: Option<Forwarding>,
    /// Those of others' interfaces that we attached to.
    pub lent: BTreeMap<String, String>,
}

impl Former {
    /// What a daemon left that could not give it back.
    pub fn read(socket: &Path) -> Former {
        match fs::read_to_string(path(socket)) {
            Ok(text) => Former::from_text(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("reading {}: {error}: what it holds is not given back", path(socket).display());
                }
                Former::default()
            }
        }
    }

    /// Learns from what was done, and writes it down where it is news.
    pub fn learn(&mut self, outcome: &Outcome, socket: &Path) {
        let before = self.to_text();
        if self.forwarding.is_none() {
            self.forwarding.clone_from(&outcome.forwarding);
        }
        self.lent.extend(outcome.lent.clone());
        let text = self.to_text();
        if text == before {
            return;
        }
        if let Err(error) = whole_file::write(&path(socket), text.as_bytes(), 0o600) {
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
        self.lent.iter().for_each(|(key, value)| _ = writeln!(text, "lent {key} {value}"));
        text
    }

    /// Reads that again; what is not of this form is passed over.
    fn from_text(text: &str) -> Former {
        let mut former = Former::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "forwarding" => former.forwarding = Some(Forwarding::from_text(value)),
                // Of an interface, whose name may have a dot, which is written as a slash.
                "lent" => former.lent.extend(
                    value
                        .split_once(' ')
                        .filter(|(key, _)| key.starts_with("net.ipv4.conf.") && !key.contains("//"))
                        .map(|(key, value)| (key.to_owned(), value.to_owned())),
                ),
                _ => {}
            }
        }
        former
    }
}

fn path(socket: &Path) -> PathBuf {
    socket.with_extension("before")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former() -> Former {
        Former {
            forwarding: Some(Forwarding::from_text("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1")),
            lent: [("net.ipv4.conf.wg0.rp_filter".into(), "1".into())].into(),
        }
    }

    #[test]
    fn what_was_before_outlives_the_one_who_changed_it() {
        let socket = std::env::temp_dir().join(format!("millpond-former-{}.sock", std::process::id()));
        Former::forget(&socket);
        let mut first = Former::read(&socket);
        assert_eq!(first, Former::default());
        let Former { forwarding, lent } = former();
        let outcome = Outcome { forwarding, lent: lent.into_iter().next(), ..Outcome::default() };
        first.learn(&outcome, &socket);
        let mut second = Former::read(&socket);
        assert_eq!(second, former());
        // What the second finds is the first's doing.
        let forwarding = Some(Forwarding::from_text("net.ipv4.ip_forward=1"));
        second.learn(&Outcome { forwarding, ..Outcome::default() }, &socket);
        assert_eq!(Former::read(&socket), former());
        Former::forget(&socket);
        assert_eq!(Former::read(&socket), Former::default());
    }

    #[test]
    fn nonsense_is_passed_over() {
        let whole = former().to_text();
        (0..whole.len()).for_each(|length| drop(Former::from_text(&whole[..length])));
        let wild = "lent net.ipv4.conf.wg0.rp_filter\nlent net.ipv4.conf.//.x 1\nlent kernel.panic 1\n\u{0}\nx y";
        assert_eq!(Former::from_text(wild), Former::default());
    }
}
