//! The openvpn process that carries the cells: its command line, its output and its restarts.
//!
//! The process serves an interface that millpond creates and keeps, so queueing tree, address and routes exist before
//! it starts and after it exits. While no process runs, the schedule continues and cells sent to the interface are
//! lost.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;

use log::{info, warn};

use crate::config::model::{Role, Settings, Tunnel};
use crate::config::openvpn::{self, Profile};
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::token::Token;
use crate::plan::ownership::{OPENVPN, TUN_MTU};
use crate::sys::epoll::Poll;
use crate::sys::process::{self, Output, Process};
use crate::units::Nanos;

/// The program. `/usr/sbin` is not in every service's path.
const PROGRAMS: [&str; 2] = ["openvpn", "/usr/sbin/openvpn"];

/// First and maximum delay before a restart. The delay doubles each time the process did not run for `STABLE_AFTER`.
const MIN_RESTART_DELAY: Nanos = Nanos::from_secs(1);
const MAX_RESTART_DELAY: Nanos = Nanos::from_secs(60);
const STABLE_AFTER: Nanos = Nanos::from_secs(60);

/// Time to exit after SIGTERM, before SIGKILL.
const EXIT_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Maximum lines of output read in one turn.
const LINE_BATCH: usize = 8;

/// Arguments of both roles, for the interface [`OPENVPN`]. There are no pings: cells never pause that long.
const ARGUMENTS: [&str; 16] = [
    // millpond owns the interface and supervises the process.
    "--dev-type tun",
    "--persist-tun",
    "--persist-key",
    "--topology subnet",
    "--ifconfig-noexec",
    "--ifconfig-nowarn",
    "--route-noexec",
    "--script-security 1",
    "--nice -20",
    "--verb 3 --suppress-timestamps",
    // Every packet is a cell, and all cells have one size.
    "--data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305",
    "--allow-compression no",
    "--keepalive 0 0 --ping 0",
    "--inactive 0",
    "--mssfix 0",
    // Kernel offload would use another interface. Not every version knows the option.
    "--ignore-unknown-option disable-dco --disable-dco",
];

/// Arguments of a router. A server that lost its state in a restart does not say so; the client notices only its
/// silence.
const CLIENT_ARGUMENTS: [&str; 7] = [
    "--route-nopull",
    "--pull-filter reject comp",
    "--pull-filter ignore ping",
    "--pull-filter ignore inactive",
    "--ping-restart 20",
    "--connect-retry 2 10 --server-poll-timeout 10",
    "--explicit-exit-notify 0",
];

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

/// Reads and checks the configured profile; `None` if the tunnel is of another type.
pub fn profile(settings: &Settings) -> Result<Option<Profile>, Error> {
    let Some(Tunnel::Openvpn { profile, .. }) = &settings.tunnel else { return Ok(None) };
    let text = read(profile)?;
    openvpn::parse(&text, settings.role).map(Some).map_err(|problems| {
        problems.iter().for_each(|problem| warn!("{}", problem.at(profile)));
        let first = problems.first().map(|problem| problem.at(profile).to_string()).unwrap_or_default();
        let others = match problems.len() {
            0 | 1 => String::new(),
            many => format!(" (and {} more: run millpond check)", many - 1),
        };
        Error::Profile(format!("tunnel.profile: the profile cannot carry cells: {first}{others}"))
    })
}

fn read(profile: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(profile).map_err(|error| Error::Profile(format!("reading tunnel.profile {profile}: {error}")))
}

impl Openvpn {
    /// Prepares a process for these settings; `None` if the tunnel is of another type. The interface must exist. The
    /// process starts with the first [`Openvpn::tick`].
    pub fn new(settings: &Settings, now: Nanos) -> Result<Option<Openvpn>, Error> {
        let Some(setup) = ProcessSetup::new(settings)? else { return Ok(None) };
        Ok(Some(Openvpn {
            setup: Some(setup),
            process: None,
            kill_at: None,
            started: now,
            next_start: now,
            restart_delay: MIN_RESTART_DELAY,
            last_line: String::new(),
        }))
    }

    /// Updates the supervisor to settings that may have changed. The process is replaced if its setup or its interface
    /// changed, and stopped if the tunnel is of another type.
    pub fn update(&mut self, settings: &Settings, interface_changed: bool, now: Nanos) -> Result<(), Error> {
        let setup = ProcessSetup::new(settings)?;
        if setup != self.setup || interface_changed {
            self.setup = setup;
            self.restart_delay = MIN_RESTART_DELAY;
            self.next_start = now;
            if let Some(process) = &self.process {
                process.terminate();
                self.kill_at = Some(now + EXIT_TIMEOUT);
            }
        }
        Ok(())
    }

    /// Whether no process runs and none is wanted.
    pub fn is_stopped(&self) -> bool {
        self.setup.is_none() && self.process.is_none()
    }

