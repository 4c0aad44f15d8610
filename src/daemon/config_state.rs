//! The settings: those in force, those of the file, and a change that is not in force yet.

use std::path::{Path, PathBuf};

use log::warn;

use crate::config::model::Settings;
use crate::daemon::error::Error;

/// The settings file, parsed.
pub struct SettingsFile {
    /// The settings, or why they are invalid.
    pub settings: Result<Settings, Error>,
    /// The readable part of broken settings: see [`crate::config::Parsed::understood`].
    pub understood: Option<Settings>,
}

impl SettingsFile {
    /// Reads the settings and logs each problem in them.
    pub fn read(path: &Path) -> SettingsFile {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                let settings = Err(Error::Unreadable { path: path.into(), error });
                return SettingsFile { settings, understood: None };
            }
        };
        let parsed = crate::config::parse_with(&text, &crate::sys::key_file::read);
        let name = path.display().to_string();
        for problem in &parsed.problems {
            warn!("{}", problem.at(&name));
        }
        let settings = parsed.settings.ok_or_else(|| {
            Error::Settings(format!("reading the settings {name}: they are invalid: run millpond check"))
        });
        SettingsFile { settings, understood: parsed.understood }
    }
}

/// New settings that are not in force yet.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsChange {
    /// The settings to apply: those of the file, with the level that the clock selects.
    pub settings: Settings,
    /// The same settings as configured; `None` if only the schedule changed the level.
    pub configured: Option<Settings>,
    /// Whether the daemon itself caused the change: by the schedule, or after a server's silence.
    pub is_automatic: bool,
    /// Whether a reconcile job is applying the settings.
    is_started: bool,
}

impl SettingsChange {
    /// A change to settings of the file.
    pub fn of_file(settings: Settings, configured: Settings, is_automatic: bool) -> SettingsChange {
        SettingsChange { settings, configured: Some(configured), is_automatic, is_started: false }
    }

    /// A change to the level that the clock selects.
    pub fn of_level(settings: Settings) -> SettingsChange {
        SettingsChange { settings, configured: None, is_automatic: true, is_started: false }
    }
}

/// What a reconcile job must apply.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The settings for the guard: the same, or stricter.
    pub guarded: &'a Settings,
}

/// The settings of a running daemon.
pub struct ConfigState {
    /// The settings file.
    path: PathBuf,
    in_force: Option<Settings>,
    /// The settings in force as configured, except for the order of the servers and the key in use.
    configured: Option<Settings>,
    /// The settings in force plus what a broken file confines in addition. Only the guard uses them.
    confined: Option<Settings>,
    change: Option<SettingsChange>,
    /// Whether another reload was requested during the current change.
    reload_again: bool,
}

impl ConfigState {
    /// No settings yet. They are read from the file at `path`.
    pub fn new(path: PathBuf) -> ConfigState {
        ConfigState { path, in_force: None, configured: None, confined: None, change: None, reload_again: false }
    }

    /// Reads the settings file.
    pub fn read_file(&self) -> SettingsFile {
        SettingsFile::read(&self.path)
    }

    /// The settings in force; `None` until there are valid ones.
    pub fn in_force(&self) -> Option<&Settings> {
        self.in_force.as_ref()
    }

    /// The settings in force as configured: their level is the file's, not the clock's.
    pub fn configured(&self) -> Option<&Settings> {
        self.configured.as_ref()
    }

    /// Whether a change is not in force yet.
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// Puts settings into force at once. `configured` is the same without the clock's level; `None` if it stays.
    pub fn set(&mut self, settings: Settings, configured: Option<Settings>) {
        self.in_force = Some(settings);
        self.configured = configured.or(self.configured.take());
    }

    /// Sets the stricter settings for the guard, or none.
    pub fn confine(&mut self, confined: Option<Settings>) {
        self.confined = confined;
    }

