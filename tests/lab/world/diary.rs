//! What a talker says and hears, on paper at once, for the judge and for whoever waits for an answer meanwhile.
//! Times are milliseconds of uptime, for a scenario that sets the clock.
//!
//! ```text
//! sent,KIND,NUMBER,MS
//! answer,KIND,NUMBER,MS,VIA      VIA: the talker's address as the other side saw it, or -
//! reached,KIND,MS,FROM           by somebody outside who was not asked
//! ```

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::clock::uptime_ms;

/// Shared by all threads of a talker.
pub struct Diary(Mutex<File>);

impl Diary {
    /// A new one at `path`.
    pub fn create(path: &Path) -> Result<Diary, String> {
        let file = File::create(path).map_err(|err| format!("making the journal {}: {err}", path.display()))?;
        Ok(Diary(Mutex::new(file)))
    }

    /// A question is about to leave.
    pub fn sent(&self, kind: &str, number: u32) {
        self.line(&format!("sent,{kind},{number},{}\n", uptime_ms()));
    }

    /// Its answer has come.
    pub fn answered(&self, kind: &str, number: u32, via: Option<IpAddr>) {
        let via = via.map_or("-".to_owned(), |via| via.to_canonical().to_string());
        self.line(&format!("answer,{kind},{number},{},{via}\n", uptime_ms()));
    }

    /// Somebody got in.
    pub fn reached(&self, kind: &str, from: IpAddr) {
        let from = from.to_canonical();
        let family = if from.is_ipv4() { 4 } else { 6 };
        self.line(&format!("reached,{kind}{family},{},{from}\n", uptime_ms()));
    }

    /// One write for each line, so that a reader never sees half of one.
    fn line(&self, text: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(err) = file.write_all(text.as_bytes()) {
            eprintln!("millpond-world: writing the journal: {err}");
        }
    }
}
