//! The kernel in line with the settings: interfaces, queueing tree, routes and nftables, through plan and apply.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use log::info;

use super::error::Error;
use crate::apply::{Applied, Kernel, OpError, apply, apply_guard};
use crate::config::model::{Role, Settings, Tunnel};
use crate::plan::nft::TableText;
use crate::plan::tree::Guard;
use crate::plan::{Desired, Facts, IP_FORWARD, Named, Op, Snapshot, guard_table, plan, plan_guard};
use crate::sys::kernel::{self, System};
use crate::sys::{Tun, guard_file, resolve};
use crate::wire::size::IpVersion;

/// The running kernel, and what it held before us.
pub struct Machine {
    system: System,
    facts: Facts,
    /// What a machine that is new to us did about forwarding; given back at the end.
    before: Option<Snapshot>,
}

impl Machine {
    /// Opens the kernel's interfaces.
    pub fn open() -> Result<Machine, Error> {
        if !kernel::is_root() {
            return Err(Error::NotRoot);
        }
        Ok(Machine { system: System::open().map_err(from_op)?, facts: Facts::default(), before: None })
    }

    /// Learns anew what the settings do not say. Resolving the endpoint's name waits.
    pub fn learn(&mut self, settings: &Settings) -> Result<(), Error> {
        self.learn_lan(settings)?;
        self.facts.endpoint = endpoint(settings)?;
        Ok(())
    }

    fn learn_lan(&mut self, settings: &Settings) -> Result<(), Error> {
        self.facts.lan = self.system.lan(settings).map_err(from_op)?;
        Ok(())
    }

    /// Brings the guard in line, and then `file`, from which it is loaded at boot. This comes first of all, needs
    /// nothing of the tunnel, and nothing but [`Machine::flush`] undoes it.
    pub fn set_guard(&mut self, settings: &Settings, file: &Path) -> Result<Applied, Error> {
        self.learn_lan(settings)?;
        let wanted = guard_table(settings, &self.facts);
        let applied = apply_guard(&mut self.system, Some(&wanted))?;
        applied.ops.iter().for_each(|op| info!("{op}"));
        if !applied.ops.is_empty() {
            self.end_connections(applied.before.guard.as_ref(), &wanted)?;
        }
        let installed = self.system.snapshot().map_err(from_op)?.guard;
        let digest = installed.map(|installed| installed.digest()).unwrap_or_default();
        let written = guard_file::write(file, &wanted.file(&digest));
        if written.map_err(Error::system(format!("writing the guard to {}", file.display())))? {
            info!("wrote the guard to {}", file.display());
        }
        Ok(applied)
    }

    /// Makes the guard `wanted`, in the place of `before`, hold for connections that stood already.
    fn end_connections(&mut self, before: Option<&TableText>, wanted: &TableText) -> Result<(), Error> {
        let (changed, confined) = (Named::changed(before, wanted), Named::confined(wanted));
        self.system.show_to_guard(&confined.macs).map_err(from_op)?;
        let ended = self.system.forget_connections(&changed).map_err(from_op)?;
        if ended > 0 {
            info!("ended {ended} connections of devices whose policy is new");
        }
        Ok(())
    }

    /// The IP version that the tunnel's packets have on the wire. An endpoint's homes come by either; there it only
    /// sizes the ceiling of the queue, and IPv4 is the more common.
    pub fn outer(&self) -> IpVersion {
        match self.facts.endpoint.map(|endpoint| endpoint.ip()) {
            Some(IpAddr::V6(_)) => IpVersion::V6,
            Some(IpAddr::V4(_)) | None => IpVersion::V4,
        }
    }

    /// Where the tunnel goes, if the settings say so.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.facts.endpoint
    }

    /// The operations that would bring the kernel in line, without running any.
    pub fn plan(&mut self, settings: &Settings, guard: &Guard) -> Result<Vec<Op>, Error> {
        let desired = Desired::from_settings(settings, &self.facts, guard)?;
        let snapshot = self.system.snapshot().map_err(from_op)?;
        let mut ops = plan_guard(Some(&guard_table(settings, &self.facts)), &snapshot);
        ops.extend(plan(&desired, &snapshot));
        Ok(ops)
    }

    /// Brings the kernel in line but for the guard; on failure it holds what it held before.
    pub fn bring_up(&mut self, settings: &Settings, guard: &Guard) -> Result<Applied, Error> {
        let desired = Desired::from_settings(settings, &self.facts, guard)?;
        let applied = apply(&mut self.system, &desired)?;
        applied.ops.iter().for_each(|op| info!("{op}"));
        if self.before.is_none() {
            self.before = Some(applied.before.clone());
        }
        Ok(applied)
    }

    /// The TUN interface, after a `bring_up` that made it.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.system.take_tun()
    }

    /// Removes all that is ours but the guard, newest first.
    pub fn take_down(&mut self) -> Result<Applied, Error> {
        let forwarding = self.before.as_ref().and_then(|before| before.sysctls.get(IP_FORWARD));
        let desired = forwarding.map_or_else(Desired::nothing, |value| Desired::nothing().forwarding(value));
        Ok(apply(&mut self.system, &desired)?)
    }

    /// Removes all that is ours, the guard and its `file` last.
    pub fn flush(&mut self, file: &Path) -> Result<Vec<Op>, Error> {
        let mut ops = self.take_down()?.ops;
        guard_file::remove(file).map_err(Error::system(format!("removing {}", file.display())))?;
        ops.extend(apply_guard(&mut self.system, None)?.ops);
        Ok(ops)
    }
}

/// The role's endpoint by name or address: the first address that it has. A name that does not resolve is an error
/// with the name in it.
fn endpoint(settings: &Settings) -> Result<Option<SocketAddr>, Error> {
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { return Ok(None) };
    let Some(host) = wireguard.endpoint.as_ref().filter(|_| settings.role == Role::Router) else { return Ok(None) };
    let addresses =
        resolve::resolve(host).map_err(Error::system(format!("resolving tunnel.endpoint {}", host.host)))?;
    Ok(addresses.first().copied())
}

fn from_op(error: OpError) -> Error {
    Error::Unfit(error.to_string())
}
