//! The journal of a talking device. Every event is written at once, because the scenario reads it while the device
//! runs; `millpond-lab leaks` reads it afterwards. Times are milliseconds of uptime, because a scenario sets the clock.
//!
//! ```text
//! sent,KIND,NUMBER,MS
//! answer,KIND,NUMBER,MS,VIA      VIA: the device's address as the other side saw it, or -
//! reached,KIND,MS,FROM           unsolicited traffic from outside
//! ```

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::clock::uptime_ms;

/// Shared by all threads of a talking device.
pub struct Diary(Mutex<File>);

impl Diary {
    /// Creates the file at `path`.
    pub fn create(path: &Path) -> Result<Diary, String> {
        File::create(path).map_err(|err| format!("creating the journal {}: {err}", path.display()))?;
        Diary::append(path)
    }

    /// Opens the file at `path`, to which other processes may add lines, too.
    pub fn append(path: &Path) -> Result<Diary, String> {
        let file = File::options().append(true).open(path);
        let file = file.map_err(|err| format!("opening the journal {}: {err}", path.display()))?;
        Ok(Diary(Mutex::new(file)))
    }

    /// Records that a request is about to leave.
    pub fn sent(&self, kind: &str, number: u32) {
        self.line(&format!("sent,{kind},{number},{}\n", uptime_ms()));
    }

    /// Records that the answer to a request has arrived.
    pub fn answered(&self, kind: &str, number: u32, via: Option<IpAddr>) {
        let via = via.map_or("-".to_owned(), |via| via.to_canonical().to_string());
        self.line(&format!("answer,{kind},{number},{},{via}\n", uptime_ms()));
    }

    /// Records that unsolicited traffic from `from` has arrived.
    pub fn reached(&self, kind: &str, from: IpAddr) {
        let from = from.to_canonical();
        let family = if from.is_ipv4() { 4 } else { 6 };
        self.line(&format!("reached,{kind}{family},{},{from}\n", uptime_ms()));
    }

    /// Writes a line with one call, so that a reader never sees part of one.
    fn line(&self, text: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(err) = file.write_all(text.as_bytes()) {
            eprintln!("millpond-world: writing the journal: {err}");
        }
    }
}
