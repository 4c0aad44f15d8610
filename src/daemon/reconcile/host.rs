//! Applies the settings to the kernel: interfaces, queueing tree, routes and nftables, through `plan` and `apply`.

pub mod guard;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};

use crate::apply::{Applied, ApplyError, Kernel, OpError, apply, apply_guard};
use crate::config::model::{Key, Role, Settings};
use crate::daemon::error::Error;
use crate::daemon::reconcile::openvpn;
use crate::daemon::reconcile::replay::must_forget;
use crate::daemon::reconcile::saved_sysctls::SavedSysctls;
use crate::daemon::wall_clock;
use crate::plan::coexistence::Conflict;
use crate::plan::nft::{TableName, TableText};
use crate::plan::qdisc_tree::ShaperLimits;
use crate::plan::wireguard::WireguardDevice;
use crate::plan::{
    Desired, Facts, Forwarding, Op, PreflightIssue, confirmed_elements, guard_table, home_peer, plan, plan_guard,
    preflight_issues,
};
use crate::sys::kernel::{self, GuardOnly, LinuxKernel, WithoutGuard};
use crate::sys::openvpn_profile::LoadedProfile;
use crate::sys::{PeerStatus, Tun, guard_file, realtime, resolve};
use crate::tunnel;
use crate::tunnel::sysctls::reverse_path_filter;
use crate::units::{Nanos, counted};
use crate::wire::size::{Encapsulation, IpVersion};

/// The running kernel, and its state before millpond changed it.
pub struct Host {
    kernel: LinuxKernel,
    facts: Facts,
    encapsulation: Encapsulation,
    /// The profile of the openvpn tunnel, from the last `read_facts`.
    profile: Option<LoadedProfile>,
    /// The forwarding sysctls before the first `bring_up` that changed them, to be restored at exit.
    forwarding_before: Option<Forwarding>,
    /// The forwarding sysctls that an earlier run of this daemon, or of a killed one, found; `None` before that.
    saved_forwarding: Option<Forwarding>,
    /// The sysctl of the attached interface that was changed, and its value before.
    overridden: Option<(String, String)>,
    /// Cached answers of nftables. Each query starts a program.
    tables: Option<Tables>,
}

/// The state of nftables.
struct Tables {
    guard: Option<TableText>,
    hardware_offload: Result<bool, OpError>,
}

impl Host {
    /// Opens the kernel's interfaces. `saved_forwarding` are the host's forwarding sysctls before millpond, if an
    /// earlier run has changed them. Fails with [`Error::NotRoot`] without root.
    pub fn open(saved_forwarding: Option<Forwarding>) -> Result<Host, Error> {
        if !kernel::is_root() {
            return Err(Error::NotRoot);
        }
        let kernel = LinuxKernel::open().map_err(from_op)?;
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        Ok(Host {
            kernel,
            facts: Facts::default(),
            encapsulation,
            profile: None,
            forwarding_before: None,
            saved_forwarding,
            overridden: None,
            tables: None,
        })
    }

    /// Reads the facts about this host that the plan needs. `endpoint` is the address of a router's endpoint.
    pub fn read_facts(&mut self, settings: &Settings, endpoint: Option<SocketAddr>) -> Result<(), Error> {
        #[cfg(feature = "endpoint")]
        if settings.role == Role::Endpoint {
            self.kernel.use_tun_queues();
        }
        self.read_lan(settings)?;
        self.tables()?.hardware_offload.clone().map_err(from_op)?;
        let attached = tunnel::properties(settings).filter(|tunnel| tunnel.link.is_none());
        let attached = attached.map(|tunnel| tunnel.interface);
        self.facts.tunnel.endpoint = endpoint;
        self.facts.tunnel.route = endpoint.and_then(|endpoint| self.kernel.endpoint_route(endpoint.ip()));
        self.facts.tunnel.carrier = self.kernel.attach(attached).map_err(from_op)?;
        self.profile = openvpn::load_profile(settings)?;
        self.facts.tunnel.profile = self.profile.map(|loaded| loaded.profile);
        self.encapsulation = tunnel::encapsulation(settings, &self.facts.tunnel)?;
        Ok(())
    }

