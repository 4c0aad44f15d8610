//! Single-use join texts on an endpoint. The first router that uses a text's key announces its own key. The text's key
//! is then replaced and no longer valid. A text that is not used in time expires.
//!
//! The settings are changed as an operator would change them, by `millpond endpoint finish-enrolment`. That is a
//! process of its own, which then makes the daemon reload the settings, so no cell waits for it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use log::warn;

use crate::config::model::{Home, Key};
use crate::daemon::wall_clock::is_set;
use crate::sys::child::{Child, no_input};
use crate::units::Nanos;

/// A home whose enrolment failed is retried after this time. It may have failed because the settings file cannot be
/// written, or because the announced key is invalid. Other homes do not wait for it.
const ENROLMENT_RETRY_DELAY: Nanos = Nanos::from_secs(30);

/// The running `finish-enrolment` process, at most one at a time.
pub struct Enrolments {
    /// The settings file and the control socket, for the process.
    paths: [PathBuf; 2],
    /// The process, with the home's name.
    child: Option<(String, Child)>,
    /// Homes whose enrolment failed, and when to retry it.
    retries: Vec<(String, Nanos)>,
}

impl Enrolments {
    /// No process yet. The process gets the settings file at `config` and the control socket at `socket`.
    pub fn new(config: PathBuf, socket: PathBuf) -> Enrolments {
        Enrolments { paths: [config, socket], child: None, retries: Vec::new() }
    }

    /// Finishes the enrolment of one home that has announced its own key, or whose text has expired. `homes` are the
    /// homes with the key that each announced, if any; `unix_s` is the wall clock. To be called about once a second,
    /// while no change of the settings waits.
    pub fn handle_tick<'a>(&mut self, homes: impl Iterator<Item = (&'a Home, Option<Key>)>, unix_s: i64, now: Nanos) {
        let mut due = homes.filter_map(|(home, key_update)| Some((&home.name, due(home, key_update, unix_s)?)));
        let Some((name, due)) = due.find(|(name, _)| !self.has_failed(name)) else { return };
        match self.start(name, &due) {
            Ok(child) => self.child = Some((name.clone(), child)),
            Err(error) => {
                warn!("starting 'millpond endpoint finish-enrolment {name}': {error}");
                self.note_failure(name.clone(), now);
            }
        }
    }

    /// Starts the program that finishes a home's enrolment.
    fn start(&self, name: &str, due: &Due) -> io::Result<Child> {
        let arguments = self.arguments(name, due);
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        Child::spawn("/proc/self/exe", &arguments, [no_input()?, None, None])
    }

    /// The arguments of millpond that finish a home's enrolment.
    fn arguments(&self, name: &str, due: &Due) -> Vec<OsString> {
        let [config, socket] = self.paths.clone().map(OsString::from);
        let mut arguments = ["endpoint", "finish-enrolment", "--config"].map(OsString::from).to_vec();
        arguments.extend([config, "--socket".into(), socket]);
        if let Due::KeyUpdate(key) = due {
            arguments.extend(["--public-key".into(), key.to_base64().into()]);
        }
        // A name may look like an option.
        arguments.extend(["--".into(), name.into()]);
        arguments
    }

    /// Reaps a finished process. Returns whether another one may start.
    pub fn poll_idle(&mut self, now: Nanos) -> bool {
        self.retries.retain(|(_, until)| *until > now);
        let Some((name, mut child)) = self.child.take() else { return true };
        match child.try_wait() {
            Ok(None) => {
                self.child = Some((name, child));
                return false;
            }
            Ok(Some(status)) if status.success() => {}
            // The process has written its error to the same log as the daemon.
            _ => self.note_failure(name, now),
        }
        true
    }

    fn note_failure(&mut self, name: String, now: Nanos) {
        self.retries.push((name, now + ENROLMENT_RETRY_DELAY));
    }

    fn has_failed(&self, name: &str) -> bool {
        self.retries.iter().any(|(failed, _)| failed == name)
    }
}

/// Why a home's enrolment must be finished.
#[derive(Debug, PartialEq)]
enum Due {
    /// The router's own key replaces the join text's key.
    KeyUpdate(Key),
    /// No router used the join text in time.
    Expired,
}

fn due(home: &Home, key_update: Option<Key>, unix_s: i64) -> Option<Due> {
    let until = home.join_until?;
    let expired = until > 0 && is_set(unix_s) && unix_s as u64 > until;
    match key_update {
        _ if expired => Some(Due::Expired),
        Some(key) if home.public_key.as_ref() != Some(&key) => Some(Due::KeyUpdate(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_home_waits_and_others_do_not() {
        let s = Nanos::from_secs;
        let run = |program| Child::spawn(program, &[], [None, None, None]).unwrap();
        let mut enrolments = Enrolments::new(PathBuf::new(), PathBuf::new());
        enrolments.child = Some(("oak street".into(), run("false")));
        while !enrolments.poll_idle(s(1)) {
            std::thread::yield_now();
        }
        assert!(enrolments.has_failed("oak street") && !enrolments.has_failed("maple street"));
        enrolments.child = Some(("maple street".into(), run("true")));
        while !enrolments.poll_idle(s(30)) {
            std::thread::yield_now();
        }
        assert!(enrolments.has_failed("oak street") && !enrolments.has_failed("maple street"));
        assert!(enrolments.poll_idle(s(31)) && !enrolments.has_failed("oak street"));
    }

    #[test]
    fn a_name_is_never_read_as_an_option() {
        let enrolments = Enrolments::new("/etc/config/millpond".into(), "/run/socket".into());
        for due in [Due::Expired, Due::KeyUpdate(Key([2; 32]))] {
            let arguments = enrolments.arguments("-x", &due);
            assert_eq!(arguments[..2], ["endpoint", "finish-enrolment"]);
            assert_eq!(arguments[arguments.len() - 2..], ["--", "-x"], "{arguments:?}");
        }
    }

    #[test]
    fn a_join_texts_key_is_replaced_once_and_in_time() {
        let key = |byte| Key([byte; 32]);
        let home = |join_until| Home {
            name: "maple street".into(),
            public_key: Some(key(1)),
            preshared_key: None,
            address: [10, 77, 0, 2].into(),
            address6: None,
            max_download: crate::units::BitsPerSec::from_kbit(4000),
            max_upload: crate::units::BitsPerSec::from_kbit(4000),
            exit: None,
            join_until,
        };
        let clock = |seconds: i64| 1_800_000_000 + seconds;
        let until = Some(1_800_000_010);
        assert_eq!(due(&home(until), None, clock(10)), None);
        assert_eq!(due(&home(until), Some(key(2)), clock(10)), Some(Due::KeyUpdate(key(2))));
        assert_eq!(due(&home(until), Some(key(2)), clock(11)), Some(Due::Expired));
        assert_eq!(due(&home(until), None, clock(11)), Some(Due::Expired));
        assert_eq!(due(&home(until), None, 5_000_000_000), Some(Due::Expired));
        assert_eq!(due(&home(Some(0)), None, clock(11)), None, "0 means that the text never expires");
        assert_eq!(due(&home(Some(0)), Some(key(2)), clock(11)), Some(Due::KeyUpdate(key(2))));
        assert_eq!(due(&home(None), Some(key(2)), clock(11)), None, "the text is used up, or there was none");
        assert_eq!(due(&home(Some(5)), None, 60), None, "the clock is not set");
    }
}
