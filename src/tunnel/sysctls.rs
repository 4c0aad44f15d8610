//! The names of the sysctls of an interface.

/// The sysctl that disables IPv6 on an interface. If the interface does not need IPv6, the kernel would use it only for
/// packets of its own.
pub const DISABLE_IPV6: &str = "disable_ipv6";

/// The reverse path filter of the interface `name`: the kernel drops packets whose answer would not leave through the
/// interface on which they arrived.
pub fn reverse_path_filter(name: &str) -> String {
    // The dots of the key separate path components; as in sysctl(8), a slash replaces a dot of the interface's name.
    format!("net.ipv4.conf.{}.rp_filter", name.replace('.', "/"))
}

/// The IPv6 sysctl `key` of one of millpond's own interfaces, whose names have no dot.
pub fn ipv6_sysctl(name: &str, key: &str) -> String {
    format!("net.ipv6.conf.{name}.{key}")
}