    /// The network of the `wan` section whose line is in use.
    pub fn wan(&self) -> Option<String> {
        self.facts.wan.clone()
    }

    /// Reads which interfaces are LAN and which are uplinks. The loaded guard remembers the last known uplinks.
    fn read_lan(&mut self, settings: &Settings) -> Result<(), Error> {
        let tables = self.tables()?;
        let before = tables.guard.as_ref().map(Facts::from_guard).unwrap_or_default();
        let offload = tables.hardware_offload.clone().unwrap_or(false);
        let tunnel = std::mem::take(&mut self.facts.tunnel);
        self.facts = Facts { tunnel, ..self.kernel.facts(settings, &before, offload).map_err(from_op)? };
        if let Some(forwarding) = self.saved_forwarding.as_ref().filter(|_| settings.role == Role::Endpoint) {
            self.facts.forwarding.clone_from(forwarding);
        }
        Ok(())
    }

    fn tables(&mut self) -> Result<&mut Tables, Error> {
        let tables = match self.tables.take() {
            Some(tables) => tables,
            None => Tables {
                guard: self.kernel.guard().map_err(from_op)?,
                // The guard does not depend on it.
                hardware_offload: self.kernel.hardware_offload(),
            },
        };
        Ok(self.tables.insert(tables))
    }

    /// The tunnel's encapsulation of a cell.
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// The checked profile of an openvpn tunnel.
    pub fn profile(&self) -> Option<LoadedProfile> {
        self.profile
    }

    /// WireGuard's status of a router's endpoint; `None` if WireGuard does not have that peer.
    pub fn endpoint_peer(&mut self, settings: &Settings) -> Option<PeerStatus> {
        let key = endpoint_key(settings)?;
        self.kernel.peers().ok()?.into_iter().find(|peer| peer.public_key == *key)
    }

    /// Makes a router's WireGuard drop its keys and the packets that it and the queueing tree still keep: they were
    /// sized for an old address, or would leave in one burst. The next `bring_up` sets the interface up again, and the
    /// next packet starts a handshake at once. WireGuard does not forget the endpoint's newest handshake (`wg_stop` in
    /// the kernel's drivers/net/wireguard/device.c), as it would if the peer were removed. After a new handshake
    /// `in_vain` its packets are also made a new connection.
    pub fn flush_wireguard(&mut self, settings: &Settings, in_vain: bool) {
        if endpoint_key(settings).is_none() {
            return;
        }
        // A failure means that there is no interface, and so nothing in it.
        _ = self.kernel.run(&Op::SetUp { name: tunnel::interface(settings).to_owned(), up: false });
        let wireguard = tunnel::properties(settings).and_then(|tunnel| tunnel.wireguard);
        if let Some((wireguard, endpoint)) = wireguard.zip(self.facts.tunnel.endpoint).filter(|_| in_vain) {
            info!("new handshakes are in vain; renewing the connection to {endpoint}");
            self.kernel.renew_connection(WireguardDevice::new(wireguard.key(), wireguard.listen_port), endpoint);
        }
    }

    /// Lets WireGuard forget the handshakes of the silent homes for which it must: see [`must_forget`]. Each is
    /// removed, and added at once without the address that it sent from. WireGuard drops cells for a peer without an
    /// address; it would keep those for a peer without keys, and send them in one burst. The home's next handshake
    /// brings both.
    pub fn restart_handshakes(&mut self, settings: &Settings, silent: &[(Ipv4Addr, Nanos)]) {
        if silent.is_empty() {
            return;
        }
        let installed = self.kernel.peers().unwrap_or_default();
        for home in &settings.homes {
            let silence = silent.iter().find(|(address, _)| *address == home.address).map(|(_, silence)| *silence);
            let (Some(silence), Some(peer)) = (silence, home_peer(home)) else { continue };
            let current = installed.iter().find(|current| current.public_key == peer.public_key);
            let unix_s = wall_clock::unix_time_s();
            if !current.is_some_and(|current| must_forget(silence, current.last_handshake_s, unix_s)) {
                continue;
            }
            // `bring_up` repairs a failure here: it adds every missing peer.
            if self.kernel.run(&Op::RemovePeer(peer.public_key.clone())).is_ok() {
                _ = self.kernel.run(&Op::SetPeer(peer));
            }
        }
    }

