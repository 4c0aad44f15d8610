//! `millpond reload`: bring changed settings into force.

use std::path::PathBuf;

use argh::FromArgs;

use super::SOCKET_PATH;
use super::exit::{CONFIG, Failure};
use super::status::ask;
use crate::daemon::REFUSED;

/// Have the running daemon read its settings again, in place.
#[derive(FromArgs)]
#[argh(subcommand, name = "reload")]
pub struct Reload {
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "PathBuf::from(SOCKET_PATH)")]
    socket: PathBuf,
}

impl Reload {
    /// Says that the settings are in force, or why those before still are.
    pub fn execute(self) -> Result<(), Failure> {
        let answer = ask(&self.socket, "reload")?;
        match answer.strip_prefix(REFUSED) {
            None => print!("{answer}"),
            Some(why) => {
                let text = format!("reloading: the settings before stay in force: {}", why.trim_end());
                return Err(Failure::new(CONFIG, text));
            }
        }
        Ok(())
    }
}
