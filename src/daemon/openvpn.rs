//! The openvpn that carries the cells: its command line, its words, and its life after death.
//!
//! It serves an interface that millpond made and keeps, so that queue, address and routes stand before it starts and
//! after it has ended. While there is none, what is sent there is lost and the schedule goes on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;

use log::{info, warn};

use super::error::Error;
use super::problem::{Code, Problem};
use crate::config::model::{Role, Settings, Tunnel};
use crate::config::openvpn::{self, Profile};
use crate::plan::ownership::{OPENVPN, TUN_MTU};
use crate::sys::epoll::Poll;
use crate::sys::process::{self, Output, Process};
use crate::units::Nanos;

/// Not on the path of every service.
const PROGRAMS: [&str; 2] = ["openvpn", "/usr/sbin/openvpn"];

/// From a start to the next one: the first time, and at most. Doubled each time that it did not live for long.
const MIN_RESTART_DELAY: Nanos = Nanos::from_secs(1);
const MAX_RESTART_DELAY: Nanos = Nanos::from_secs(60);
const STABLE_AFTER: Nanos = Nanos::from_secs(60);

/// How long it may take to end when asked.
const EXIT_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Lines that are taken in a row before the time is looked at again.
const LINE_BATCH: usize = 8;

/// Of both ends, on [`OPENVPN`]. No pings: cells never pause for as long as that.
const ARGUMENTS: [&str; 16] = [
    // The interface is millpond's, and the process is seen to by it.
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
    // Every packet is a cell, and all are of one size.
    "--data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305",
    "--allow-compression no",
    "--keepalive 0 0 --ping 0",
    "--inactive 0",
    "--mssfix 0",
    // Not every version can offload to the kernel, whose interface would be another.
    "--ignore-unknown-option disable-dco --disable-dco",
];

/// Of a router. A server that has forgotten us after its restart does not say so: only its silence tells.
const CLIENT_ARGUMENTS: [&str; 7] = [
    "--route-nopull",
    "--pull-filter reject comp",
    "--pull-filter ignore ping",
    "--pull-filter ignore inactive",
    "--ping-restart 20",
    "--connect-retry 2 10 --server-poll-timeout 10",
    "--explicit-exit-notify 0",
];

/// The process, or the wish for one.
pub struct Openvpn {
    /// `None` if it is to end.
    setup: Option<ProcessSetup>,
    process: Option<Process>,
    /// When to kill it, once it has been asked to end.
    deadline: Option<Nanos>,
    started: Nanos,
    next_start: Nanos,
    pause: Nanos,
    last_words: String,
}

/// What a process is started for; another setup needs another process.
#[derive(Clone, PartialEq, Eq)]
struct ProcessSetup {
    arguments: Vec<String>,
    /// This end's address, on a router.
    address: Option<Ipv4Addr>,
    /// Of the profile's text.
    fingerprint: u64,
}

/// What the daemon should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenvpnEvent {
    /// The tunnel stands, or the server waits.
    Up,
    /// Something is wrong.
    Trouble(Problem),
}

/// What [`OpenvpnEvent::Trouble`] may be about.
pub const TROUBLES: [Code; 3] = [Code::Openvpn, Code::OpenvpnCompression, Code::OpenvpnAddress];

/// Reads and checks the profile that the settings name; `None` if the tunnel is of another type.
pub fn profile(settings: &Settings) -> Result<Option<Profile>, Error> {
    let Some(Tunnel::Openvpn { profile, .. }) = &settings.tunnel else { return Ok(None) };
    let text = read(profile)?;
    openvpn::parse(&text, settings.role).map(Some).map_err(|problems| {
        problems.iter().for_each(|problem| warn!("{}", problem.at(profile)));
        let first = problems.first().map(|problem| problem.at(profile).to_string()).unwrap_or_default();
        let others = match problems.len() {
            0 | 1 => String::new(),
            many => format!(" (and {} more: millpond check names them)", many - 1),
        };
        Error::Profile(format!("tunnel.profile: cells cannot travel by it: {first}{others}"))
    })
}

fn read(profile: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(profile).map_err(|error| Error::Profile(format!("reading tunnel.profile {profile}: {error}")))
}

