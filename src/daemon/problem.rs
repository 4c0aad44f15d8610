//! Problems that the owner should know: stable codes, each with a severity and a fix.

use crate::daemon::error::Error;
use crate::plan::{DesiredError, PreflightIssueKind};
use crate::tunnel::TunnelError;

/// The kind of a problem. Its name is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The settings are not in force.
    Settings,
    /// The endpoint's name has no address.
    Name,
    /// The guard is not in force.
    Guard,
    /// The kernel refuses the guard, and a minimal one is in force.
    GuardMinimal,
    /// The guard is not in the file from which it is loaded at boot.
    GuardFile,
    /// Two devices use one address of a confined device.
    AddressConflict,
    /// A device without a section uses an address that a confined device had.
    UnknownDevice,
    /// Packets of shaped devices are routed past the tunnel, and the guard refuses them.
    NotInTunnel,
    /// A kernel module or a program is missing; the text names its package.
    PackageMissing,
    /// The kernel refused a part of the tunnel.
    Tunnel,
    /// Another process holds `mp0`.
    TunTaken,
    /// The interface to attach to does not exist or is not ready.
    Interface,
    /// Another program's qdisc occupies the place of ours.
    ForeignQdisc,
    /// The profile is unsuitable for cells, or openvpn does not run.
    Openvpn,
    /// The endpoint's openvpn requests compression.
    OpenvpnCompression,
    /// The endpoint's openvpn assigns an address other than the one in the settings.
    OpenvpnAddress,
    /// Another program's routing rule precedes ours and may match shaped devices' packets.
    RuleBefore,
    /// Another program's routing rule tests our mark bit.
    MarkTaken,
    /// Another program has routes in our routing table.
    TableTaken,
    /// The tunnel's own packets leave by another program's tunnel.
    InOtherTunnel,
    /// A reconcile process could not start or did not finish.
    Reconcile,
    /// The system does not permit real-time priority or locked memory.
    Realtime,
    /// The settings do not fit this host.
    Preflight(PreflightIssueKind),
    /// The clock has not been set since boot.
    Clock,
    /// The control socket could not be created.
    Socket,
    /// The ubus broker cannot be reached.
    Ubus,
    /// The time zone is unknown, so schedules use universal time.
    Zone,
    /// The data cap is exceeded, or will be by the forecast.
    DataCap,
    /// The endpoint knows no trains, and the settings need them.
    Trains,
    /// The endpoint knows no bursts, and the settings have some.
    Bursts,
    /// The last audit of the wire found a fault.
    Audit,
    /// The last audit of the wire found packets from the router that quote a confined device.
    RouterQuotes,
    /// The machine is too small for its homes.
    Overload,
}

impl Code {
    const ALL: [Code; 32] = [
        Code::Settings,
        Code::Name,
        Code::Guard,
        Code::GuardMinimal,
        Code::GuardFile,
        Code::AddressConflict,
        Code::UnknownDevice,
        Code::NotInTunnel,
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
        Code::InOtherTunnel,
        Code::Reconcile,
        Code::Realtime,
        Code::Clock,
        Code::Socket,
        Code::Ubus,
        Code::Zone,
        Code::DataCap,
        Code::Trains,
        Code::Bursts,
        Code::Audit,
        Code::RouterQuotes,
        Code::Overload,
    ];