    /// Starts and reaps the process. To be called about once a second, with a millisecond to spare.
    pub fn tick(&mut self, poll: &Poll, now: Nanos) -> Option<OpenvpnEvent> {
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
    pub fn handle_output(&mut self, poll: &Poll) -> Option<OpenvpnEvent> {
        let process = self.process.as_mut()?;
        let address = self.setup.as_ref().and_then(|setup| setup.address);
        for _ in 0..LINE_BATCH {
            match process.read_line() {
                Ok(Output::Line(line)) => {
                    info!("openvpn: {line}");
                    let event = parse_line(&line, address);
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
    fn new(settings: &Settings) -> Result<Option<ProcessSetup>, Error> {
        let Some(checked) = profile(settings)? else { return Ok(None) };
        let Some(Tunnel::Openvpn { profile, address, .. }) = &settings.tunnel else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        read(profile)?.hash(&mut hasher);
        let arguments = arguments(profile, settings.role, checked);
        let address = (settings.role == Role::Router).then_some(*address);
        Ok(Some(ProcessSetup { arguments, address, profile_hash: hasher.finish() }))
    }
}

/// The command line. Arguments after the profile override it.
fn arguments(profile: &str, role: Role, checked: Profile) -> Vec<String> {
    let folder = Path::new(profile).parent().unwrap_or(Path::new("/")).to_string_lossy();
    let mtu = TUN_MTU.to_string();
    let mut arguments = vec!["--cd", &folder, "--config", profile, "--dev", OPENVPN, "--tun-mtu", &mtu];
    arguments.extend(ARGUMENTS.iter().flat_map(|words| words.split(' ')));
    if role == Role::Router {
        arguments.extend(CLIENT_ARGUMENTS.iter().flat_map(|words| words.split(' ')));
        // The cell size was computed for one IP version.
        arguments.extend(["--proto", if checked.ipv6 { "udp6" } else { "udp4" }]);
    }
    arguments.into_iter().map(str::to_owned).collect()
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

/// The event that a line of openvpn's output reports. `address` is the address that this end expects.
fn parse_line(line: &str, address: Option<Ipv4Addr>) -> Option<OpenvpnEvent> {
    if line.contains("Initialization Sequence Completed") {
        return Some(OpenvpnEvent::Up);
    }
    if let Some((_, rest)) = line.split_once("Pushed option rejected by filter: ") {
        let text = format!("the endpoint's openvpn pushes compression: {}", rest.trim_end_matches(" Restarting."));
        return failed(Code::OpenvpnCompression, text);
    }
    let (_, pushed) = line.split_once("PUSH_REPLY,")?;
    let ifconfig = pushed.split(',').find_map(|option| option.strip_prefix("ifconfig "))?;
    let assigned = ifconfig.split_whitespace().next()?.parse::<Ipv4Addr>().ok()?;
    let configured = address.filter(|address| *address != assigned)?;
    let text = format!("the endpoint's openvpn assigns this end {assigned}, but tunnel.address is {configured}");
    failed(Code::OpenvpnAddress, text)
}

fn failed(code: Code, text: String) -> Option<OpenvpnEvent> {
    Some(OpenvpnEvent::Failed(Problem::new(code, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are from OpenVPN 2.6.
    #[test]
    fn output_of_openvpn_is_parsed() {
        let address = Some(Ipv4Addr::new(10, 77, 0, 2));
        assert_eq!(parse_line("Initialization Sequence Completed", address), Some(OpenvpnEvent::Up));
        let Some(OpenvpnEvent::Failed(problem)) =
            parse_line("Pushed option rejected by filter: 'comp-lzo yes'. Restarting.", address)
        else {
            panic!("no problem")
        };
        assert_eq!(problem.code, Code::OpenvpnCompression);
        assert_eq!(problem.text, "the endpoint's openvpn pushes compression: 'comp-lzo yes'.");
        let reply = "PUSH: Received control message: 'PUSH_REPLY,ifconfig 10.77.0.3 255.255.255.0,peer-id 0'";
        assert!(matches!(
            parse_line(reply, address),
            Some(OpenvpnEvent::Failed(Problem { code: Code::OpenvpnAddress, .. }))
        ));
        assert_eq!(parse_line(&reply.replace("0.3", "0.2"), address), None);
        assert_eq!(parse_line(reply, None), None);
        assert_eq!(parse_line("TLS: Initial packet from [AF_INET]192.0.2.1:1194", address), None);
    }

    #[test]
    fn overriding_arguments_follow_the_profile() {
        let client = arguments("/etc/millpond/client.ovpn", Role::Router, Profile { ipv6: true });
        assert_eq!(client[..4], ["--cd", "/etc/millpond", "--config", "/etc/millpond/client.ovpn"]);
        assert_eq!(client[4..6], ["--dev", "mpvpn0"]);
        assert!(client.ends_with(&["--explicit-exit-notify", "0", "--proto", "udp6"].map(str::to_owned)));
        let server = arguments("/etc/millpond/server.ovpn", Role::Endpoint, Profile { ipv6: false });
        assert!(!server.iter().any(|word| word == "--proto" || word == "--pull-filter"));
    }
}
