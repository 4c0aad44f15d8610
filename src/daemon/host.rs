//! The kernel in line with the settings: interfaces, queueing tree, routes and nftables, through plan and apply.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};

use super::encapsulation::encapsulation;
use super::error::Error;
use super::saved_sysctls::SavedSysctls;
use crate::apply::{Applied, ApplyError, Kernel, OpError, apply, apply_guard};
use crate::config::model::{Key, Role, Settings, Tunnel};
use crate::plan::coexistence::Conflict;
use crate::plan::nft::{TableName, TableText};
use crate::plan::qdisc_tree::ShaperLimits;
use crate::plan::wireguard::Peer;
use crate::plan::{
    Desired, Facts, Forwarding, Op, PreflightIssue, Snapshot, confined_by, guard_table, home_peer, lasting, plan,
    plan_guard, preflight_issues, reverse_path_filter, tunnel,
};
use crate::sys::kernel::{self, GuardAlone, LinuxKernel, WithoutGuard};
use crate::sys::{PeerStatus, Tun, guard_file, realtime, resolve};
use crate::wire::size::{Encapsulation, IpVersion};

/// The running kernel, and what it held before us.
pub struct Host {
    kernel: LinuxKernel,
    facts: Facts,
    encapsulation: Encapsulation,
    /// What a host that is new to us did about forwarding; given back at the end.
    before: Option<Snapshot>,
    /// The sysctl of another's interface that was changed, and its value before.
    overridden: Option<(String, String)>,
    /// What nftables said. Each question starts a program, so none is asked twice.
    tables: Option<Tables>,
}

/// What nftables holds.
struct Tables {
    guard: Option<TableText>,
    hardware_offload: bool,
}

impl Host {
    /// Opens the kernel's interfaces.
    pub fn open() -> Result<Host, Error> {
        if !kernel::is_root() {
            return Err(Error::NotRoot);
        }
        let kernel = LinuxKernel::open().map_err(from_op)?;
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        Ok(Host { kernel, facts: Facts::default(), encapsulation, before: None, overridden: None, tables: None })
    }

    /// Learns what the settings do not say. `endpoint`: where a router's is.
    pub fn learn(&mut self, settings: &Settings, endpoint: Option<SocketAddr>) -> Result<(), Error> {
        self.learn_lan(settings)?;
        let attached = match &settings.tunnel {
            Some(Tunnel::Interface { interface, .. }) => Some(interface.as_str()),
            _ => None,
        };
        self.facts.endpoint = endpoint;
        self.facts.carrier = self.kernel.attach(attached).map_err(from_op)?;
        self.encapsulation = encapsulation(settings, &self.facts)?;
        Ok(())
    }

    /// Where the home ends. The guard that stands remembers what led out when that was last to be seen.
    fn learn_lan(&mut self, settings: &Settings) -> Result<(), Error> {
        let tables = self.tables()?;
        let before = tables.guard.as_ref().map(Facts::remembered).unwrap_or_default();
        let offload = tables.hardware_offload;
        let (endpoint, carrier) = (self.facts.endpoint, self.facts.carrier.take());
        self.facts = Facts { endpoint, carrier, ..self.kernel.facts(settings, &before, offload).map_err(from_op)? };
        Ok(())
    }

    fn tables(&mut self) -> Result<&mut Tables, Error> {
        let tables = match self.tables.take() {
            Some(tables) => tables,
            None => Tables {
                guard: self.kernel.guard().map_err(from_op)?,
                hardware_offload: self.kernel.hardware_offload().map_err(from_op)?,
            },
        };
        Ok(self.tables.insert(tables))
    }

    /// Brings the guard in line with `understood`, the part of broken settings that could be read, and lets go of nobody
    /// whom one that stands confines.
    pub fn set_guard_besides(&mut self, understood: &Settings, file: &Path) -> Result<Applied, Error> {
        let mut settings = understood.clone();
        if let Some(guard) = &self.tables()?.guard {
            let (devices, networks) = confined_by(guard);
            settings.devices.extend(devices);
            settings.networks.extend(networks);
        }
        self.set_guard(&settings, file)
    }