    /// Conflicts between the settings and the host as last read.
    pub fn preflight_issues(&self, settings: &Settings) -> Vec<PreflightIssue> {
        preflight_issues(settings, &self.facts)
    }

    /// Rules, marks and routes of other programs that conflict with ours. Their rules do not matter on an endpoint: it
    /// marks nothing, and its only rule matches its own cells.
    pub fn conflicts(&mut self, settings: &Settings) -> Result<Vec<Conflict>, Error> {
        let mut others = self.kernel.others().map_err(from_op)?;
        if settings.role == Role::Endpoint {
            others.rules.clear();
        }
        let lan: Vec<&str> = self.facts.lan.iter().map(|lan| lan.name.as_str()).collect();
        let mut conflicts = others.conflicts(settings.routing_ids, &lan);
        conflicts.extend(others.outer_conflict(&self.facts.tunnel));
        Ok(conflicts)
    }

    /// Raises the priority of the worker threads that encrypt the cells, if there are any and the system permits it.
    pub fn prioritize_encryption(&self, settings: &Settings) {
        match realtime::promote_encryption(tunnel::interface(settings)) {
            Ok(0) => {}
            Ok(promoted) => {
                let threads = counted(promoted, "WireGuard worker thread", "WireGuard worker threads");
                info!("raised the priority of {threads}");
            }
            Err(error) => {
                warn!("raising the priority of WireGuard worker threads: {error}: departures may be late under load");
            }
        }
    }

    /// The index of the interface that carries the cells.
    pub fn interface_index(&mut self, settings: &Settings) -> Result<u32, Error> {
        self.kernel.interface_index(tunnel::interface(settings)).map_err(from_op)
    }

    /// The host's forwarding sysctls before the first `bring_up` that changed them.
    pub fn forwarding_before(&self) -> Option<Forwarding> {
        self.forwarding_before.clone()
    }

    /// The sysctl of the attached interface that the last `bring_up` changed, and its value before.
    pub fn overridden(&self) -> Option<&(String, String)> {
        self.overridden.as_ref()
    }

    /// The operations that would apply the settings, guard first. Runs none of them.
    pub fn plan(&mut self, settings: &Settings, limits: &ShaperLimits) -> Result<Vec<Op>, Error> {
        let desired = Desired::from_settings(settings, &self.facts, limits)?;
        let snapshot = self.kernel.snapshot().map_err(from_op)?;
        let mut ops = plan_guard(Some(&guard_table(settings, &self.facts)), &snapshot);
        ops.extend(self.bridge_op(settings)?);
        ops.extend(plan(&desired, &snapshot));
        Ok(ops)
    }

    /// Applies the settings to everything except the guard. On failure the kernel's state is rolled back.
    pub fn bring_up(&mut self, settings: &Settings, limits: &ShaperLimits) -> Result<Applied, Error> {
        let mut desired = Desired::from_settings(settings, &self.facts, limits)?;
        let learned = confirmed_elements(&self.learned_now());
        if let Some(table) = &mut desired.table {
            table.learned.clone_from(&learned);
        }
        let applied = apply(&mut WithoutGuard(&mut self.kernel), &desired)?;
        if let (Some(installed), false) = (&applied.before.table, applied.ops.iter().any(sets_tunnel_table)) {
            self.kernel.set_learned(&mut installed.clone(), &learned).map_err(from_op)?;
        }
        applied.ops.iter().for_each(|op| info!("{op}"));
        if let Some(key) = self.kernel.attached().map(reverse_path_filter) {
            let changed = |op: &Op| matches!(op, Op::SetSysctl { key: other, .. } if *other == key);
            let value = applied.before.sysctls.get(&key).filter(|_| applied.ops.iter().any(changed));
            self.overridden = value.cloned().map(|value| (key, value));
        }
        if self.forwarding_before.is_none() {
            self.forwarding_before = Forwarding::changed_by(&applied.ops, &applied.before);
        }
        Ok(applied)
    }

