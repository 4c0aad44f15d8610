//! Network namespaces of a test's own.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace that ends with this.
pub struct Namespace(File);

impl Namespace {
    /// A new one, in which this thread then is.
    pub fn new() -> Namespace {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        Namespace(File::open("/proc/thread-self/ns/net").unwrap())
    }

    /// Moves this thread there.
    pub fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Moves an interface there.
    pub fn take(&self, interface: &str) {
        shell(&format!("ip link set {interface} netns /proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()));
    }
}

/// Runs a command of the shell's in this thread's namespace and gives what it prints; it has to succeed.
pub fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
