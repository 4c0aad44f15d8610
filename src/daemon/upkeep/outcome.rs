//! What a look after the kernel came to, on its way from the process that did it to the daemon.

use std::fmt::Write;
use std::net::SocketAddr;

use super::super::problem::{Code, Problem};
use crate::plan::Forwarding;
use crate::wire::size::Wrapping;

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
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
    pub wrapping: Option<Wrapping>,
    /// The sysctl of another's interface that was changed, and its value before.
    pub lent: Option<(String, String)>,
}

impl Outcome {
    /// Whether all is as the settings want it.
    pub fn is_whole(&self) -> bool {
        self.stands && !self.problems.iter().any(|problem| matches!(problem.code, Code::Guard | Code::GuardFile))
    }

    /// One item a line. The texts of problems come last, so that what is cut off at the end is theirs.
    pub fn to_text(&self) -> String {
        let Outcome { problems, stands, ops, interface, endpoint, handshake_s, forwarding, wrapping, lent } = self;
        let mut text = format!("stands {stands}\nops {ops}\ninterface {interface}\nhandshake {handshake_s}\n");
        endpoint.iter().for_each(|endpoint| _ = writeln!(text, "endpoint {endpoint}"));
        forwarding.iter().for_each(|value| _ = writeln!(text, "forwarding {value}"));
        if let Some(Wrapping { overhead_bytes, padding }) = wrapping {
            _ = writeln!(text, "wrapping {overhead_bytes} {padding}");
        }
        lent.iter().for_each(|(key, value)| _ = writeln!(text, "lent {key} {value}"));
        for Problem { code, text: words } in problems {
            _ = writeln!(text, "problem {} {}", code.name(), words.replace('\n', " "));
        }
        text
    }

    /// Reads that again; what is not of this form is passed over.
    pub fn from_text(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "stands" => outcome.stands = value == "true",
                "ops" => outcome.ops = value.parse().unwrap_or(0),
                "interface" => outcome.interface = value.parse().unwrap_or(0),
                "handshake" => outcome.handshake_s = value.parse().unwrap_or(0),
                "endpoint" => outcome.endpoint = value.parse().ok(),
                "forwarding" => outcome.forwarding = Some(Forwarding::from_text(value)),
                "wrapping" => outcome.wrapping = wrapping(value),
                "lent" => outcome.lent = value.split_once(' ').map(|(key, value)| (key.into(), value.into())),
                "problem" => outcome.problems.extend(problem(value)),
                _ => {}
            }
        }
        outcome
    }
}

fn wrapping(value: &str) -> Option<Wrapping> {
    let (overhead_bytes, padding) = value.split_once(' ')?;
    let padding = padding.parse().ok().filter(|padding| *padding > 0)?;
    Some(Wrapping { overhead_bytes: overhead_bytes.parse().ok()?, padding })
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
        let outcome = Outcome {
            problems: vec![Problem::new(Code::Tunnel, "adding mp0: no"), Problem::new(Code::Name, "x: not\nfound")],
            stands: true,
            ops: 7,
            interface: 12,
            endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
            handshake_s: 1_700_000_000,
            forwarding: Some(Forwarding::from_text("net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=1")),
            wrapping: Some(Wrapping { overhead_bytes: 60, padding: 16 }),
            lent: Some(("net.ipv4.conf.wg0.rp_filter".into(), "1".into())),
        };
        let mut read = Outcome::from_text(&outcome.to_text());
        assert_eq!(read.problems[1].text, "x: not found");
        read.problems[1].text = "x: not\nfound".into();
        assert_eq!(read, outcome);
        let whole = outcome.to_text();
        (0..whole.len()).for_each(|length| drop(Outcome::from_text(&whole[..length])));
        assert_eq!(Outcome::from_text("\u{0}\nproblem\nproblem nonsense x\nops x\n"), Outcome::default());
    }
}
