//! What a container must have so that the daemon can work in it. Its engine or its manifest grants that.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::cli::exit::{Failure, OS_ERROR};
use crate::sys::capabilities;

/// Podman, systemd-nspawn and the project's image set this variable inside a container.
const MARK: &str = "container";
const TUN: &str = "/dev/net/tun";
/// Some file of the sysctls: engines mount all of them read-only, unless they are told otherwise.
const SYSCTL: &str = "/proc/sys/net/ipv4/ip_forward";

/// Whether this process runs in a container.
pub(super) fn is_container() -> bool {
    std::env::var_os(MARK).is_some()
}

/// In a container, fails with everything that it lacks, and how to start it instead. `volume` is the folder with
/// settings and keys. Elsewhere it succeeds: what another host lacks may come later, and the daemon waits for that.
pub fn check(volume: &Path) -> Result<(), Failure> {
    let missing = if is_container() { missing(volume) } else { Vec::new() };
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(OS_ERROR, format!("starting in a container: {}", missing.join("; "))))
}

/// What this container lacks, each with the remedy.
pub(super) fn missing(volume: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if !capabilities::has(capabilities::NET_ADMIN) {
        missing.push("the capability NET_ADMIN is missing: start it with --cap-add NET_ADMIN".to_owned());
    }
    if let Some(error) = unwritable(TUN) {
        missing.push(format!("{TUN} cannot be used ({error}): start it with --device {TUN}"));
    }
    if let Some(error) = unwritable(SYSCTL) {
        missing.push(format!(
            "/proc/sys cannot be written ({error}): start it with --security-opt systempaths=unconfined, in Kubernetes \
             with 'privileged: true'"
        ));
    }
    if let Err(error) = access(volume, AccessFlags::W_OK) {
        missing.push(format!(
            "{} cannot be written ({}): mount a volume there that is not read-only",
            volume.display(),
            io::Error::from(error)
        ));
    }
    missing
}

/// Why the file cannot be opened for writing. Opening a sysctl changes nothing, and a TUN device needs a name first.
fn unwritable(path: &str) -> Option<io::Error> {
    OpenOptions::new().read(true).write(true).open(path).err()
}