impl Openvpn {
    /// Prepares what the settings ask for, on an interface that stands; `None` if the tunnel is of another type. The
    /// process starts with the first [`Openvpn::tick`].
    pub fn new(settings: &Settings, now: Nanos) -> Result<Option<Openvpn>, Error> {
        let Some(setup) = ProcessSetup::new(settings)? else { return Ok(None) };
        Ok(Some(Openvpn {
            setup: Some(setup),
            process: None,
            deadline: None,
            started: now,
            next_start: now,
            pause: MIN_RESTART_DELAY,
            last_words: String::new(),
        }))
    }

    /// Follows settings that may have changed: another setup, or another interface, gets another process; where the
    /// tunnel is of another type, none.
    pub fn update(&mut self, settings: &Settings, is_another_interface: bool, now: Nanos) -> Result<(), Error> {
        let setup = ProcessSetup::new(settings)?;
        if setup != self.setup || is_another_interface {
            self.setup = setup;
            self.pause = MIN_RESTART_DELAY;
            self.next_start = now;
            if let Some(process) = &self.process {
                process.ask_to_end();
                self.deadline = Some(now + EXIT_TIMEOUT);
            }
        }
        Ok(())
    }

    /// Whether there is none, and none is wanted.
    pub fn is_over(&self) -> bool {
        self.setup.is_none() && self.process.is_none()
    }

    /// To be called about once a second, when there is a millisecond to spare: starts and buries.
    pub fn tick(&mut self, poll: &Poll, token: u64, now: Nanos) -> Option<OpenvpnEvent> {
        if let Some(process) = &mut self.process {
            let Some(how) = process.ended() else {
                if self.deadline.is_some_and(|deadline| deadline <= now) {
                    process.kill();
                }
                return None;
            };
            if let Some(news) = self.bury(&how, now) {
                return Some(news);
            }
        }
        if now < self.next_start {
            return None;
        }
        self.start(poll, token, now)
    }

    fn start(&mut self, poll: &Poll, token: u64, now: Nanos) -> Option<OpenvpnEvent> {
        let setup = self.setup.as_ref()?;
        self.started = now;
        self.last_words.clear();
        let started = Process::start(&PROGRAMS, &setup.arguments).and_then(|process| {
            poll.add(&process, token)?;
            Ok(process)
        });
        match started {
            Ok(process) => {
                self.process = Some(process);
                None
            }
            Err(error) => {
                self.postpone(now);
                let hint = match error.kind() {
                    ErrorKind::NotFound => ": install openvpn-openssl, or openvpn where that is its name",
                    _ => "",
                };
                trouble(Code::Openvpn, format!("starting openvpn: {error}{hint}"))
            }
        }
    }

    /// Notes that it has ended. That it was asked to is no news.
    fn bury(&mut self, how: &str, now: Nanos) -> Option<OpenvpnEvent> {
        self.process = None;
        if self.deadline.take().is_some() {
            return None;
        }
        if now.saturating_since(self.started) >= STABLE_AFTER {
            self.pause = MIN_RESTART_DELAY;
        }
        self.postpone(now);
        trouble(Code::Openvpn, format!("openvpn ended ({how}); it said last: {}", self.last_words))
    }

    fn postpone(&mut self, now: Nanos) {
        self.next_start = now + self.pause;
        self.pause = MAX_RESTART_DELAY.min(self.pause + self.pause);
    }

