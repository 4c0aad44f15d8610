//! Combines a join text and a settings file into new settings, or explains why they do not fit.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::own_key;
use crate::cli::exit::{CONFIG, DATA, Failure, IO_ERROR};
use crate::config::edit::{Document, Setting};
use crate::config::join::{Assignment, Identity, Invitation};
use crate::config::model::Key;
use crate::config::{Severity, parse_with};
use crate::daemon::answers;
use crate::sys::{atomic_file, key_file};

/// The start of 2025, in Unix time. A clock that shows an earlier time has not been set.
const CLOCK_UNSET: Duration = Duration::from_secs(1_735_689_600);

/// The files to write, all checked.
pub(super) struct JoinPlan {
    /// The parsed join text.
    pub invitation: Invitation,
    /// Warnings for the owner, one line each.
    pub warnings: Vec<String>,
    assignments: Vec<Assignment>,
    key_files: Vec<(PathBuf, Key)>,
    /// The router's own public key, and whether it existed before.
    own_key: (Key, bool),
    config: PathBuf,
    settings: String,
}

/// Why `join` refuses a text, or cannot write the settings.
pub(super) struct JoinError {
    /// A stable code for programs.
    code: &'static str,
    /// One line for people, and the exit code.
    pub failure: Failure,
}

/// The plan for programs.
#[derive(Serialize)]
struct PlanAnswer<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    made_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_s: Option<u64>,
    max_download_kbit: u64,
    warnings: &'a [String],
    settings: PlannedSettings<'a>,
}

/// The error for programs.
#[derive(Serialize)]
struct ErrorAnswer<'a> {
    code: &'a str,
    error: &'a str,
}

/// Options by section.
struct PlannedSettings<'a>(&'a [Assignment]);

/// Texts and lists of one section by option.
struct PlannedSection<'a>(&'a [Assignment]);

impl Serialize for PlannedSettings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sections = || self.0.chunk_by(|a, b| a.section == b.section);
        let mut answer = serializer.serialize_struct("PlannedSettings", sections().count())?;
        for section in sections() {
            answer.serialize_field(section[0].section, &PlannedSection(section))?;
        }
        answer.end()
    }
}

impl Serialize for PlannedSection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_struct("PlannedSection", self.0.len())?;
        for Assignment { option, setting, .. } in self.0 {
            match setting {
                Setting::Text(text) => answer.serialize_field(option, text)?,
                Setting::List(texts) => answer.serialize_field(option, texts)?,
            }
        }
        answer.end()
    }
}

impl JoinPlan {
    /// Plans the settings file `config` from the join text `text`, with key files in the folder `keys`. Writes nothing.
    pub fn new(text: &str, config: &Path, keys: &Path) -> Result<JoinPlan, JoinError> {
        let mut warnings = Vec::new();
        let invitation = Invitation::from_text(text)
            .map_err(|error| JoinError::new(error.code(), DATA, format!("reading the join text: {error}")))?;
        check_age(&invitation, &mut warnings)?;
        let config_name = config.display();
        let before = fs::read(config).map_err(|error| {
            JoinError::new("file", IO_ERROR, format!("reading the settings {config_name}: {error}"))
        })?;
        let mut document = Document::new(&before).map_err(|error| {
            JoinError::new(
                "settings",
                CONFIG,
                format!("changing the settings {config_name}: line {}: {}", error.line, error.text),
            )
        })?;
        let existing_key = check_identity(&invitation, &before)?;

        let [join_file, preshared_file] = invitation.key_files().map(|name| keys.join(name));
        let mut key_files = Vec::new();
        let (private_key, own_key) = match existing_key {
            Some((value, key)) => (value, (key.public(), true)),
            None => {
                let own = keys.join(own_key::FILE);
                let key = own_key::generate().map_err(|failure| JoinError { code: "key", failure })?;
                key_files.push((own.clone(), key.clone()));
                (own.display().to_string(), (key.public(), false))
            }
        };
        let mut join_key = String::new();
        if let Identity::Private(key) = &invitation.identity {
            key_files.push((join_file.clone(), key.clone()));
            join_key = join_file.display().to_string();
        }
        let mut preshared_key = String::new();
        if let Some(key) = &invitation.preshared_key {
            key_files.push((preshared_file.clone(), key.clone()));
            preshared_key = preshared_file.display().to_string();
        }
        let assignments = invitation.settings(&private_key, &join_key, &preshared_key);
        document.assign(&assignments);
        let settings = document.text().to_owned();

        let read_key = |path: &str| {
            let planned = key_files.iter().find(|(file, _)| file.as_os_str() == path);
            planned.map_or_else(|| key_file::read(path), |(_, key)| Ok(key.to_base64()))
        };
        let parsed = parse_with(settings.as_bytes(), &read_key);
        if let Some(error) = parsed.problems.iter().find(|problem| problem.severity == Severity::Error) {
            let text = format!("writing the settings {config_name}: {error}: 'millpond check' lists all errors");
            return Err(JoinError::new("settings", CONFIG, text));
        }
        if let Some(settings) = parsed.settings.filter(|settings| settings.shape.download > invitation.max_download) {
            let (granted, requested) = (invitation.max_download.0 / 1000, settings.shape.download.0 / 1000);
            warnings.push(format!(
                "the endpoint grants at most {granted} kbit/s down, but the settings request {requested}"
            ));
        }
        Ok(JoinPlan { invitation, warnings, assignments, key_files, own_key, config: config.into(), settings })
    }

