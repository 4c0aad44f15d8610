//! An endpoint's part of join texts that are good for one use: the first router that comes with a text's key says by which
//! key it wants to be known, and from then on the text's means nothing. Texts that were not used in time mean nothing either.
//!
//! The settings are changed as an operator would change them, by `millpond endpoint finish-enrolment` in a process of its own,
//! which has the daemon read them again: no cell waits for it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use log::warn;

use super::EventLoop;
use crate::config::model::{Home, Key, Role};
use crate::sys::timer::wall_clock;
use crate::units::Nanos;

/// A clock that shows less was never set: 2025 began then.
const CLOCK_SET_AFTER: Duration = Duration::from_secs(1_735_689_600);
/// After a failure a home waits so long, as where the settings file cannot be written, or where it has claimed what cannot be
/// its key. Others need not wait for it.
const FAILED_ENROLMENT_PAUSE: Nanos = Nanos::from_secs(30);

/// The process at work, one at a time.
#[derive(Default)]
pub struct Enrolments {
    /// With the home's name.
    child: Option<(String, Child)>,
    /// Homes that wait, and until when.
    waiting: Vec<(String, Nanos)>,
}

impl Enrolments {
    /// Whether another process may begin.
    fn is_free(&mut self, now: Nanos) -> bool {
        self.waiting.retain(|(_, until)| *until > now);
        let Some((name, mut child)) = self.child.take() else { return true };
        match child.try_wait() {
            Ok(None) => {
                self.child = Some((name, child));
                return false;
            }
            Ok(Some(status)) if status.success() => {}
            // It has said why, where the daemon says things too.
            _ => self.make_wait(name, now),
        }
        true
    }

    fn make_wait(&mut self, name: String, now: Nanos) {
        self.waiting.push((name, now + FAILED_ENROLMENT_PAUSE));
    }

    fn waits(&self, name: &str) -> bool {
        self.waiting.iter().any(|(waiting, _)| waiting == name)
    }
}

impl EventLoop {
    /// Once a second: one home that announced its own key, or whose text has expired.
    pub(super) fn poll_enrolments(&mut self, now: Nanos) {
        let Some(settings) = self.settings.as_ref().filter(|settings| settings.role == Role::Endpoint) else { return };
        if self.reload.is_some() || !self.enrolments.is_free(now) {
            return;
        }
        let clock = wall_clock();
        let due = settings.homes.iter().zip(self.sessions.all_mut()).find_map(|(home, session)| {
            let key_update = session.poll_key_update();
            let due = due(home, key_update, clock).filter(|_| !self.enrolments.waits(&home.name))?;
            Some((home.name.clone(), due))
        });
        let Some((name, due)) = due else { return };
        let mut command = Command::new("/proc/self/exe");
        command.args(["endpoint", "finish-enrolment", &name]);
        if let Due::KeyUpdate(key) = due {
            command.args(["--public-key", &key.to_base64()]);
        }
        command.arg("--config").arg(&self.options.config).arg("--socket").arg(&self.options.socket);
        match command.stdin(Stdio::null()).spawn() {
            Ok(child) => self.enrolments.child = Some((name, child)),
            Err(error) => {
                warn!("starting 'millpond endpoint finish-enrolment {name}': {error}");
                self.enrolments.make_wait(name, now);
            }
        }
    }
}

/// What is to become of a home's key.
#[derive(Debug, PartialEq)]
enum Due {
    /// This one takes the text's place.
    KeyUpdate(Key),
    /// Nobody came with the text in time.
    Expired,
}

fn due(home: &Home, key_update: Option<Key>, clock: Duration) -> Option<Due> {
    let until = home.join_until?;
    let expired = until > 0 && clock >= CLOCK_SET_AFTER && clock.as_secs() > until;
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
    fn a_home_that_failed_waits_and_others_do_not() {
        let s = Nanos::from_secs;
        let run = |program| Command::new(program).spawn().unwrap();
        let mut enrolments = Enrolments { child: Some(("oak street".into(), run("false"))), ..Enrolments::default() };
        while !enrolments.is_free(s(1)) {
            std::thread::yield_now();
        }
        assert!(enrolments.waits("oak street") && !enrolments.waits("maple street"));
        enrolments.child = Some(("maple street".into(), run("true")));
        while !enrolments.is_free(s(30)) {
            std::thread::yield_now();
        }
        assert!(enrolments.waits("oak street") && !enrolments.waits("maple street"));
        assert!(enrolments.is_free(s(31)) && !enrolments.waits("oak street"));
    }

    #[test]
    fn a_texts_key_is_replaced_once_and_in_time() {
        let key = |byte| Key([byte; 32]);
        let home = |join_until| Home {
            name: "maple street".into(),
            public_key: Some(key(1)),
            preshared_key: None,
            address: [10, 77, 0, 2].into(),
            address6: None,
            max_download: crate::units::BitsPerSec::from_kbit(4000),
            join_until,
        };
        let clock = |seconds: u64| Duration::from_secs(1_800_000_000 + seconds);
        let until = Some(1_800_000_010);
        assert_eq!(due(&home(until), None, clock(10)), None);
        assert_eq!(due(&home(until), Some(key(2)), clock(10)), Some(Due::KeyUpdate(key(2))));
        assert_eq!(due(&home(until), Some(key(2)), clock(11)), Some(Due::Expired));
        assert_eq!(due(&home(until), None, clock(11)), Some(Due::Expired));
        assert_eq!(due(&home(until), None, Duration::from_secs(5_000_000_000)), Some(Due::Expired));
        assert_eq!(due(&home(Some(0)), None, clock(11)), None, "without end");
        assert_eq!(due(&home(Some(0)), Some(key(2)), clock(11)), Some(Due::KeyUpdate(key(2))));
        assert_eq!(due(&home(None), Some(key(2)), clock(11)), None, "it has been, or the router made it");
        assert_eq!(due(&home(Some(5)), None, Duration::from_secs(60)), None, "the clock is not set");
    }
}