    /// The TUN interface, after a `bring_up` that created it.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.kernel.take_tun()
    }

    /// Attaches to an existing TUN interface. Fails with [`Error::TunTaken`] if another process holds it.
    pub fn attach_tun(&mut self) -> Result<Tun, Error> {
        self.kernel.attach_tun().map_err(|_| Error::TunTaken)
    }

    /// Removes everything of millpond's except the guard, newest first, then restores the saved sysctls.
    pub fn tear_down(&mut self, saved_sysctls: SavedSysctls) -> Result<Applied, Error> {
        // A failure is harmless: the kernel ends idle worker threads after a while.
        _ = realtime::demote_encryption();
        self.kernel.discard_draft(TableName::Tunnel);
        let before = saved_sysctls.forwarding.as_ref();
        let desired = before.map_or_else(Desired::nothing, |before| Desired::nothing().restoring_forwarding(before));
        let applied = apply(&mut WithoutGuard(&mut self.kernel), &desired)?;
        for (key, value) in saved_sysctls.overridden {
            // A failure means that the interface is gone, and its sysctl with it.
            _ = self.kernel.run(&Op::SetSysctl { key, value });
        }
        Ok(applied)
    }

    /// Removes everything of millpond's, guard and `file` last, and restores the saved sysctls.
    pub fn flush(&mut self, file: &Path, saved_sysctls: SavedSysctls) -> Result<Vec<Op>, Error> {
        let mut ops = self.tear_down(saved_sysctls)?.ops;
        guard_file::remove(file).map_err(Error::system(format!("removing {}", file.display())))?;
        self.kernel.discard_draft(TableName::Guard);
        let guard = self.kernel.guard().map_err(from_op)?;
        ops.extend(apply_guard(&mut GuardOnly::new(&mut self.kernel, guard), None)?.ops);
        self.kernel.discard_draft(TableName::Bridge);
        if self.kernel.bridge_guard().map_err(from_op)?.is_some() {
            let op = Op::DeleteTable(TableName::Bridge);
            self.kernel.run(&op).map_err(from_op)?;
            ops.push(op);
        }
        Ok(ops)
    }
}

/// The time of the last handshake with a router's endpoint in Unix seconds, 0 for none; `None` if it is not known.
pub fn last_handshake_s(settings: &Settings) -> Option<u64> {
    endpoint_key(settings)?;
    Some(Host::open(None).ok()?.endpoint_peer(settings)?.last_handshake_s)
}

fn sets_tunnel_table(op: &Op) -> bool {
    matches!(op, Op::SetTable(table) if table.name == TableName::Tunnel)
}

fn endpoint_key(settings: &Settings) -> Option<&Key> {
    tunnel::properties(settings)?.handshake_key
}

/// Resolves a router's endpoint to its first address; `None` on an endpoint. Blocks until the resolver answers. The
/// error of a name that does not resolve contains the name.
pub fn resolve_endpoint(settings: &Settings) -> Result<Option<SocketAddr>, Error> {
    let Some(host) = tunnel::properties(settings).and_then(|tunnel| tunnel.endpoint) else { return Ok(None) };
    let addresses =
        resolve::resolve(host).map_err(Error::system(format!("resolving tunnel.endpoint {}", host.host)))?;
    Ok(addresses.first().copied())
}

/// Wraps an operation that failed before anything was changed.
pub fn from_op(error: OpError) -> Error {
    Error::Apply(ApplyError::of_first_operation(error))
}
