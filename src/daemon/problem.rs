//! What the owner should know: stable codes, each with its severity and its remedy.

use super::error::Error;
use crate::plan::{DesiredError, PreflightIssueKind};

/// What kind of problem. The name is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The settings are not in force.
    Settings,
    /// The endpoint's name has no address.
    Name,
    /// The guard is not in force.
    Guard,
    /// The guard is not in the file from which it is loaded at boot.
    GuardFile,
    /// A module of the kernel's or a program is missing, and the text names its package.
    PackageMissing,
    /// The kernel refused a part of the tunnel.
    Tunnel,
    /// Another process holds `mp0`.
    TunTaken,
    /// The interface to attach to is not there, or not ready.
    Interface,
    /// Another's queue stands where ours has to stand.
    ForeignQdisc,
    /// The profile does not do for cells, or openvpn does not run.
    Openvpn,
    /// The endpoint's openvpn wants to compress.
    OpenvpnCompression,
    /// The endpoint's openvpn gives this end another address than the settings.
    OpenvpnAddress,
    /// A rule of another program's comes before ours and may take shaped devices' packets.
    RuleBefore,
    /// A rule of another program's looks at our bit of the mark.
    MarkTaken,
    /// Another program has routes in our table.
    TableTaken,
    /// A process that should have looked after the kernel did not come to its end.
    Upkeep,
    /// The system does not permit punctuality.
    Realtime,
    /// The settings do not fit the machine.
    Preflight(PreflightIssueKind),
    /// The clock has not been set since the machine was switched on.
    Clock,
    /// There is no place for the control socket.
    Socket,
    /// The broker of ubus cannot be reached.
    Ubus,
    /// What goes by local time cannot.
    Zone,
    /// The data cap will be passed, or has been.
    DataCap,
    /// The last check of the wire found something.
    Audit,
}

impl Code {
    const ALL: [Code; 23] = [
        Code::Settings,
        Code::Name,
        Code::Guard,
        Code::GuardFile,
        Code::PackageMissing,
        Code::Tunnel,
        Code::TunTaken,
        Code::Interface,
        Code::ForeignQdisc,
        Code::Openvpn,
        Code::OpenvpnCompression,
        Code::OpenvpnAddress,
        Code::RuleBefore,
        Code::MarkTaken,
        Code::TableTaken,
        Code::Upkeep,
        Code::Realtime,
        Code::Clock,
        Code::Socket,
        Code::Ubus,
        Code::Zone,
        Code::DataCap,
        Code::Audit,
    ];

