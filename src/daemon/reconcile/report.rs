//! What a look after the kernel came to, on its way from the process that did it to the daemon.

use std::fmt::Write;
use std::net::SocketAddr;

use super::super::problem::{Code, Problem};
use crate::plan::Forwarding;
use crate::wire::size::Encapsulation;

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Why it could not be brought in line, first of all, and what else the owner should know.
    pub problems: Vec<Problem>,
    /// Whether the tunnel stands as the settings want it.
    pub stands: bool,
    /// Operations that were run.
    pub ops: usize,
    /// The index of the interface that cells take; another number is another interface.
    pub interface: u32,
    /// Where WireGuard says that the router's endpoint is.
    pub endpoint: Option<SocketAddr>,
    /// The router's last handshake, seconds since the epoch, 0 for none.
    pub handshake_s: u64,
    /// What the machine did about forwarding before.
    pub forwarding: Option<Forwarding>,
    /// What the tunnel puts around a cell.
    pub encapsulation: Option<Encapsulation>,
    /// The sysctl of another's interface that was changed, and its value before.
    pub overridden: Option<(String, String)>,
}

impl ReconcileReport {
    /// Whether all is as the settings want it.
    pub fn is_complete(&self) -> bool {
        self.stands && !self.problems.iter().any(|problem| matches!(problem.code, Code::Guard | Code::GuardFile))
    }

    /// One item a line. The texts of problems come last, so that what is cut off at the end is theirs.
    pub fn to_text(&self) -> String {
        let ReconcileReport {
            problems,
            stands,
            ops,
            interface,
            endpoint,
            handshake_s,
            forwarding,
            encapsulation,
            overridden,
        } = self;
        let mut text = format!("stands {stands}\nops {ops}\ninterface {interface}\nhandshake {handshake_s}\n");
        endpoint.iter().for_each(|endpoint| _ = writeln!(text, "endpoint {endpoint}"));
        forwarding.iter().for_each(|value| _ = writeln!(text, "forwarding {value}"));
        if let Some(Encapsulation { overhead_bytes, padding }) = encapsulation {
            _ = writeln!(text, "encapsulation {overhead_bytes} {padding}");
        }
        overridden.iter().for_each(|(key, value)| _ = writeln!(text, "overridden {key} {value}"));
        for Problem { code, text: words } in problems {
            _ = writeln!(text, "problem {} {}", code.name(), words.replace('\n', " "));
        }
        text
    }

    /// Reads that again; what is not of this form is passed over.
    pub fn from_text(text: &str) -> ReconcileReport {
        let mut report = ReconcileReport::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "stands" => report.stands = value == "true",
                "ops" => report.ops = value.parse().unwrap_or(0),
                "interface" => report.interface = value.parse().unwrap_or(0),
                "handshake" => report.handshake_s = value.parse().unwrap_or(0),
                "endpoint" => report.endpoint = value.parse().ok(),
                "forwarding" => report.forwarding = Some(Forwarding::from_text(value)),
                "encapsulation" => report.encapsulation = encapsulation(value),
                "overridden" => {
                    report.overridden = value.split_once(' ').map(|(key, value)| (key.into(), value.into()))
                }
                "problem" => report.problems.extend(problem(value)),
                _ => {}
            }
        }
        report
    }
}

fn encapsulation(value: &str) -> Option<Encapsulation> {
    let (overhead_bytes, padding) = value.split_once(' ')?;
    let padding = padding.parse().ok().filter(|padding| *padding > 0)?;
    Some(Encapsulation { overhead_bytes: overhead_bytes.parse().ok()?, padding })
}

fn problem(value: &str) -> Option<Problem> {
    let (code, words) = value.split_once(' ')?;
    Some(Problem::new(Code::from_name(code)?, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_arrives_as_it_was_sent() {
        let report = ReconcileReport {
            problems: vec![Problem::new(Code::Tunnel, "adding mp0: no"), Problem::new(Code::Name, "x: not\nfound")],
            stands: true,
            ops: 7,
            interface: 12,
            endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
            handshake_s: 1_700_000_000,
            forwarding: Some(Forwarding::from_text("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1")),
            encapsulation: Some(Encapsulation { overhead_bytes: 60, padding: 16 }),
            overridden: Some(("net.ipv4.conf.wg0.rp_filter".into(), "1".into())),
        };
        let mut read = ReconcileReport::from_text(&report.to_text());
        assert_eq!(read.problems[1].text, "x: not found");
        read.problems[1].text = "x: not\nfound".into();
        assert_eq!(read, report);
        let whole = report.to_text();
        (0..whole.len()).for_each(|length| drop(ReconcileReport::from_text(&whole[..length])));
        assert_eq!(
            ReconcileReport::from_text("\u{0}\nproblem\nproblem nonsense x\nops x\n"),
            ReconcileReport::default()
        );
    }
}
