//! What the kernel permits this process to do (capabilities(7)).

use std::fs;

/// The number of `CAP_NET_ADMIN` in `linux/capability.h`.
pub const NET_ADMIN: u32 = 12;

/// Whether this process has the capability of that number.
pub fn has(number: u32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| is_effective(&status, number))
}

/// Whether the effective set in the text of `/proc/self/status` has the capability.
fn is_effective(status: &str, number: u32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> number & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        // What Podman grants, with and without --cap-add NET_ADMIN.
        let status = |set| format!("CapPrm:\t0000000000001000\nCapEff:\t{set}\nCapBnd:\t0000000000001000\n");
        assert!(is_effective(&status("00000000800415fb"), NET_ADMIN));
        assert!(!is_effective(&status("00000000800405fb"), NET_ADMIN));
        assert!(!is_effective("", NET_ADMIN));
    }
}
