//! The sysctls that millpond sets, apart from those of the tunnel's interface, and those that it reads.

use std::fmt;

use super::op::Op;
use super::ownership::TUN;
use super::snapshot::Snapshot;
use crate::config::model::Settings;
use crate::tunnel::OWN_INTERFACES;
use crate::tunnel::sysctls::{DISABLE_IPV6, ipv6_sysctl, reverse_path_filter};

/// The sysctl that enables IPv4 forwarding.
pub(super) const IP_FORWARD: &str = "net.ipv4.ip_forward";
/// The sysctl that enables IPv6 forwarding.
pub(super) const IP6_FORWARD: &str = "net.ipv6.conf.all.forwarding";

/// The host's forwarding sysctls with their values, for both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding(Vec<(String, String)>);

impl Forwarding {
    /// The values that `read` finds for the keys. Keys without a value are left out.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Forwarding {
        let pair = |key: &str| Some((key.to_owned(), read(key)?));
        Forwarding([IP_FORWARD, IP6_FORWARD].into_iter().filter_map(pair).collect())
    }

    /// The values in `snapshot`.
    pub fn of(snapshot: &Snapshot) -> Forwarding {
        Forwarding::read(|key| snapshot.sysctls.get(key).cloned())
    }

    /// The values `before` operations that change one of them; `None` if they change none. A router changes none: what
    /// other programs switched on since, such as NetworkManager for an access point, is not millpond's to restore.
    pub fn changed_by(ops: &[Op], before: &Snapshot) -> Option<Forwarding> {
        let changes = |op: &Op| matches!(op, Op::SetSysctl { key, .. } if *key == IP_FORWARD || *key == IP6_FORWARD);
        ops.iter().any(changes).then(|| Forwarding::of(before))
    }

    /// Whether the sysctl is known to be off.
    pub(super) fn is_off(&self, key: &str) -> bool {
        self.0.iter().any(|(known, value)| known == key && value == "0")
    }

    /// The keys with their values.
    pub(super) fn sysctls(&self) -> &[(String, String)] {
        &self.0
    }

    /// Reads the text that [`Forwarding`] prints as, and ignores everything else.
    pub fn from_text(text: &str) -> Forwarding {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        let known = pairs.filter(|(key, _)| [IP_FORWARD, IP6_FORWARD].contains(key));
        Forwarding(known.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Sysctls for an interface that needs IPv6: the kernel generates no address and ignores router advertisements from the
/// tunnel.
const QUIET_IPV6: [(&str, &str); 2] = [("addr_gen_mode", "1"), ("accept_ra", "0")];

/// The sysctls of [`TUN`].
pub(super) fn of_tun(settings: &Settings) -> Vec<(String, String)> {
    let ipv6 = settings.address6.is_some() || settings.homes.iter().any(|home| home.address6.is_some());
    // Loose mode, because the tunnel's interface has the same address and answers arrive there.
    let mut sysctls = vec![(reverse_path_filter(TUN), "2".into())];
    if ipv6 {
        sysctls.extend(QUIET_IPV6.map(|(key, value)| (ipv6_sysctl(TUN, key), value.into())));
    }
    sysctls.push((ipv6_sysctl(TUN, DISABLE_IPV6), if ipv6 { "0" } else { "1" }.into()));
    sysctls
}

/// Every sysctl that a plan may set, for the snapshot to read. `attached` is the attached interface of another program.
pub(crate) fn watched_sysctls(attached: Option<&str>) -> Vec<String> {
    let mut keys = vec![IP_FORWARD.to_owned(), IP6_FORWARD.to_owned()];
    keys.extend(attached.map(reverse_path_filter));
    for name in OWN_INTERFACES.into_iter().chain([TUN]) {
        keys.push(reverse_path_filter(name));
        let ipv6 = [DISABLE_IPV6].into_iter().chain(QUIET_IPV6.map(|(key, _)| key));
        keys.extend(ipv6.map(|key| ipv6_sysctl(name, key)));
    }
    keys
}
