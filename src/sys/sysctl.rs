//! Sysctls: the files under /proc/sys.

use std::{fs, io};

/// The value of a sysctl such as `net.ipv4.ip_forward`; `None` if the kernel has no such sysctl.
pub fn read(key: &str) -> Option<String> {
    fs::read_to_string(path(key)).ok().map(|value| value.trim().to_owned())
}

/// Sets a sysctl.
pub fn write(key: &str, value: &str) -> io::Result<()> {
    fs::write(path(key), value)
}

/// The file of a sysctl. As for sysctl(8), a dot inside an interface's name is written as a slash.
fn path(key: &str) -> String {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    format!("/proc/sys/{}", key.chars().map(swapped).collect::<String>())
}
