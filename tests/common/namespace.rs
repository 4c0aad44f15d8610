//! Network namespaces for tests.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace that is removed with this value.
pub struct Namespace(File);

impl Namespace {
    /// Creates a namespace and moves this thread into it.
    pub fn new() -> Namespace {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        Namespace(File::open("/proc/thread-self/ns/net").unwrap())
    }

    /// Moves this thread into the namespace.
    pub fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Moves an interface of this thread's namespace into this one.
    pub fn move_in(&self, interface: &str) {
        shell(&format!("ip link set {interface} netns /proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()));
    }
}

/// Runs a shell command in this thread's namespace and returns its output. Panics if it fails.
pub fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Loads rules with nft in this thread's namespace. Panics if nft refuses them.
pub fn load_rules(rules: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}