    /// Brings the guard in line, and then `file`, from which it is loaded at boot. This comes first of all, needs
    /// nothing of the tunnel, and nothing but [`Host::flush`] undoes it.
    pub fn set_guard(&mut self, settings: &Settings, file: &Path) -> Result<Applied, Error> {
        let found = self.tables()?.guard.clone();
        let stands = found.as_ref().is_some_and(|guard| guard.untouched);
        if !stands {
            // The one that is wanted is made in several steps, and verified: until then the file's holds, if there is one.
            if guard_file::load(file).is_ok() {
                info!("put the guard back that {} holds", file.display());
                self.tables = None;
            }
        }
        self.learn_lan(settings)?;
        let mut wanted = guard_table(settings, &self.facts);
        let before = self.tables()?.guard.clone();
        wanted.learned = self.kernel.learned(before.as_ref(), &wanted).map_err(from_op)?;
        let mut kernel = GuardAlone::new(&mut self.kernel, before);
        let applied = apply_guard(&mut kernel, Some(&wanted))?;
        let installed = kernel.into_last();
        self.tables()?.guard.clone_from(&installed);
        applied.ops.iter().for_each(|op| info!("{op}"));
        let enforced =
            if stands && applied.ops.is_empty() { Ok(0) } else { self.kernel.enforce(found.as_ref(), &wanted) };
        let digest = installed.as_ref().map(TableText::digest).unwrap_or_default();
        // Addresses come and go by the hour, and the file is on flash memory.
        wanted.learned = installed.map(|installed| lasting(&installed.learned)).unwrap_or_default();
        let written = guard_file::write(file, &wanted.file(&digest));
        if written.map_err(|error| Error::GuardFile { path: file.into(), error })? {
            info!("wrote the guard to {}", file.display());
        }
        // Whether or not old connections could be ended, the file has to hold what is in force.
        let ended = enforced.map_err(from_op)?;
        if ended > 0 {
            info!("ended {ended} connections of devices whose policy is new");
        }
        Ok(applied)
    }

    /// What the tunnel puts around a cell.
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// What WireGuard knows of a router's endpoint; `None` while it has none.
    pub fn endpoint_peer(&mut self, settings: &Settings) -> Option<PeerStatus> {
        let key = endpoint_key(settings)?;
        self.kernel.peers().ok()?.into_iter().find(|peer| peer.public_key == *key)
    }

    /// Has WireGuard begin with a handshake with those peers, named by their addresses inside the tunnel. A router's
    /// endpoint is forgotten, for the next `bring_up` to add; homes, who call from addresses that WireGuard alone knows,
    /// are added at once.
    pub fn restart_handshakes(&mut self, settings: &Settings, peers: &[Ipv4Addr]) {
        if peers.is_empty() {
            return;
        }
        // What fails here is put right by `bring_up`: a peer that is missing is added there.
        if let Some(key) = endpoint_key(settings) {
            _ = self.kernel.run(&Op::RemovePeer(key.clone()));
        }
        let installed = self.kernel.peers().unwrap_or_default();
        let homes = settings.homes.iter().filter(|home| peers.contains(&home.address));
        for home in homes.filter_map(home_peer) {
            let Some(known) = installed.iter().find(|peer| peer.public_key == home.public_key) else { continue };
            if self.kernel.run(&Op::RemovePeer(home.public_key.clone())).is_ok() {
                _ = self.kernel.run(&Op::SetPeer(Peer { endpoint: known.endpoint, ..home }));
            }
        }
    }

    /// What does not fit the host as it was last looked at.
    pub fn preflight_issues(&self, settings: &Settings) -> Vec<PreflightIssue> {
        preflight_issues(settings, &self.facts)
    }

    /// What of others' stands in the way. An endpoint marks nothing, and its one rule takes its own cells alone.
    pub fn conflicts(&mut self, settings: &Settings) -> Result<Vec<Conflict>, Error> {
        let mut others = self.kernel.others().map_err(from_op)?;
        if settings.role == Role::Endpoint {
            others.rules.clear();
        }
        let lan: Vec<&str> = self.facts.lan.iter().map(|lan| lan.name.as_str()).collect();
        Ok(others.conflicts(settings.routing_ids, &lan))
    }

    /// Lets what encrypts the cells go before programs, as far as there is such a thing and it is permitted.
    pub fn prioritize_encryption(&self, settings: &Settings) {
        match realtime::promote_encryption(tunnel::interface(settings)) {
            Ok(0) => {}
            Ok(promoted) => info!("{promoted} of the kernel's workers that encrypt cells go before programs now"),
            Err(error) => warn!("looking for the kernel's workers: {error}: departures may be late under load"),
        }
    }

    /// The index of the interface that cells take.
    pub fn interface_index(&mut self, settings: &Settings) -> Result<u32, Error> {
        self.kernel.interface_index(tunnel::interface(settings)).map_err(from_op)
    }

