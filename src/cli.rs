//! The command line: one file per subcommand.

mod advise;
mod audit;
mod check;
mod client;
mod config;
mod daemon_log;
mod devices;
#[cfg(feature = "endpoint")]
mod endpoint;
mod exit;
mod flush;
#[cfg(all(feature = "endpoint", feature = "lab"))]
pub mod fuzzing;
mod join;
#[cfg(feature = "endpoint")]
mod lateness;
mod plan;
#[cfg(feature = "endpoint")]
mod policy;
mod reload;
mod renew;
#[cfg(feature = "endpoint")]
mod router;
mod run;
mod service;
mod settings;
mod status;
mod stderr;

#[cfg(feature = "endpoint")]
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::{EarlyExit, FromArgs};

use self::exit::{Failure, USAGE};
use crate::sys::{panic_hook, signal};

/// The settings file on OpenWrt.
pub const CONFIG_PATH: &str = "/etc/config/millpond";

/// The control socket of the daemon.
pub const SOCKET_PATH: &str = "/var/run/millpond.sock";

/// The same under systemd: in a folder of the daemon's user, which may not write to `/run`.
#[cfg(feature = "endpoint")]
const UNIT_SOCKET_PATH: &str = "/run/millpond/millpond.sock";

/// The control socket of the daemon on this host. A daemon under systemd that was killed has left files beside its own.
fn control_socket() -> PathBuf {
    #[cfg(feature = "endpoint")]
    if ["sock", "before"].iter().any(|kind| Path::new(UNIT_SOCKET_PATH).with_extension(kind).exists()) {
        return UNIT_SOCKET_PATH.into();
    }
    SOCKET_PATH.into()
}

/// Hide the activity of a smart home: send the traffic of chosen devices through a VPN tunnel as packets of one size,
/// at times drawn in advance.
#[derive(FromArgs)]
#[argh(example = "{command_name} status")]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Run(run::RunCommand),
    Join(join::JoinCommand),
    Check(check::CheckCommand),
    Config(config::ConfigCommand),
    Plan(plan::PlanCommand),
    Reload(reload::ReloadCommand),
    Renew(renew::RenewCommand),
    Flush(flush::FlushCommand),
    Status(status::StatusCommand),
    Devices(devices::DevicesCommand),
    Advise(advise::AdviseCommand),
    Audit(audit::AuditCommand),
    #[cfg(feature = "endpoint")]
    Lateness(lateness::LatenessCommand),
    #[cfg(feature = "endpoint")]
    Endpoint(endpoint::EndpointCommand),
    #[cfg(feature = "endpoint")]
    Router(router::RouterCommand),
    #[cfg(feature = "endpoint")]
    Shape(policy::ShapeCommand),
    #[cfg(feature = "endpoint")]
    Block(policy::BlockCommand),
    #[cfg(feature = "endpoint")]
    Direct(policy::DirectCommand),
    Version(VersionCommand),
}

/// Print the version.
#[derive(FromArgs)]
#[argh(subcommand, name = "version", example = "{command_name}")]
struct VersionCommand {}

/// Runs the command line `arguments`, which exclude the program's name.
pub fn run(arguments: &[String]) -> ExitCode {
    panic_hook::install();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.first() != Some(&"run") {
        signal::reset_sigpipe();
    }
    if words == ["--version"] {
        return print_version();
    }
    let parsed = match Arguments::from_args(&["millpond"], &words) {
        Ok(parsed) => parsed,
        Err(EarlyExit { output, status: Ok(()) }) => {
            println!("{output}");
            return ExitCode::SUCCESS;
        }
        Err(EarlyExit { output, status: Err(()) }) => {
            stderr::print_line(output.trim_end());
            return ExitCode::from(USAGE);
        }
    };
    let result = match parsed.command {
        Command::Run(command) => command.execute(),
        Command::Join(command) => command.execute(),
        Command::Check(command) => command.execute(),
        Command::Config(command) => command.execute(),
        Command::Plan(command) => command.execute(),
        Command::Reload(command) => command.execute(),
        Command::Renew(command) => command.execute(),
        Command::Flush(command) => command.execute(),
        Command::Status(command) => command.execute(),
        Command::Devices(command) => command.execute(),
        Command::Advise(command) => command.execute(),
        Command::Audit(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Lateness(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Endpoint(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Router(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Shape(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Block(command) => command.execute(),
        #[cfg(feature = "endpoint")]
        Command::Direct(command) => command.execute(),
        Command::Version(_) => return print_version(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, text }) => {
            stderr::print_line(format_args!("millpond: {text}"));
            ExitCode::from(code)
        }
    }
}

fn print_version() -> ExitCode {
    println!("{}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}
