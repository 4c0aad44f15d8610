//! `millpond join`: make this router one of an endpoint's homes.

mod own_key;
mod plan;

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::FromArgs;

use self::plan::{JoinError, JoinPlan};
use super::CONFIG_PATH;
use super::client::{Answer, DaemonAddress, ask, ask_for};
use super::exit::{CONFIG, Failure, IO_ERROR, UNAVAILABLE};
use crate::daemon::request::{Format, Request};

/// Fill the settings from the join text that an endpoint's 'millpond endpoint add-home' printed, and wait until its
/// cells come. The text is read from standard input where it is not given, which keeps it out of the shell's history.
#[derive(FromArgs)]
#[argh(subcommand, name = "join")]
pub struct Join {
    /// the join text
    #[argh(positional)]
    text: Option<String>,
    /// print this router's public key, for 'add-home --public-key'; a key is made where there is none
    #[argh(switch)]
    make_key: bool,
    /// only say what would be set
    #[argh(switch)]
    dry_run: bool,
    /// write the files of the keys and leave the settings to the caller
    #[argh(switch)]
    keep_keys: bool,
    /// answer in JSON, and do not wait
    #[argh(switch)]
    json: bool,
    /// how many seconds to wait for the endpoint (default 60)
    #[argh(option, default = "60")]
    wait: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// folder for the keys (default /etc/millpond)
    #[argh(option, default = "PathBuf::from(\"/etc/millpond\")")]
    keys: PathBuf,
    /// the daemon's socket (default: ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the socket of ubus's broker
    #[argh(option)]
    ubus: Option<PathBuf>,
}

/// Longer than any join text.
const MAX_BYTES: u64 = 16 << 10;

/// Between two looks at the daemon.
const STATUS_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Join {
    /// Everything is checked before anything is written, and the settings are written last.
    pub fn execute(self) -> Result<(), Failure> {
        if self.make_key {
            println!("{}", own_key::make(&self.config, &self.keys)?.to_base64());
            return Ok(());
        }
        let filled = self.fill();
        if self.json {
            return print_json(filled, !self.dry_run);
        }
        let plan = filled.map_err(|refusal| refusal.failure)?;
        plan.warnings.iter().for_each(|warning| eprintln!("millpond: warning: {warning}"));
        if self.dry_run || self.keep_keys {
            print!("{plan}");
            return Ok(());
        }
        println!("{}: the settings for '{}' are in place", self.config.display(), plan.invitation.name);
        self.confirm(&plan)
    }

    fn fill(&self) -> Result<JoinPlan, JoinError> {
        let plan = JoinPlan::new(&self.text()?, &self.config, &self.keys)?;
        if !self.dry_run {
            plan.write(!self.keep_keys)?;
        }
        Ok(plan)
    }

    fn text(&self) -> Result<String, JoinError> {
        if let Some(text) = self.text.as_deref() {
            return Ok(text.to_owned());
        }
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| JoinError::new("file", IO_ERROR, format!("reading the join text: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Has the daemon take the settings, and waits until the endpoint answers.
    fn confirm(self, plan: &JoinPlan) -> Result<(), Failure> {
        let at = &plan.invitation.servers[0].at;
        let (wait, ways) = (self.wait, DaemonAddress { socket: self.socket, ubus: self.ubus });
        match ask(&ways, Request::Reload) {
            Ok(Answer::Given(_)) => {}
            Ok(Answer::Refused(why)) => return Err(Failure::new(CONFIG, format!("reloading: {why}"))),
            Err(_) => {
                println!(
                    "no daemon runs here yet: start it (/etc/init.d/millpond enable; /etc/init.d/millpond start), then look at 'millpond status'"
                );
                return Ok(());
            }
        }
        let deadline = Instant::now() + Duration::from_secs(wait);
        while Instant::now() < deadline {
            // The first look comes late enough for what the settings before had achieved to be gone.
            std::thread::sleep(2 * STATUS_POLL_INTERVAL);
            if ask_for(&ways, Request::Status(Format::Json)).is_ok_and(|status| status.contains(r#""state":"shaping""#))
            {
                println!("joined: the endpoint's cells come");
                return Ok(());
            }
        }
        let text = format!(
            "waiting for {at}: no answer within {wait} s, it is tried on: is its UDP port open, the home listed there, the text not used elsewhere? 'millpond status' tells more"
        );
        Err(Failure::new(UNAVAILABLE, text))
    }
}

/// One line for a program, be it good or bad.
fn print_json(filled: Result<JoinPlan, JoinError>, written: bool) -> Result<(), Failure> {
    match filled {
        Ok(plan) => {
            println!("{}", plan.to_json(written));
            Ok(())
        }
        Err(refusal) => {
            println!("{}", refusal.to_json());
            Err(refusal.failure)
        }
    }
}