    /// What the host did about forwarding before the first `bring_up`.
    pub fn forwarding_before(&self) -> Option<Forwarding> {
        self.before.as_ref().map(Forwarding::of)
    }

    /// The sysctl of another's interface that the last `bring_up` changed, and its value before.
    pub fn overridden(&self) -> Option<&(String, String)> {
        self.overridden.as_ref()
    }

    /// The operations that would bring the kernel in line, without running any.
    pub fn plan(&mut self, settings: &Settings, limits: &ShaperLimits) -> Result<Vec<Op>, Error> {
        let desired = Desired::from_settings(settings, &self.facts, limits)?;
        let snapshot = self.kernel.snapshot().map_err(from_op)?;
        let mut ops = plan_guard(Some(&guard_table(settings, &self.facts)), &snapshot);
        ops.extend(plan(&desired, &snapshot));
        Ok(ops)
    }

    /// Brings the kernel in line but for the guard; on failure it holds what it held before.
    pub fn bring_up(&mut self, settings: &Settings, limits: &ShaperLimits) -> Result<Applied, Error> {
        let desired = Desired::from_settings(settings, &self.facts, limits)?;
        let applied = apply(&mut WithoutGuard(&mut self.kernel), &desired)?;
        applied.ops.iter().for_each(|op| info!("{op}"));
        if let Some(key) = self.kernel.attached().map(reverse_path_filter) {
            let changed = |op: &Op| matches!(op, Op::SetSysctl { key: other, .. } if *other == key);
            let value = applied.before.sysctls.get(&key).filter(|_| applied.ops.iter().any(changed));
            self.overridden = value.cloned().map(|value| (key, value));
        }
        if self.before.is_none() {
            self.before = Some(applied.before.clone());
        }
        Ok(applied)
    }

    /// The TUN interface, after a `bring_up` that made it.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.kernel.take_tun()
    }

    /// A TUN interface that is there already.
    pub fn attach_tun(&mut self) -> Result<Tun, Error> {
        self.kernel.attach_tun().map_err(|_| Error::TunTaken)
    }

    /// Removes all that is ours but the guard, newest first, and then gives back what was `saved_sysctls`.
    pub fn tear_down(&mut self, saved_sysctls: SavedSysctls) -> Result<Applied, Error> {
        // What it fails at is harmless: the kernel ends its workers by and by.
        _ = realtime::demote_encryption();
        self.kernel.discard_draft(TableName::Tunnel);
        let before = saved_sysctls.forwarding.as_ref();
        let desired = before.map_or_else(Desired::nothing, |before| Desired::nothing().forwarding(before));
        let applied = apply(&mut WithoutGuard(&mut self.kernel), &desired)?;
        for (key, value) in saved_sysctls.overridden {
            // An interface that is gone has taken it along.
            _ = self.kernel.run(&Op::SetSysctl { key, value });
        }
        Ok(applied)
    }

    /// Removes all that is ours, the guard and its `file` last, and gives back what was `saved_sysctls`.
    pub fn flush(&mut self, file: &Path, saved_sysctls: SavedSysctls) -> Result<Vec<Op>, Error> {
        let mut ops = self.tear_down(saved_sysctls)?.ops;
        guard_file::remove(file).map_err(Error::system(format!("removing {}", file.display())))?;
        self.kernel.discard_draft(TableName::Guard);
        let guard = self.kernel.guard().map_err(from_op)?;
        ops.extend(apply_guard(&mut GuardAlone::new(&mut self.kernel, guard), None)?.ops);
        Ok(ops)
    }
}

fn endpoint_key(settings: &Settings) -> Option<&Key> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) if settings.role == Role::Router => wireguard.public_key.as_ref(),
        _ => None,
    }
}

/// The role's endpoint by name or address: the first address that it has. A name that does not resolve is an error
/// with the name in it. This waits for the answer.
pub fn endpoint(settings: &Settings) -> Result<Option<SocketAddr>, Error> {
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { return Ok(None) };
    let Some(host) = wireguard.endpoint.as_ref().filter(|_| settings.role == Role::Router) else { return Ok(None) };
    let addresses =
        resolve::resolve(host).map_err(Error::system(format!("resolving tunnel.endpoint {}", host.host)))?;
    Ok(addresses.first().copied())
}

/// An operation that failed by itself.
pub fn from_op(error: OpError) -> Error {
    Error::Apply(ApplyError::before_anything(error))
}
