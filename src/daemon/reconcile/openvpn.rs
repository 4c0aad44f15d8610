//! The openvpn process that carries the cells: its start, its output and its restarts.
//!
//! The process serves an interface that millpond creates and keeps, so queueing tree, address and routes exist before
//! it starts and after it exits. While no process runs, the schedule continues and cells sent to the interface are
//! lost.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use log::{info, warn};

use crate::config::model::{Role, Settings};
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::openvpn_profile::{self, LoadedProfile, ProfileError};
use crate::sys::process::{self, Output, Process};
use crate::tunnel;
use crate::tunnel::openvpn::{self, OPENVPN, OutputEvent};
use crate::units::Nanos;

/// The program. `/usr/sbin` is not in every service's path.
const PROGRAMS: [&str; 2] = ["openvpn", "/usr/sbin/openvpn"];

/// First and maximum delay before a restart. The delay doubles each time the process did not run for `STABLE_AFTER`.
const MIN_RESTART_DELAY: Nanos = Nanos::from_secs(1);
const MAX_RESTART_DELAY: Nanos = Nanos::from_secs(60);
const STABLE_AFTER: Nanos = Nanos::from_secs(60);

/// Delay before a restart after the two ends negotiated a data channel that does not suit cells. Somebody has to change
/// a profile first.
const UNSUITABLE_RESTART_DELAY: Nanos = Nanos::from_secs(60);

/// Time to exit after SIGTERM, before SIGKILL.
const EXIT_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Maximum lines of output read in one turn.
const LINE_BATCH: usize = 8;

/// Supervisor of the openvpn process.
pub struct Openvpn {
    /// The setup to run; `None` if no process is wanted any more.
    setup: Option<ProcessSetup>,
    process: Option<Process>,
    /// When to send SIGKILL, after SIGTERM was sent.
    kill_at: Option<Nanos>,
    started: Nanos,
    next_start: Nanos,
    restart_delay: Nanos,
    last_line: String,
}

/// Everything a process is started with. Another setup needs another process.
#[derive(Clone, PartialEq, Eq)]
struct ProcessSetup {
    arguments: Vec<String>,
    /// `tunnel.address`, on a router.
    address: Option<Ipv4Addr>,
    /// Hash of the profile's text.
    profile_hash: u64,
}

/// An event of the openvpn process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenvpnEvent {
    /// The client is connected, or the server listens.
    Up,
    /// The process failed or reported a problem.
    Failed(Problem),
}

/// The codes of the problems in [`OpenvpnEvent::Failed`].
pub const OPENVPN_PROBLEMS: [Code; 3] = [Code::Openvpn, Code::OpenvpnCompression, Code::OpenvpnAddress];

/// Reads and checks the configured profile; `None` if the tunnel is of another type. Not for the event loop.
pub fn load_profile(settings: &Settings) -> Result<Option<LoadedProfile>, Error> {
    let Some(path) = tunnel::properties(settings).and_then(|tunnel| tunnel.profile) else { return Ok(None) };
    openvpn_profile::load(path, settings.role).map(Some).map_err(|error| {
        let problems = match error {
            ProfileError::Unreadable(why) => return Error::Profile(format!("reading tunnel.profile {path}: {why}")),
            ProfileError::Invalid(problems) => problems,
        };
        problems.iter().for_each(|problem| warn!("{}", problem.at(path)));
        let first = problems.first().map(|problem| problem.at(path).to_string()).unwrap_or_default();
        let others = match problems.len() {
            0 | 1 => String::new(),
            many => format!(" (and {} more: run millpond check)", many - 1),
        };
        Error::Profile(format!("tunnel.profile: the profile cannot carry cells: {first}{others}"))
    })
}

impl Openvpn {
    /// Prepares a process for these settings and their profile; `None` without a profile. The interface must exist. The
    /// process starts with the first [`Openvpn::handle_tick`].
    pub fn new(settings: &Settings, loaded: Option<LoadedProfile>, now: Nanos) -> Option<Openvpn> {
        let setup = ProcessSetup::new(settings, loaded)?;
        Some(Openvpn {
            setup: Some(setup),
            process: None,
            kill_at: None,
            started: now,
            next_start: now,
            restart_delay: MIN_RESTART_DELAY,
            last_line: String::new(),
        })
    }

    /// Updates the supervisor to settings that may have changed. The process is replaced if its setup or its interface
    /// changed, and stopped if the tunnel is of another type.
    pub fn update(&mut self, settings: &Settings, loaded: Option<LoadedProfile>, interface_changed: bool, now: Nanos) {
        let setup = ProcessSetup::new(settings, loaded);
        if setup != self.setup || interface_changed {
            self.setup = setup;
            self.restart_delay = MIN_RESTART_DELAY;
            self.next_start = now;
            if let Some(process) = &self.process {
                process.terminate();
                self.kill_at = Some(now + EXIT_TIMEOUT);
            }
        }
    }