    /// The name of the code.
    pub fn name(self) -> &'static str {
        match self {
            Code::Settings => "settings",
            Code::Name => "name",
            Code::Guard => "guard",
            Code::GuardMinimal => "guard-minimal",
            Code::GuardFile => "guard-file",
            Code::AddressConflict => "address-conflict",
            Code::UnknownDevice => "unknown-device",
            Code::NotInTunnel => "not-in-tunnel",
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
            Code::InOtherTunnel => "in-other-tunnel",
            Code::Reconcile => "upkeep",
            Code::Realtime => "realtime",
            Code::Preflight(kind) => kind.name(),
            Code::Clock => "clock",
            Code::Socket => "socket",
            Code::Ubus => "ubus",
            Code::Zone => "zone",
            Code::DataCap => "data-cap",
            Code::Trains => "trains",
            Code::Bursts => "bursts",
            Code::Audit => "audit",
            Code::RouterQuotes => "router-quotes",
            Code::Overload => "overload",
        }
    }

    /// All codes, including those of settings that do not fit this host.
    pub fn all() -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().chain(PreflightIssueKind::ALL.map(Code::Preflight))
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::all().find(|code| code.name() == name)
    }

    /// `error`, `warning` or `info`.
    pub fn severity(self) -> &'static str {
        match self {
            Code::RuleBefore | Code::MarkTaken | Code::TableTaken | Code::Realtime | Code::Clock | Code::Socket => {
                "warning"
            }
            Code::Zone | Code::DataCap | Code::Trains | Code::Bursts | Code::AddressConflict => "warning",
            Code::UnknownDevice | Code::Overload | Code::InOtherTunnel => "warning",
            Code::Preflight(PreflightIssueKind::MeshPort | PreflightIssueKind::CellTooLong) => "info",
            Code::Preflight(kind) if !kind.is_error() => "warning",
            Code::Ubus => "info",
            _ => "error",
        }
    }

    /// The remedy, in one line.
    pub fn fix(self) -> &'static str {
        match self {
            Code::Settings => "run millpond check, correct what it names, and reload",
            Code::Name => "check tunnel.endpoint and the Internet connection; millpond keeps retrying",
            Code::Guard => {
                "see the text; until it is corrected, devices may send outside the tunnel; millpond keeps retrying"
            }
            Code::GuardMinimal => {
                "see the text; until it is corrected, shaped and blocked devices reach only the home; millpond keeps \
                 retrying"
            }
            Code::GuardFile => {
                "free space on the flash, or make it writable; the guard is loaded now, but after a boot it will be \
                 missing until millpond starts; millpond keeps retrying"
            }
            Code::AddressConflict => {
                "if a device was replaced, wait ten minutes; otherwise give each device an address of its own, or find \
                 the device that forges it; choose devices by mac or by network"
            }
            Code::UnknownDevice => {
                "choose a policy for it in a section config device, direct included; option strict of a network shuts \
                 such devices out until then"
            }
            Code::NotInTunnel => {
                "let no other program (mwan3, pbr, a VPN's kill switch) mark or route these devices: see \"nft list \
                 ruleset\" and \"ip rule\""
            }
            Code::PackageMissing => "install the package that the text names; millpond keeps retrying",
            Code::Tunnel => "see the text; millpond keeps retrying",
            Code::TunTaken => "stop the other daemon or remove mp0; millpond keeps retrying",
            Code::Interface => "bring the interface up with tunnel.address on it; millpond then attaches to it",
            Code::ForeignQdisc => {
                "remove that qdisc, for example by disabling SQM on this interface; millpond keeps retrying"
            }
            Code::Openvpn => "correct what the text names, in the profile or on this host; millpond keeps retrying",
            Code::OpenvpnCompression => {
                "remove the push of compression from the server's profile or its client-config-dir"
            }
            Code::OpenvpnAddress => "set tunnel.address and the server's ifconfig-push to the same address",
            Code::RuleBefore => "set main.priority to a lower number than that rule's, or move the rule",
            Code::MarkTaken => "set main.mark to a bit that no rule tests",
            Code::TableTaken => "set main.table to an unused number",
            Code::InOtherTunnel => {
                "exempt the endpoint in that program, or route it around: ip rule add to ADDRESS lookup main priority \
                 900"
            }
            Code::Reconcile => "millpond keeps retrying; if the problem persists, restart the service and report it",
            Code::Preflight(kind) => kind.fix(),
            Code::Realtime => "run as root, outside a container that removes CAP_SYS_NICE or CAP_IPC_LOCK",
            Code::Clock => {
                "set the clock, usually by NTP; until then the endpoint may refuse the tunnel's handshakes, and \
                 schedules wait; millpond retries as soon as the clock is set"
            }
            Code::Zone => "set system.timezone on OpenWrt, /etc/localtime elsewhere",
            Code::DataCap => {
                "choose a lower level (millpond advise shows the costs), or set main.cap_day and main.cap_level"
            }
            Code::Trains => {
                "update millpond on the endpoint; or set main.train to 1, and rates at which single cells are at least \
                 0.1 ms apart"
            }
            Code::Bursts => "update millpond on the endpoint; or remove the section config burst",
            Code::Audit => {
                "see the text; repeat the audit (millpond audit); stray connections end at the next reload of the guard"
            }
            Code::RouterQuotes => {
                "find the program on the router that the text describes (a resolver, a proxy, a relay), and stop it or \
                 keep the device from it; then repeat the audit (millpond audit --deep)"
            }
            Code::Overload => {
                "move homes to another endpoint, lower their max_download, or use a machine with more processors"
            }
            Code::Socket => {
                "free space there or make it writable, and restart the service; until then millpond answers on ubus \
                 only"
            }
            Code::Ubus => "the devices need no action; LuCI shows nothing until ubusd runs again",
        }
    }
}

/// A problem that the owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// The description, in one line.
    pub text: String,
}

impl Problem {
    /// A problem with this code and description.
    pub fn new(code: Code, text: impl Into<String>) -> Problem {
        Problem { code, text: text.into() }
    }

    /// The problem for an error that kept the guard from being loaded or saved.
    pub fn of_guard(error: &Error) -> Problem {
        let code = match error {
            Error::GuardFile { .. } => Code::GuardFile,
            Error::MinimalGuard(_) => Code::GuardMinimal,
            _ if error.package().is_some() => Code::PackageMissing,
            _ => Code::Guard,
        };
        Problem::new(code, error.to_string())
    }

    /// The problem for an error that kept the tunnel from coming up.
    pub fn of_tunnel(error: &Error) -> Problem {
        let code = match error {
            Error::TunTaken => Code::TunTaken,
            Error::Profile(_) => Code::Openvpn,
            Error::Desired(DesiredError::Tunnel(
                TunnelError::NoInterface(_) | TunnelError::InterfaceDown(_) | TunnelError::NotAddressed { .. },
            )) => Code::Interface,
            Error::Desired(DesiredError::Tunnel(TunnelError::ForeignQdisc { .. })) => Code::ForeignQdisc,
            _ if error.package().is_some() => Code::PackageMissing,
            _ => Code::Tunnel,
        };
        Problem::new(code, error.to_string())
    }
}
