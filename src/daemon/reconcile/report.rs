//! The report of a reconcile job, passed as text from the forked process to the daemon.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::daemon::problem::{Code, Problem};
use crate::plan::Forwarding;
use crate::sys::openvpn_profile::LoadedProfile;
use crate::sys::worker;
use crate::tunnel::openvpn::Profile;
use crate::wire::size::Encapsulation;

/// The result of a reconcile job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The problem that kept the tunnel down, if there is one, then all others.
    pub problems: Vec<Problem>,
    /// Whether the tunnel is up as configured.
    pub tunnel_is_up: bool,
    /// Number of operations applied.
    pub ops: usize,
    /// Index of the interface that carries the cells. A changed index means a new interface.
    pub interface: u32,
    /// The address of the router's endpoint, from WireGuard.
    pub endpoint: Option<SocketAddr>,
    /// Time of the router's last handshake, in seconds of Unix time; 0 for none.
    pub handshake_s: u64,
    /// The host's forwarding sysctls before millpond changed them.
    pub forwarding: Option<Forwarding>,
    /// The tunnel's encapsulation of a cell.
    pub encapsulation: Option<Encapsulation>,
    /// The checked profile of an openvpn tunnel.
    pub profile: Option<LoadedProfile>,
    /// The network of the `wan` section by whose interface the default route leaves.
    pub wan: Option<String>,
    /// The sysctl of the attached interface that was changed, and its value before.
    pub overridden: Option<(String, String)>,
}

impl ReconcileReport {
    /// Whether both tunnel and guard are as configured.
    pub fn is_complete(&self) -> bool {
        let is_of_guard = |code| matches!(code, Code::Guard | Code::GuardMinimal | Code::GuardFile);
        self.tunnel_is_up && !self.problems.iter().any(|problem| is_of_guard(problem.code))
    }

    /// Writes one item a line. The texts of problems come last: if the output is cut off, only they are cut.
    pub fn to_text(&self) -> String {
        let ReconcileReport {
            problems,
            tunnel_is_up,
            ops,
            interface,
            endpoint,
            handshake_s,
            forwarding,
            encapsulation,
            profile,
            wan,
            overridden,
        } = self;
        let mut text = format!("tunnel-up {tunnel_is_up}\nops {ops}\ninterface {interface}\nhandshake {handshake_s}\n");
        endpoint.iter().for_each(|endpoint| _ = writeln!(text, "endpoint {endpoint}"));
        forwarding.iter().for_each(|value| _ = writeln!(text, "forwarding {value}"));
        if let Some(Encapsulation { overhead_bytes, padding, mtu }) = encapsulation {
            _ = writeln!(text, "encapsulation {overhead_bytes} {padding} {mtu}");
        }
        if let Some(LoadedProfile { profile: Profile { ipv6, framing }, hash }) = profile {
            _ = writeln!(text, "profile {hash} {} {}", u8::from(*ipv6), u8::from(*framing));
        }
        wan.iter().for_each(|network| _ = writeln!(text, "wan {network}"));
        overridden.iter().for_each(|(key, value)| _ = writeln!(text, "overridden {key} {value}"));
        for Problem { code, text: description } in problems {
            _ = writeln!(text, "problem {} {}", code.name(), description.replace('\n', " "));
        }
        text
    }

    /// Parses the output of [`ReconcileReport::to_text`]. Lines of another form are ignored.
    pub fn from_text(text: &str) -> ReconcileReport {
        let mut report = ReconcileReport::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "tunnel-up" => report.tunnel_is_up = value == "true",
                "ops" => report.ops = value.parse().unwrap_or(0),
                "interface" => report.interface = value.parse().unwrap_or(0),
                "handshake" => report.handshake_s = value.parse().unwrap_or(0),
                "endpoint" => report.endpoint = value.parse().ok(),
                "forwarding" => report.forwarding = Some(Forwarding::from_text(value)),
                "encapsulation" => report.encapsulation = parse_encapsulation(value),
                "wan" => report.wan = Some(value.to_owned()),
                "profile" => report.profile = parse_profile(value),
                "overridden" => {
                    report.overridden = value.split_once(' ').map(|(key, value)| (key.into(), value.into()))
                }
                "problem" => report.problems.extend(parse_problem(value)),
                _ => {}
            }
        }
        report
    }
}

fn parse_encapsulation(value: &str) -> Option<Encapsulation> {
    let mut words = value.split(' ').map(|word| word.parse::<u16>().ok());
    let overhead_bytes = words.next()??.into();
    let padding = words.next()?.filter(|padding| *padding > 0)?.into();
    Some(Encapsulation { overhead_bytes, padding, mtu: words.next()?? })
}

fn parse_profile(value: &str) -> Option<LoadedProfile> {
    let mut words = value.split(' ');
    let hash = words.next()?.parse().ok()?;
    let mut flag = || words.next().map(|word| word == "1");
    Some(LoadedProfile { profile: Profile { ipv6: flag()?, framing: flag()? }, hash })
}

fn parse_problem(value: &str) -> Option<Problem> {
    let (code, description) = value.split_once(' ')?;
    Some(Problem::new(Code::from_name(code)?, description))
}

const _: () = assert!(worker::OUTPUT_BYTES >= 1024, "a report without the texts of its problems fits");

/// Whether reconcile reports list this problem. Every report lists all that still exist.
pub fn is_reported(code: Code) -> bool {
    let of_settings = matches!(code, Code::RuleBefore | Code::MarkTaken | Code::TableTaken | Code::Preflight(_));
    let of_way = code == Code::InOtherTunnel;
    let of_tunnel = matches!(code, Code::Tunnel | Code::TunTaken | Code::Interface | Code::ForeignQdisc);
    let of_both = matches!(code, Code::PackageMissing | Code::Reconcile);
    let of_guard = matches!(code, Code::Guard | Code::GuardMinimal | Code::GuardFile);
    let of_packets = matches!(code, Code::AddressConflict | Code::UnknownDevice | Code::NotInTunnel);
    of_settings || of_way || of_tunnel || of_both || of_guard || of_packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_way_through_text() {
        let report = ReconcileReport {
            problems: vec![Problem::new(Code::Tunnel, "adding mp0: no"), Problem::new(Code::Name, "x: not\nfound")],
            tunnel_is_up: true,
            ops: 7,
            interface: 12,
            endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
            handshake_s: 1_700_000_000,
            forwarding: Some(Forwarding::from_text("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1")),
            encapsulation: Some(Encapsulation { overhead_bytes: 60, padding: 16, mtu: 1280 }),
            profile: Some(LoadedProfile { profile: Profile { ipv6: true, framing: false }, hash: u64::MAX }),
            wan: Some("wwan".into()),
            overridden: Some(("net.ipv4.conf.wg0.rp_filter".into(), "1".into())),
        };
        let mut read = ReconcileReport::from_text(&report.to_text());
        assert_eq!(read.problems[1].text, "x: not found");
        read.problems[1].text = "x: not\nfound".into();
        assert_eq!(read, report);
        let text = report.to_text();
        (0..text.len()).for_each(|length| drop(ReconcileReport::from_text(&text[..length])));
        assert_eq!(
            ReconcileReport::from_text("\u{0}\nproblem\nproblem nonsense x\nops x\n"),
            ReconcileReport::default()
        );
    }
}
