//! The kernel in line with the settings: interfaces, queueing tree, routes and nftables, through plan and apply.

use std::net::{IpAddr, SocketAddr};

use log::info;

use super::error::Error;
use crate::apply::{Applied, OpError, apply};
use crate::config::model::{Key, Role, Settings, Tunnel};
use crate::plan::ownership::WIREGUARD;
use crate::plan::tree::Guard;
use crate::plan::{Desired, Facts, IP_FORWARD, Op, Snapshot, plan};
use crate::sys::kernel::{self, System};
use crate::sys::{PeerStatus, Tun, resolve};
use crate::wire::size::IpVersion;

/// The running kernel, and what it held before us.
pub struct Machine {
    system: System,
    facts: Facts,
    /// What a machine that is new to us did about forwarding; given back at the end.
    before: Option<Snapshot>,
}

impl Machine {
    /// Opens the kernel's interfaces and learns what the settings do not say. Resolving the endpoint's name waits.
    pub fn open(settings: &Settings) -> Result<Machine, Error> {
        let mut machine = Machine::unattended()?;
        machine.learn(settings, endpoint(settings)?)?;
        Ok(machine)
    }

    /// Opens the kernel's interfaces, and knows nothing yet.
    pub fn unattended() -> Result<Machine, Error> {
        if !kernel::is_root() {
            return Err(Error::NotRoot);
        }
        Ok(Machine { system: System::open().map_err(from_op)?, facts: Facts::default(), before: None })
    }

    /// Learns what the settings do not say, but for where the router's endpoint is.
    pub fn learn(&mut self, settings: &Settings, endpoint: Option<SocketAddr>) -> Result<(), Error> {
        let lan = self.system.lan(settings).map_err(from_op)?;
        self.facts = Facts { lan, endpoint };
        Ok(())
    }

    /// The IP version that the tunnel's packets have on the wire.
    pub fn outer(&self) -> IpVersion {
        outer(self.facts.endpoint)
    }

    /// What WireGuard knows of a router's endpoint; `None` while it has none.
    pub fn endpoint_peer(&mut self, settings: &Settings) -> Option<PeerStatus> {
        let key = endpoint_key(settings)?;
        self.system.peers().ok()?.into_iter().find(|peer| peer.public_key == *key)
    }

    /// Removes a router's endpoint from WireGuard, so that the next `bring_up` has it begin with a handshake at once.
    pub fn forget_endpoint(&mut self, settings: &Settings) {
        if let Some(key) = endpoint_key(settings) {
            // One that is not there is forgotten already.
            _ = crate::apply::Kernel::run(&mut self.system, &Op::RemovePeer(key.clone()));
        }
    }

    /// The index of the interface that cells take.
    pub fn interface_index(&mut self) -> Result<u32, Error> {
        self.system.interface_index(WIREGUARD).map_err(from_op)
    }

    /// What the machine did about forwarding before the first `bring_up`.
    pub fn forwarding_before(&self) -> Option<&str> {
        self.before.as_ref().and_then(|before| before.sysctls.get(IP_FORWARD)).map(String::as_str)
    }

    /// The operations that would bring the kernel in line, without running any.
    pub fn plan(&mut self, settings: &Settings, guard: &Guard) -> Result<Vec<Op>, Error> {
        let desired = Desired::from_settings(settings, &self.facts, guard)?;
        let snapshot = crate::apply::Kernel::snapshot(&mut self.system).map_err(from_op)?;
        Ok(plan(&desired, &snapshot))
    }

    /// Brings the kernel in line; on failure it holds what it held before.
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

    /// A TUN interface that is there already.
    pub fn attach_tun(&mut self) -> Result<Tun, Error> {
        self.system.attach_tun().map_err(|_| Error::TunTaken)
    }

    /// Removes all that is ours, newest first. `forwarding`: what the machine did about it before us, if that is known.
    pub fn take_down(&mut self, forwarding: Option<&str>) -> Result<Applied, Error> {
        let desired = forwarding.map_or_else(Desired::nothing, |value| Desired::nothing().forwarding(value));
        Ok(apply(&mut self.system, &desired)?)
    }
}

/// The IP version of the tunnel's packets on the way to `endpoint`. An endpoint's homes come by either; there it only
/// sizes the ceiling of the queue, and IPv4 is the more common.
pub fn outer(endpoint: Option<SocketAddr>) -> IpVersion {
    match endpoint.map(|endpoint| endpoint.ip()) {
        Some(IpAddr::V6(_)) => IpVersion::V6,
        Some(IpAddr::V4(_)) | None => IpVersion::V4,
    }
}

fn endpoint_key(settings: &Settings) -> Option<&Key> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) if settings.role == Role::Router => wireguard.public_key.as_ref(),
        _ => None,
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
