//! Where the daemon finds its files.

use std::path::PathBuf;

/// Paths of the daemon's files and sockets.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings file.
    pub config: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Sockets where an ubus broker may listen, the likeliest first.
    pub brokers: Vec<PathBuf>,
    /// The file from which the guard is loaded at boot.
    pub guard_file: PathBuf,
    /// The file that keeps the data usage of the billing period.
    pub usage_file: PathBuf,
}