    /// Writes the key files and then, if `with_settings`, the settings.
    pub fn write(&self, with_settings: bool) -> Result<(), JoinError> {
        let write_error =
            |what: &Path, error| JoinError::new("file", IO_ERROR, format!("writing {}: {error}", what.display()));
        let new: Vec<&PathBuf> = self.key_files.iter().map(|(file, _)| file).filter(|file| !file.exists()).collect();
        for (file, key) in &self.key_files {
            let text = key.to_base64() + "\n";
            atomic_file::write(file, text.as_bytes(), 0o600).map_err(|error| write_error(file, error))?;
        }
        if with_settings {
            atomic_file::write(&self.config, self.settings.as_bytes(), 0o600).map_err(|error| {
                // Remove the new key files: no settings name them.
                new.iter().for_each(|file| _ = fs::remove_file(file));
                write_error(&self.config, error)
            })?;
        }
        Ok(())
    }

    /// The plan as one line of JSON without secrets. `written`: whether a new key has been saved.
    pub fn to_json(&self, written: bool) -> String {
        let (own_key, existed) = &self.own_key;
        let made_by = if self.invitation.has_private_key() { "endpoint" } else { "router" };
        json(&PlanAnswer {
            name: &self.invitation.name,
            public_key: (written || *existed).then(|| own_key.to_base64()),
            made_by,
            expires_s: self.invitation.expires,
            max_download_kbit: self.invitation.max_download.0 / 1000,
            warnings: &self.warnings,
            settings: PlannedSettings(&self.assignments),
        })
    }
}

impl fmt::Display for JoinPlan {
    /// Formats the settings as `uci show` does, without options to remove.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Assignment { section, option, setting, .. } in &self.assignments {
            let values = match setting {
                Setting::Text(text) if text.is_empty() => continue,
                Setting::Text(text) => vec![text],
                Setting::List(texts) => texts.iter().collect(),
            };
            for value in values {
                writeln!(f, "millpond.{section}.{option}='{value}'")?;
            }
        }
        Ok(())
    }
}

impl JoinError {
    pub fn new(code: &'static str, exit_code: u8, text: String) -> JoinError {
        JoinError { code, failure: Failure::new(exit_code, text) }
    }

    pub fn to_json(&self) -> String {
        json(&ErrorAnswer { code: self.code, error: &self.failure.text })
    }
}

fn json(answer: &impl Serialize) -> String {
    answers::to_json(answer).unwrap_or_else(|error| error.to_string())
}

fn check_age(invitation: &Invitation, warnings: &mut Vec<String>) -> Result<(), JoinError> {
    let Some(expires) = invitation.expires else { return Ok(()) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if now < CLOCK_UNSET {
        warnings.push("the clock is not set, so the expiry of the join text cannot be checked".into());
    } else if invitation.is_expired(now.as_secs()) {
        let hours = (now.as_secs() - expires).div_ceil(3600);
        let text =
            format!("reading the join text: it expired {hours} h ago: ask the endpoint's operator for a new one");
        return Err(JoinError::new("expired", DATA, text));
    }
    Ok(())
}

/// Checks whether the invitation is for this router. Returns the value of its private-key option and the key, if any.
fn check_identity(invitation: &Invitation, settings: &[u8]) -> Result<Option<(String, Key)>, JoinError> {
    let own = own_key::find(settings);
    match (&invitation.identity, own) {
        (Identity::Private(key), _)
            if own_key::find_option(settings, "join_key").is_some_and(|(_, used)| used == *key) =>
        {
            let text = "joining: this router has already used this join text: nothing was changed; \
                        'millpond status' shows its connection";
            Err(JoinError::new("used", DATA, text.into()))
        }
        (Identity::Private(_), own) => Ok(own),
        (Identity::Public(public), Some((value, own))) if own.public() == *public => Ok(Some((value, own))),
        (Identity::Public(public), Some(_)) => {
            let public = public.to_base64();
            let text = format!(
                "joining: the join text is for another router, with public key {public}: \
                 'millpond join --make-key' prints this router's key"
            );
            Err(JoinError::new("other-router", DATA, text))
        }
        (Identity::Public(_), None) => {
            let text = "joining: the join text contains no private key and this router has none: \
                        run 'millpond join --make-key', and ask the endpoint's operator to add the home with the \
                        printed key";
            Err(JoinError::new("no-key", DATA, text.into()))
        }
    }
}