    /// Whether no process runs and none is wanted.
    pub fn is_stopped(&self) -> bool {
        self.setup.is_none() && self.process.is_none()
    }

    /// Starts and reaps the process. To be called about once a second, in a gap between cells.
    pub fn handle_tick(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
        if let Some(process) = &mut self.process {
            let Some(status) = process.exit_status() else {
                if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
                    process.kill();
                }
                return None;
            };
            if let Some(event) = self.handle_exit(&status, now) {
                return Some(event);
            }
        }
        if now < self.next_start {
            return None;
        }
        self.start(poll, now)
    }

    fn start(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
        let setup = self.setup.as_ref()?;
        self.started = now;
        self.last_line.clear();
        let started = Process::start(&PROGRAMS, &setup.arguments).and_then(|process| {
            poll.add(&process, Token::Openvpn.into())?;
            Ok(process)
        });
        match started {
            Ok(process) => {
                self.process = Some(process);
                None
            }
            Err(error) => {
                self.schedule_restart(now);
                let remedy = match error.kind() {
                    ErrorKind::NotFound => ": install openvpn-openssl (OpenWrt) or openvpn",
                    _ => "",
                };
                failed(Code::Openvpn, format!("starting openvpn: {error}{remedy}"))
            }
        }
    }

    /// Handles the exit of the process. An exit after SIGTERM from millpond is no problem.
    fn handle_exit(&mut self, status: &str, now: Nanos) -> Option<OpenvpnEvent> {
        self.process = None;
        if self.kill_at.take().is_some() {
            return None;
        }
        if now.saturating_since(self.started) >= STABLE_AFTER {
            self.restart_delay = MIN_RESTART_DELAY;
        }
        self.schedule_restart(now);
        failed(Code::Openvpn, format!("openvpn exited ({status}); its last output: {}", self.last_line))
    }

    fn schedule_restart(&mut self, now: Nanos) {
        self.next_start = now + self.restart_delay;
        self.restart_delay = MAX_RESTART_DELAY.min(self.restart_delay + self.restart_delay);
    }

    /// Logs the process's output. To be called when the output is readable.
    pub fn handle_output(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
        let process = self.process.as_mut()?;
        let address = self.setup.as_ref().and_then(|setup| setup.address);
        for _ in 0..LINE_BATCH {
            match process.read_line() {
                Ok(Output::Line(line)) => {
                    info!("openvpn: {line}");
                    let event = openvpn::parse_line(&line, address);
                    if matches!(event, Some(OutputEvent::Unsuitable(_))) && self.kill_at.is_none() {
                        process.terminate();
                        self.kill_at = Some(now + EXIT_TIMEOUT);
                        self.next_start = now + UNSUITABLE_RESTART_DELAY;
                    }
                    // A process that is to end is not up, whatever it says.
                    let event = event.filter(|event| *event != OutputEvent::Up || self.kill_at.is_none());
                    let event = event.map(OpenvpnEvent::from);
                    if !line.is_empty() {
                        self.last_line = line;
                    }
                    if event.is_some() {
                        return event;
                    }
                }
                Ok(Output::Nothing) => break,
                // The next tick reaps the process.
                Ok(Output::End) | Err(_) => {
                    _ = poll.remove(&*process);
                    break;
                }
            }
        }
        None
    }
}

impl ProcessSetup {
    fn new(settings: &Settings, loaded: Option<LoadedProfile>) -> Option<ProcessSetup> {
        let (LoadedProfile { profile: checked, hash }, tunnel) = (loaded?, tunnel::properties(settings)?);
        let arguments = openvpn::arguments(tunnel.profile?, settings.role, checked);
        let address = (settings.role == Role::Router).then_some(tunnel.address);
        Some(ProcessSetup { arguments, address, profile_hash: hash })
    }
}

/// Stops openvpn processes on our interface that a killed daemon left behind.
pub fn stop_orphans() -> Result<(), Error> {
    let stopped = process::terminate_orphans("openvpn", &["--dev", OPENVPN]);
    let stopped = stopped.map_err(Error::system(format!("stopping the old openvpn on {OPENVPN}")))?;
    if stopped > 0 {
        info!("stopped an openvpn on {OPENVPN} left behind by a killed daemon");
    }
    Ok(())
}

impl From<OutputEvent> for OpenvpnEvent {
    fn from(event: OutputEvent) -> OpenvpnEvent {
        match event {
            OutputEvent::Up => OpenvpnEvent::Up,
            OutputEvent::Compression(text) => OpenvpnEvent::Failed(Problem::new(Code::OpenvpnCompression, text)),
            OutputEvent::Unsuitable(text) => {
                OpenvpnEvent::Failed(Problem::new(Code::Openvpn, format!("stopped openvpn: {text}")))
            }
            OutputEvent::Address(text) => OpenvpnEvent::Failed(Problem::new(Code::OpenvpnAddress, text)),
        }
    }
}

fn failed(code: Code, text: String) -> Option<OpenvpnEvent> {
    Some(OpenvpnEvent::Failed(Problem::new(code, text)))
}