    /// Logs what it says. To be called when its output can be read.
    pub fn handle_output(&mut self, poll: &Poll) -> Option<OpenvpnEvent> {
        let process = self.process.as_mut()?;
        let address = self.setup.as_ref().and_then(|setup| setup.address);
        for _ in 0..LINE_BATCH {
            match process.read_line() {
                Ok(Output::Line(line)) => {
                    info!("openvpn: {line}");
                    let news = news(&line, address);
                    if !line.is_empty() {
                        self.last_words = line;
                    }
                    if news.is_some() {
                        return news;
                    }
                }
                Ok(Output::Nothing) => break,
                // It is buried with the next tick.
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
        Ok(Some(ProcessSetup { arguments, address, fingerprint: hasher.finish() }))
    }
}

/// What stands behind the profile overrides it.
fn arguments(profile: &str, role: Role, checked: Profile) -> Vec<String> {
    let folder = Path::new(profile).parent().unwrap_or(Path::new("/")).to_string_lossy();
    let mtu = TUN_MTU.to_string();
    let mut arguments = vec!["--cd", &folder, "--config", profile, "--dev", OPENVPN, "--tun-mtu", &mtu];
    arguments.extend(ARGUMENTS.iter().flat_map(|words| words.split(' ')));
    if role == Role::Router {
        arguments.extend(CLIENT_ARGUMENTS.iter().flat_map(|words| words.split(' ')));
        // The size of a cell has been reckoned for one of them.
        arguments.extend(["--proto", if checked.ipv6 { "udp6" } else { "udp4" }]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// Ends what serves our interface without us.
pub fn end_orphans() -> Result<(), Error> {
    let ended = process::end_others("openvpn", &["--dev", OPENVPN]);
    let ended = ended.map_err(Error::system(format!("ending openvpn on {OPENVPN}")))?;
    if ended > 0 {
        info!("ended an openvpn on {OPENVPN} that a killed daemon had left");
    }
    Ok(())
}

/// What a line of openvpn's means to us, who expect this address.
fn news(line: &str, address: Option<Ipv4Addr>) -> Option<OpenvpnEvent> {
    if line.contains("Initialization Sequence Completed") {
        return Some(OpenvpnEvent::Up);
    }
    if let Some((_, rest)) = line.split_once("Pushed option rejected by filter: ") {
        let text = format!("the endpoint's openvpn pushes compression: {}", rest.trim_end_matches(" Restarting."));
        return trouble(Code::OpenvpnCompression, text);
    }
    let (_, pushed) = line.split_once("PUSH_REPLY,")?;
    let ifconfig = pushed.split(',').find_map(|option| option.strip_prefix("ifconfig "))?;
    let given = ifconfig.split_whitespace().next()?.parse::<Ipv4Addr>().ok()?;
    let wanted = address.filter(|address| *address != given)?;
    let text = format!("the endpoint's openvpn gives this end {given}, while tunnel.address is {wanted}");
    trouble(Code::OpenvpnAddress, text)
}

fn trouble(code: Code, text: String) -> Option<OpenvpnEvent> {
    Some(OpenvpnEvent::Trouble(Problem::new(code, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of OpenVPN 2.6.
    #[test]
    fn its_words_are_understood() {
        let address = Some(Ipv4Addr::new(10, 77, 0, 2));
        assert_eq!(news("Initialization Sequence Completed", address), Some(OpenvpnEvent::Up));
        let Some(OpenvpnEvent::Trouble(problem)) =
            news("Pushed option rejected by filter: 'comp-lzo yes'. Restarting.", address)
        else {
            panic!("no trouble")
        };
        assert_eq!(problem.code, Code::OpenvpnCompression);
        assert_eq!(problem.text, "the endpoint's openvpn pushes compression: 'comp-lzo yes'.");
        let reply = "PUSH: Received control message: 'PUSH_REPLY,ifconfig 10.77.0.3 255.255.255.0,peer-id 0'";
        assert!(matches!(
            news(reply, address),
            Some(OpenvpnEvent::Trouble(Problem { code: Code::OpenvpnAddress, .. }))
        ));
        assert_eq!(news(&reply.replace("0.3", "0.2"), address), None);
        assert_eq!(news(reply, None), None);
        assert_eq!(news("TLS: Initial packet from [AF_INET]192.0.2.1:1194", address), None);
    }

    #[test]
    fn what_overrides_stands_behind_the_profile() {
        let client = arguments("/etc/millpond/client.ovpn", Role::Router, Profile { ipv6: true });
        assert_eq!(client[..4], ["--cd", "/etc/millpond", "--config", "/etc/millpond/client.ovpn"]);
        assert_eq!(client[4..6], ["--dev", "mpvpn0"]);
        assert!(client.ends_with(&["--explicit-exit-notify", "0", "--proto", "udp6"].map(str::to_owned)));
        let server = arguments("/etc/millpond/server.ovpn", Role::Endpoint, Profile { ipv6: false });
        assert!(!server.iter().any(|word| word == "--proto" || word == "--pull-filter"));
    }
}