    /// The code.
    pub fn name(self) -> &'static str {
        match self {
            Code::Settings => "settings",
            Code::Name => "name",
            Code::Guard => "guard",
            Code::GuardFile => "guard-file",
            Code::PackageMissing => "package-missing",
            Code::Tunnel => "tunnel",
            Code::TunTaken => "tun-taken",
            Code::Interface => "interface",
            Code::ForeignQdisc => "foreign-qdisc",
            Code::Openvpn => "openvpn",
            Code::OpenvpnCompression => "openvpn-compression",
            Code::OpenvpnAddress => "openvpn-address",
            Code::RuleBefore => "rule-before",
            Code::MarkTaken => "mark-taken",
            Code::TableTaken => "table-taken",
            Code::Upkeep => "upkeep",
            Code::Realtime => "realtime",
            Code::Preflight(kind) => kind.name(),
            Code::Clock => "clock",
            Code::Socket => "socket",
            Code::Ubus => "ubus",
            Code::Zone => "zone",
            Code::DataCap => "data-cap",
            Code::Audit => "audit",
        }
    }

    /// The kind whose name that is.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().chain(PreflightIssueKind::ALL.map(Code::Preflight)).find(|code| code.name() == name)
    }

    /// `error`, `warning` or `info`.
    pub fn severity(self) -> &'static str {
        match self {
            Code::RuleBefore | Code::MarkTaken | Code::TableTaken | Code::Realtime | Code::Clock | Code::Socket => {
                "warning"
            }
            Code::Zone | Code::DataCap => "warning",
            Code::Preflight(kind) if !kind.is_error() => "warning",
            Code::Ubus => "info",
            _ => "error",
        }
    }

    /// What to do.
    pub fn fix(self) -> &'static str {
        match self {
            Code::Settings => "run millpond check, mend what it names, and reload",
            Code::Name => "check tunnel.endpoint and the line to the Internet; it is tried again by itself",
            Code::Guard => {
                "see the text; until it is mended devices may go out beside the tunnel; it is tried again by itself"
            }
            Code::GuardFile => {
                "make room on the flash, or make it writable; until then the guard stands, and is not there after a boot \
                 before millpond is; it is tried again by itself"
            }
            Code::PackageMissing => "install the package that the text names; it is tried again by itself",
            Code::Tunnel => "see the text; it is tried again by itself",
            Code::TunTaken => "stop the other daemon or remove mp0; it is tried again by itself",
            Code::Interface => "bring it up with tunnel.address on it; it is attached to by itself",
            Code::ForeignQdisc => {
                "take that queue off, as with SQM disabled on this interface; it is tried again by itself"
            }
            Code::Openvpn => "mend what the text names, in the profile or on this machine; it is tried again by itself",
            Code::OpenvpnCompression => "remove the push of it from the server's profile or its client-config-dir",
            Code::OpenvpnAddress => "set tunnel.address and the server's ifconfig-push to the same address",
            Code::RuleBefore => "set main.priority to a number before that rule's, or move the rule",
            Code::MarkTaken => "set main.mark to a bit that no rule looks at",
            Code::TableTaken => "set main.table to a number that nobody uses",
            Code::Upkeep => "it is tried again by itself; if that goes on, restart the service and report it",
            Code::Preflight(kind) => kind.fix(),
            Code::Realtime => "run as root, outside a container that takes CAP_SYS_NICE or CAP_IPC_LOCK away",
            Code::Clock => {
                "have it set, by NTP as a rule: until then the endpoint may refuse the tunnel's handshakes, and schedules \
                 wait; it is tried again as soon as it is set"
            }
            Code::Zone => "set system.timezone on OpenWrt, /etc/localtime elsewhere",
            Code::DataCap => {
                "choose a lower level (millpond advise tells their prices), or main.cap_day and main.cap_level"
            }
            Code::Audit => {
                "see the text; repeat the check (millpond audit); strays end with the next reload of the guard"
            }
            Code::Socket => {
                "make room there or make it writable, and restart the service; until then it is to be reached on ubus alone"
            }
            Code::Ubus => "nothing to do for the devices; LuCI shows nothing until ubusd runs again",
        }
    }
}

/// Something that the owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What is wrong.
    pub text: String,
}

impl Problem {
    /// A problem of that kind.
    pub fn new(code: Code, text: impl Into<String>) -> Problem {
        Problem { code, text: text.into() }
    }

    /// What kept the guard from being in force, or in its file.
    pub fn of_guard(error: &Error) -> Problem {
        let code = match error {
            Error::GuardFile { .. } => Code::GuardFile,
            _ if error.package().is_some() => Code::PackageMissing,
            _ => Code::Guard,
        };
        Problem::new(code, error.to_string())
    }

    /// What kept the tunnel from coming up.
    pub fn of_tunnel(error: &Error) -> Problem {
        let code = match error {
            Error::TunTaken => Code::TunTaken,
            Error::Profile(_) => Code::Openvpn,
            Error::Desired(
                DesiredError::NoInterface(_) | DesiredError::InterfaceDown(_) | DesiredError::NotAddressed { .. },
            ) => Code::Interface,
            Error::Desired(DesiredError::ForeignQdisc { .. }) => Code::ForeignQdisc,
            _ if error.package().is_some() => Code::PackageMissing,
            _ => Code::Tunnel,
        };
        Problem::new(code, error.to_string())
    }
}
