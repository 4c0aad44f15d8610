//! `millpond join`: connects this router to an endpoint as one of its homes.

mod own_key;
mod plan;

use std::io::{BufRead, IsTerminal, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use argh::FromArgs;

use self::plan::{JoinError, JoinPlan};
use super::CONFIG_PATH;
use super::client::{DaemonAddress, DaemonAnswer, ask, ask_for};
use super::exit::{CONFIG, Failure, IO_ERROR, UNAVAILABLE};
use super::service::ServiceManager;
use crate::daemon::request::{Format, Request};

/// Write the settings from the join text that 'millpond endpoint add-home' printed, start the service, and wait for the
/// endpoint's cells.
/// Without an argument the text is read from standard input, which keeps it out of the shell's history.
#[derive(FromArgs)]
#[argh(subcommand, name = "join", example = "{command_name}            # paste the text, press Enter, then Ctrl-D")]
pub struct JoinCommand {
    /// the join text
    #[argh(positional)]
    text: Option<String>,
    /// print this router's public key, for 'add-home --public-key'; creates a key if there is none
    #[argh(switch)]
    make_key: bool,
    /// print the settings without writing them
    #[argh(switch)]
    dry_run: bool,
    /// write the key files, but leave the settings to the caller
    #[argh(switch)]
    keep_keys: bool,
    /// print JSON, and do not wait
    #[argh(switch)]
    json: bool,
    /// do not start a service that is not running
    #[argh(switch)]
    no_start: bool,
    /// seconds to wait for the endpoint (default 60)
    #[argh(option, default = "60")]
    wait: u64,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: PathBuf,
    /// folder for the keys (default /etc/millpond)
    #[argh(option, default = "PathBuf::from(\"/etc/millpond\")")]
    keys: PathBuf,
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

/// Maximum bytes of input; longer than any join text.
const MAX_BYTES: u64 = 16 << 10;

/// The daemon's state once it receives the endpoint's cells.
const SHAPING: &str = "shaping";

/// The interval between two requests for the state.
const STATE_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl JoinCommand {
    /// Checks everything before it writes anything, and writes the settings last.
    pub fn execute(self) -> Result<(), Failure> {
        if self.make_key {
            println!("{}", own_key::find_or_create(&self.config, &self.keys)?.to_base64());
            return Ok(());
        }
        let plan = self.write_plan();
        if self.json {
            return print_json(plan, !self.dry_run);
        }
        let plan = plan.map_err(|error| error.failure)?;
        plan.warnings.iter().for_each(|warning| eprintln!("millpond: warning: {warning}"));
        if self.dry_run || self.keep_keys {
            print!("{plan}");
            return Ok(());
        }
        println!("{}: wrote the settings for '{}'", self.config.display(), plan.invitation.name);
        self.start_and_wait(&plan)
    }

    fn write_plan(&self) -> Result<JoinPlan, JoinError> {
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
        let read = stdin().take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| JoinError::new("file", IO_ERROR, format!("reading the join text: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reloads or starts the daemon, and waits until the endpoint answers.
    fn start_and_wait(self, plan: &JoinPlan) -> Result<(), Failure> {
        let at = &plan.invitation.servers[0].at;
        let (wait, address) = (self.wait, DaemonAddress { socket: self.socket, ubus: self.ubus });
        match ask(&address, Request::Reload) {
            Ok(DaemonAnswer::Given(_)) => {}
            Ok(DaemonAnswer::Refused(why)) => return Err(Failure::new(CONFIG, format!("reloading: {why}"))),
            Err(_) => {
                // The service reads no other file.
                let manager = ServiceManager::find()
                    .filter(|_| !self.no_start && self.config == Path::new(CONFIG_PATH) && is_wanted());
                let Some(manager) = manager else {
                    println!(
                        "the daemon is not running: start it (/etc/init.d/millpond enable; /etc/init.d/millpond \
                         start), then see 'millpond status'"
                    );
                    return Ok(());
                };
                manager.start()?;
                println!("started the service; waiting for {at}");
            }
        }
        let deadline = Instant::now() + Duration::from_secs(wait);
        while Instant::now() < deadline {
            // Wait before the first request, so that it does not show the state of the previous settings.
            std::thread::sleep(2 * STATE_POLL_INTERVAL);
            if ask_for(&address, Request::State).is_ok_and(|state| state.trim_end() == SHAPING) {
                println!("joined: receiving the endpoint's cells");
                return Ok(());
            }
        }
        // What the daemon itself lacks says more than the silence.
        let status = ask_for(&address, Request::Status(Format::Text)).unwrap_or_default();
        if let Some(error) = status.lines().find_map(|line| line.strip_prefix("error: ")) {
            let text = format!("waiting for {at}: {error}; millpond keeps retrying; 'millpond status' shows more");
            return Err(Failure::new(UNAVAILABLE, text));
        }
        let text = format!(
            "waiting for {at}: no answer within {wait} s; millpond keeps retrying: check that its UDP port is open, \
             that it lists this home and that no other router used the join text; 'millpond status' shows more"
        );
        Err(Failure::new(UNAVAILABLE, text))
    }
}

/// Asks on a terminal whether to start the service. Elsewhere, such as in a script, joining implies it.
fn is_wanted() -> bool {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return true;
    }
    print!("start millpond now, and at every boot? [Y/n] ");
    _ = stdout().flush();
    let mut answer = String::new();
    // The end of the input, such as another Ctrl-D, is no answer.
    stdin().lock().read_line(&mut answer).is_ok_and(|bytes| bytes > 0) && !answer.trim_start().starts_with(['n', 'N'])
}

/// Prints one line of JSON, for the plan or the error.
fn print_json(plan: Result<JoinPlan, JoinError>, written: bool) -> Result<(), Failure> {
    match plan {
        Ok(plan) => {
            println!("{}", plan.to_json(written));
            Ok(())
        }
        Err(error) => {
            println!("{}", error.to_json());
            Err(error.failure)
        }
    }
}