    /// The stricter settings for the guard if a broken file says `understood`; `None` without settings in force.
    pub fn confined_by(&self, understood: &Settings) -> Option<Settings> {
        self.in_force.as_ref().map(|settings| settings.confined_by(understood))
    }

    /// Starts a change. The previous settings stay in force until a job has applied it: then follow
    /// [`ConfigState::take_started`] and [`ConfigState::set`].
    pub fn start(&mut self, change: SettingsChange) {
        self.change = Some(change);
    }

    /// What the next reconcile job must apply; `None` without settings. If `may_change` is true, a waiting change is
    /// what it applies, and counts as started.
    pub fn start_job(&mut self, may_change: bool) -> Option<JobSettings<'_>> {
        let change = self.change.as_mut().filter(|_| may_change).map(|change| {
            change.is_started = true;
            &change.settings
        });
        let settings = change.or(self.in_force.as_ref())?;
        Some(JobSettings { settings, guarded: self.confined.as_ref().unwrap_or(settings) })
    }

    /// Takes the change that the last reconcile job applied.
    pub fn take_started(&mut self) -> Option<SettingsChange> {
        self.change.take_if(|change| change.is_started)
    }

    /// Takes the waiting change, started or not.
    pub fn take_change(&mut self) -> Option<SettingsChange> {
        self.change.take()
    }

    /// Remembers that a reload was requested during a change.
    pub fn reload_later(&mut self) {
        self.reload_again = true;
    }

    /// Whether a remembered reload must start now, once.
    pub fn poll_reload(&mut self) -> bool {
        self.change.is_none() && std::mem::take(&mut self.reload_again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::config::model::Level;

    fn settings(level: Level) -> Settings {
        Settings { level, ..example::router() }
    }

    #[test]
    fn a_change_replaces_the_settings_only_when_a_job_has_applied_it() {
        let mut config = ConfigState::new(PathBuf::new());
        assert!(config.start_job(true).is_none());
        let (saver, strict) = (settings(Level::Saver), settings(Level::Strict));
        config.set(saver.clone(), Some(saver.clone()));
        config.start(SettingsChange::of_file(strict.clone(), strict.clone(), false));
        assert_eq!(config.start_job(false).map(|job| job.settings), Some(&saver), "its endpoint has no address yet");
        assert_eq!(config.take_started(), None);
        assert_eq!(config.start_job(true).map(|job| job.settings), Some(&strict));
        let change = config.take_started().expect("the started change");
        assert_eq!((config.in_force(), config.is_changing()), (Some(&saver), false));
        config.set(change.settings, change.configured);
        assert_eq!((config.in_force(), config.configured()), (Some(&strict), Some(&strict)));
    }

    #[test]
    fn the_clocks_level_leaves_the_configured_settings() {
        let mut config = ConfigState::new(PathBuf::new());
        config.set(settings(Level::Saver), Some(settings(Level::Saver)));
        let change = SettingsChange::of_level(settings(Level::Strict));
        config.set(change.settings, change.configured);
        assert_eq!(config.configured(), Some(&settings(Level::Saver)));
        assert_eq!(config.in_force(), Some(&settings(Level::Strict)));
    }

    #[test]
    fn a_broken_file_makes_only_the_guard_stricter() {
        let mut config = ConfigState::new(PathBuf::new());
        config.set(settings(Level::Saver), None);
        config.confine(Some(settings(Level::Strict)));
        let job = config.start_job(true).expect("settings");
        assert_eq!((job.settings.level, job.guarded.level), (Level::Saver, Level::Strict));
        config.confine(None);
        assert_eq!(config.start_job(true).map(|job| job.guarded.level), Some(Level::Saver));
    }

    #[test]
    fn a_reload_during_a_change_is_remembered_once() {
        let mut config = ConfigState::new(PathBuf::new());
        config.start(SettingsChange::of_level(settings(Level::Saver)));
        config.reload_later();
        assert!(!config.poll_reload());
        config.take_change();
        assert!(config.poll_reload() && !config.poll_reload());
    }
}
